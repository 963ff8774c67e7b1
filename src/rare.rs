//! A list that is nearly always empty, and then takes one word.

use std::ops::Deref;

/// A list for what few connections ever have.
#[allow(clippy::box_collection, reason = "a Vec takes three words also when it is empty")]
pub struct Rare<T>(Option<Box<Vec<T>>>);

impl<T> Rare<T> {
    /// An empty list.
    pub fn new() -> Rare<T> {
        Rare(None)
    }

    /// The list, to add to.
    pub fn list(&mut self) -> &mut Vec<T> {
        self.0.get_or_insert_default()
    }

    /// Takes all of it.
    pub fn take(&mut self) -> Vec<T> {
        self.0.take().map(|list| *list).unwrap_or_default()
    }
}

impl<T> Deref for Rare<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Rare<T> {
        Rare::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_one_word_and_comes_back_empty() {
        assert_eq!(size_of::<Rare<u64>>(), size_of::<usize>());
        let mut rare = Rare::new();
        assert!(rare.is_empty());
        rare.list().extend([1, 2]);
        assert_eq!(*rare, [1, 2]);
        assert_eq!(rare.take(), [1, 2]);
        assert!(rare.is_empty() && rare.take().is_empty());
    }
}
