//! How other threads wake a worker: never in vain, never too often.

use std::sync::Arc;

use loom::thread;

use crate::id::Id;
use crate::inbox::{Inbox, Note};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sys::wake::{wait, writes};

fn inbox() -> Arc<Inbox> {
    Arc::new(Inbox::new(1).expect("no descriptor is needed"))
}

fn note(slot: usize) -> Note {
    Note::Left(Id::new(0, slot, 1))
}

/// One turn, as `Turn::wait` and `Turn::run_inbox` have it; `idle`: nothing else keeps the worker from waiting.
pub(crate) fn turn(inbox: &Inbox, idle: impl FnOnce() -> bool, notes: &mut Vec<Note>) -> usize {
    if inbox.may_sleep() && idle() {
        wait();
    }
    inbox.awake();
    inbox.take(notes);
    notes.drain(..).count()
}

/// A worker that waits for ever unless it is woken gets every note, and is woken at most once for each wait.
pub fn no_note_is_left_behind() {
    let inbox = inbox();
    let senders: Vec<_> = (0..2)
        .map(|slot| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.push(note(slot)))
        })
        .collect();
    let (mut got, mut turns, mut notes) = (0, 0, Vec::new());
    while got < 2 {
        got += turn(&inbox, || true, &mut notes);
        turns += 1;
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(inbox.is_empty());
    // The inbox begins asleep, and each turn falls asleep once: so many writes, and no more.
    assert!(writes() <= turns + 1, "{} writes for {turns} turns", writes());
}

/// A batch costs one write: two notes in a row while the worker sleeps.
pub fn a_batch_is_one_write() {
    let inbox = inbox();
    let sender = {
        let inbox = inbox.clone();
        thread::spawn(move || {
            inbox.push(note(1));
            inbox.push(note(2));
        })
    };
    sender.join().unwrap();
    let mut notes = Vec::new();
    assert_eq!(turn(&inbox, || true, &mut notes), 2);
    assert_eq!(writes(), 1);
}

/// What `Service` tells its workers without a note: a stage that is reached, a limit that is no longer. The worker has
/// looked before it waits for ever.
pub fn a_nudge_is_not_missed() {
    let inbox = inbox();
    let reached = Arc::new(AtomicUsize::new(0));
    let others: Vec<_> = (0..2)
        .map(|_| {
            let (inbox, reached) = (inbox.clone(), reached.clone());
            thread::spawn(move || {
                reached.fetch_add(1, Ordering::AcqRel);
                inbox.nudge();
            })
        })
        .collect();
    let (mut heeded, mut notes) = (0, Vec::new());
    while heeded < 2 {
        turn(&inbox, || reached.load(Ordering::Acquire) == heeded, &mut notes);
        heeded = reached.load(Ordering::Acquire);
    }
    others.into_iter().for_each(|other| other.join().unwrap());
}

/// A worker that ends has heeded every note of those whom it let in, waits in vain for nobody, and lets nobody in
/// afterwards. It ends as `Turn::goes_on` does.
pub fn no_guest_is_left_behind() {
    let inbox = inbox();
    let guests: Vec<_> = [true, false]
        .into_iter()
        .map(|leaves| {
            let inbox = inbox.clone();
            thread::spawn(move || match inbox.admit() {
                Some(guest) if leaves => {
                    guest.leave(note(1));
                    1
                }
                // What it was let in for has failed.
                Some(_) | None => 0,
            })
        })
        .collect();
    let (mut got, mut notes) = (0, Vec::new());
    while !inbox.close() {
        got += turn(&inbox, || inbox.has_guests(), &mut notes);
    }
    let left: usize = guests.into_iter().map(|guest| guest.join().unwrap()).sum();
    assert_eq!(got, left);
    assert!(inbox.is_empty() && inbox.admit().is_none());
}
