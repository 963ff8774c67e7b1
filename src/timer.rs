//! The deadlines of one worker, in milliseconds since the worker began.
//!
//! Invariant: a thing that waits for a deadline has an entry at that time or earlier. Entries are not moved
//! when a deadline is put off; whoever is named by an early one looks again and enters its new time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Times in order, each with what waits for it.
pub struct Deadlines<T: Ord> {
    heap: BinaryHeap<Reverse<(u64, T)>>,
}

impl<T: Ord> Deadlines<T> {
    /// No deadlines.
    pub fn new() -> Deadlines<T> {
        Deadlines { heap: BinaryHeap::new() }
    }

    /// Enters `what` at `when`.
    pub fn push(&mut self, when: u64, what: T) {
        self.heap.push(Reverse((when, what)));
    }

    /// The earliest time.
    pub fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((when, _))| *when)
    }

    /// Takes out the earliest entry if its time has come.
    pub fn pop_due(&mut self, now: u64) -> Option<(u64, T)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

impl<T: Ord> Default for Deadlines<T> {
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
        deadlines.push(10, 'a');
        assert_eq!(deadlines.pop_due(9), None);
        assert_eq!(deadlines.pop_due(10), Some((10, 'a')));
        assert_eq!(deadlines.next(), None);
    }

    proptest! {
        /// Whatever the order of entry, entries leave in order of time and none is lost.
        #[test]
        fn entries_leave_in_order(times in proptest::collection::vec(0_u64..1000, 0..100)) {
            let mut deadlines = Deadlines::new();
            for (number, when) in times.iter().enumerate() {
                deadlines.push(*when, number);
            }
            let mut left = Vec::new();
            while let Some((when, number)) = deadlines.pop_due(1000) {
                prop_assert_eq!(times[number], when);
                left.push(when);
            }
            let mut sorted = times.clone();
            sorted.sort_unstable();
            prop_assert_eq!(left, sorted);
        }
    }
}
