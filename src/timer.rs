//! The deadlines of one worker, in milliseconds since the worker began.
//!
//! Invariant: a thing that waits for a deadline has one entry, at that time or earlier: a deadline that is put off leaves
//! its entry where it is, and whoever is named by an early one looks again. What waits for nothing has no entry, so it
//! wakes nobody.

use std::collections::BTreeSet;

/// Times in order, each with what waits for it.
pub struct Deadlines<T: Ord> {
    entries: BTreeSet<(u64, T)>,
}

impl<T: Ord + Copy> Deadlines<T> {
    /// No deadlines.
    pub fn new() -> Deadlines<T> {
        Deadlines { entries: BTreeSet::new() }
    }

    /// Enters `what` at `when`.
    pub fn enter(&mut self, when: u64, what: T) {
        self.entries.insert((when, what));
    }

    /// Takes the entry of `what` at `when` out, if it is there.
    pub fn remove(&mut self, when: u64, what: T) {
        self.entries.remove(&(when, what));
    }

    /// The earliest time.
    pub fn next(&self) -> Option<u64> {
        self.entries.first().map(|(when, _)| *when)
    }

    /// Takes out all entries whose time has come, in order.
    pub fn take_due(&mut self, now: u64) -> Vec<(u64, T)> {
        let mut due = Vec::new();
        while let Some(entry) = self.entries.first().filter(|(when, _)| *when <= now).copied() {
            self.entries.remove(&entry);
            due.push(entry);
        }
        due
    }
}

impl<T: Ord + Copy> Default for Deadlines<T> {
    fn default() -> Deadlines<T> {
        Deadlines::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_due_early() {
        let mut deadlines = Deadlines::new();
        deadlines.enter(10, 'a');
        assert_eq!(deadlines.take_due(9), []);
        assert_eq!(deadlines.take_due(10), [(10, 'a')]);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn what_was_removed_wakes_nobody() {
        let mut deadlines = Deadlines::new();
        deadlines.enter(10, 'a');
        deadlines.enter(20, 'b');
        deadlines.remove(10, 'a');
        assert_eq!(deadlines.next(), Some(20));
    }

    proptest! {
        /// Whatever the order of entry, entries leave in order of time and none is lost.
        #[test]
        fn entries_leave_in_order(times in proptest::collection::vec(0_u64..1000, 0..100), at in 0_u64..1000) {
            let mut deadlines = Deadlines::new();
            for (number, when) in times.iter().enumerate() {
                deadlines.enter(*when, number);
            }
            let due = deadlines.take_due(at);
            prop_assert!(due.is_sorted());
            prop_assert_eq!(due.len(), times.iter().filter(|when| **when <= at).count());
            prop_assert!(due.iter().all(|(when, number)| times[*number] == *when));
            prop_assert_eq!(deadlines.next(), times.iter().filter(|when| **when > at).min().copied());
        }
    }
}
