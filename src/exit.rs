//! `exit` while servers run and clients are at work: whoever uses OpenSSL is kept out of it before its clean-up runs.
//!
//! Handlers of `atexit(3)` run in the reverse order of their registration, and OpenSSL's was registered when it was
//! initialised, before ours. Ours takes each worker's busy lock for good: a worker finishes its turn, then waits for ever.
//! Threads of the host's that use OpenSSL count as visitors meanwhile; ours lets them finish, and then they wait for ever
//! too. A worker that a callback keeps for longer than ours waits is held when the callback returns. Only the thread that
//! exits goes on, to the handlers that the host registered first: it is told.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, ReentrantMutex, ReentrantMutexGuard};

use crate::error::{Error, Result};
use crate::sys::fork;
use crate::sys::thread::at_exit;
use crate::tls::raw;

/// Held by a worker while it is not waiting. Reentrant, because `exit` may be called from a callback.
pub(crate) type Busy = Arc<ReentrantMutex<()>>;

/// How long others may go on while the process exits.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether the visitors have left.
const LOOK: Duration = Duration::from_millis(1);

static WORKERS: Mutex<Vec<Busy>> = Mutex::new(Vec::new());

/// How many threads are visitors, and whether there may be more.
static VISITORS: AtomicUsize = AtomicUsize::new(0);
/// Of [`VISITORS`]: the process exits.
const CLOSED: usize = 1 << (usize::BITS - 1);
/// The process exits, and waits for nobody any more: the clean-up is next.
static OVER: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// How often this thread has entered; within the first time the others are free.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// It is one of the visitors.
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    /// It has called `exit`.
    static EXITS: Cell<bool> = const { Cell::new(false) };
}

/// Keeps a worker out of OpenSSL from `exit` on, until [`forget`].
pub(crate) fn watch(busy: Busy) -> Result<()> {
    register()?;
    WORKERS.lock().push(busy);
    Ok(())
}

/// The worker has ended.
pub(crate) fn forget(busy: &Busy) {
    WORKERS.lock().retain(|other| !Arc::ptr_eq(busy, other));
}

/// A worker's turn, which may use OpenSSL until it is dropped. Once the process exits, none begins: the thread waits for
/// ever.
pub(crate) struct Shift<'a>(#[allow(dead_code, reason = "its end is what it is for")] ReentrantMutexGuard<'a, ()>);

/// The calling thread begins a turn.
pub(crate) fn shift(busy: &Busy) -> Shift<'_> {
    let guard = busy.lock();
    hold_if_over();
    DEPTH.set(DEPTH.get() + 1);
    Shift(guard)
}

/// A thread that was not waited for any longer, because a callback took its time, goes no further when that returns.
pub(crate) fn hold_if_over() {
    if OVER.load(Ordering::Relaxed) && !EXITS.get() {
        hold();
    }
}

fn hold() -> ! {
    loop {
        std::thread::sleep(PATIENCE);
    }
}

impl Drop for Shift<'_> {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Marks the calling thread as one that uses OpenSSL, until it is dropped, there.
pub(crate) struct Visit(PhantomData<*const ()>);

/// The calling thread, if it is inside already or the process does not exit, will use OpenSSL; otherwise it waits for ever,
/// or is told that it is the one that exits.
pub(crate) fn visit() -> Result<Visit> {
    if DEPTH.get() == 0 {
        check()?;
        register()?;
        enter();
    }
    DEPTH.set(DEPTH.get() + 1);
    Ok(Visit(PhantomData))
}

impl Drop for Visit {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        if DEPTH.get() == 0 {
            leave();
        }
    }
}

/// Counts the calling thread among the visitors, unless there may be no more.
fn enter() {
    if VISITORS.fetch_add(1, Ordering::SeqCst) & CLOSED != 0 {
        VISITORS.fetch_sub(1, Ordering::SeqCst);
        hold();
    }
    COUNTS.set(true);
}

fn leave() {
    COUNTS.set(false);
    VISITORS.fetch_sub(1, Ordering::SeqCst);
}

/// The calling thread waits for somebody else, and does not count as a visitor until this is dropped. A worker's wait is a
/// part of its turn.
pub(crate) struct Pause(bool);

/// The calling thread begins to wait.
pub(crate) fn pause() -> Pause {
    let counts = COUNTS.get();
    if counts {
        leave();
    }
    Pause(counts)
}

impl Drop for Pause {
    fn drop(&mut self) {
        if self.0 {
            enter();
        }
    }
}

/// An error on the thread that exits: it would wait for those who are held.
pub(crate) fn check() -> Result<()> {
    if EXITS.get() { Err(Error::state("the process is exiting, and OpenSSL is used no more")) } else { Ok(()) }
}

/// Registers the handlers, once; after a failure the next call tries again.
fn register() -> Result<()> {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    static TURN: Mutex<()> = Mutex::new(());
    if REGISTERED.load(Ordering::Acquire) {
        return Ok(());
    }
    let _turn = TURN.lock();
    if !REGISTERED.load(Ordering::Acquire) {
        raw::init();
        fork::in_child(count_anew)?;
        at_exit(close).map_err(|error| Error::system("atexit", &error))?;
        REGISTERED.store(true, Ordering::Release);
    }
    Ok(())
}

/// A forked child has only the thread that forked.
extern "C" fn count_anew() {
    VISITORS.store(COUNTS.get().into(), Ordering::SeqCst);
}

extern "C" fn close() {
    if fork::is_child() {
        // The workers, and whoever holds their locks, are in the parent.
        return;
    }
    let until = Instant::now() + PATIENCE;
    VISITORS.fetch_or(CLOSED, Ordering::SeqCst);
    // What stood below `exit` on this thread is left where it is.
    EXITS.set(true);
    DEPTH.set(0);
    // Whoever holds the list starts or stops a server, and will not go on to use OpenSSL for long.
    if let Some(workers) = WORKERS.try_lock_until(until) {
        for busy in workers.iter() {
            std::mem::forget(busy.try_lock_until(until));
        }
    }
    let own = usize::from(COUNTS.get());
    while VISITORS.load(Ordering::SeqCst) & !CLOSED > own && Instant::now() < until {
        std::thread::sleep(LOOK);
    }
    OVER.store(true, Ordering::SeqCst);
}
