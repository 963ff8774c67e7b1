//! Panics on purpose, for the tests of the promise that no panic crosses. Only with the feature `fault-injection`.
//!
//! The library's steps are counted; the one that [`arm`] names panics, once.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// How many steps are left until the one that panics; 0: none does.
static LEFT: AtomicU64 = AtomicU64::new(0);
static FIRED: Mutex<Option<&'static str>> = Mutex::new(None);
/// Steps that were taken at least once while armed.
static SEEN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

thread_local! {
    static SPARED: Cell<bool> = const { Cell::new(false) };
}

/// The `n`-th step from now on panics, on whichever thread takes it; steps are counted from 1. 0: none does.
pub fn arm(n: u64) {
    LEFT.store(n, Ordering::SeqCst);
}

/// No step panics for now; answers what to [`arm`] with to go on.
pub fn pause() -> u64 {
    LEFT.swap(0, Ordering::SeqCst)
}

/// No step panics any more. The one that did since the last call.
pub fn disarm() -> Option<&'static str> {
    pause();
    FIRED.lock().take()
}

/// All steps that were taken while armed.
pub fn seen() -> Vec<&'static str> {
    SEEN.lock().iter().copied().collect()
}

/// Steps of the calling thread neither count nor panic until the thread ends: it is a test's peer.
pub fn spare_this_thread() {
    SPARED.set(true);
}

/// One step, by its name.
pub(crate) fn step(name: &'static str) {
    if SPARED.get() {
        return;
    }
    let count = |left: u64| left.checked_sub(1);
    match LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) {
        Err(_) => {}
        Ok(left) => {
            SEEN.lock().insert(name);
            if left == 1 {
                *FIRED.lock() = Some(name);
                panic!("injected into {name}");
            }
        }
    }
}
