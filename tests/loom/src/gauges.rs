//! The count of queued bytes: refusals and drains, seals, marks.

use loom::sync::Arc;
use loom::thread;

use crate::queue::{Gauge, Mark, Refusal};

/// "A refusal never misses its `on_drain`": two senders and the worker, which hands bytes to the kernel one by one.
pub fn each_refusal_is_answered_by_a_drain_and_there_is_none_without() {
    let gauge = Arc::new(Gauge::default());
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let gauge = gauge.clone();
            thread::spawn(move || (0..2).filter(|_| gauge.accept(1, 1, false) == Err(Refusal::Full)).count())
        })
        .collect();
    let mut drains = 0;
    let hand_over = |drains: &mut usize| {
        if gauge.count() > 0 {
            *drains += usize::from(gauge.release(1, 0));
        }
    };
    hand_over(&mut drains);
    let refusals: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
    while gauge.count() > 0 {
        hand_over(&mut drains);
    }
    assert!(drains <= refusals, "{drains} drains for {refusals} refusals");
    assert!(refusals == 0 || drains > 0, "a refusal without a drain");
    // What was refused after the last drain has had one too: nothing is owed.
    assert_eq!(gauge.accept(1, 1, false), Ok(()));
    assert!(!gauge.release(1, 0), "a refusal was left without its drain");
}

/// What is accepted after the seal never counts, and what counts was accepted.
pub fn nothing_counts_after_the_seal() {
    let gauge = Arc::new(Gauge::default());
    let sender = {
        let gauge = gauge.clone();
        thread::spawn(move || (0..2).filter(|_| gauge.accept(1, 8, true).is_ok()).count())
    };
    assert!(gauge.seal(Mark::Closed));
    let sealed_with = gauge.count();
    let accepted = sender.join().unwrap();
    assert_eq!(gauge.count(), sealed_with, "a byte was counted after the seal");
    assert_eq!(accepted, sealed_with);
    assert_eq!(gauge.has_left(), accepted > 0, "the mark says whether the worker has to look");
}

/// Two threads end a connection at once: each degree is reached by one of them.
pub fn each_end_is_reached_once() {
    let gauge = Arc::new(Gauge::default());
    let other = {
        let gauge = gauge.clone();
        thread::spawn(move || gauge.seal(Mark::Closed))
    };
    let aborted = gauge.seal(Mark::Aborted);
    let closed = gauge.seal(Mark::Closed);
    let other = other.join().unwrap();
    assert!(aborted, "nobody else aborts");
    assert!(!closed, "an abort is an end too");
    assert!(!gauge.seal(Mark::Ended) && gauge.is_sealed());
    // Whoever came after the abort was told so.
    let _ = other;
}
