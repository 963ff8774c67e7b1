//! The part of a connection that any thread may touch. Cells belong to the process and are never freed, so a stale id
//! always finds one, sees that its generation has passed, and goes away.
//!
//! Invariant: `generation` changes only under `state`'s lock, and is that of a live connection or 0. The connection's
//! descriptor is open as long as its generation stands here, so under the lock it may be asked for its addresses.

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::id::Id;
use crate::info::Facts;
use crate::queue::Gauge;
use crate::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::sys::socket;

/// A function of the host's that runs on the connection's worker.
pub(crate) type Post = Box<dyn FnOnce(Id) + Send>;

/// What a host may ask of a connection, besides sending.
pub(crate) enum Ask {
    /// End our direction after what is queued.
    End,
    /// End both.
    Close,
    /// Reset.
    Abort,
    /// Hold back what arrives, or go on with it.
    Pause(bool),
    /// Another idle timeout, in milliseconds; `None`: never.
    IdleTimeout(Option<u64>),
    /// Run a function, in so many milliseconds.
    Post(u64, Post),
}

/// What other threads have left for the worker, in order: first the bytes, then the rest.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) bytes: Vec<Vec<u8>>,
    pub(crate) asks: Vec<Ask>,
}

/// The shared part of one connection.
#[derive(Default)]
pub(crate) struct Cell {
    /// Bytes accepted and not yet with the kernel, and how the host has begun to end it.
    pub(crate) gauge: Gauge,
    generation: AtomicU32,
    fd: AtomicI32,
    /// The host's own pointer, as a number.
    pub(crate) data: AtomicUsize,
    /// Plaintext received; written by the worker alone.
    pub(crate) bytes_in: AtomicU64,
    /// Plaintext that the kernel has taken; written by the worker alone.
    pub(crate) bytes_out: AtomicU64,
    state: Mutex<State>,
}

/// What the lock of a cell guards.
#[derive(Default)]
pub(crate) struct State {
    /// Requests; boxed, because most connections never see another thread.
    pub(crate) left: Option<Box<Left>>,
    /// What is known of the connection; whoever holds a copy sees no later change.
    pub(crate) facts: Option<Arc<Facts>>,
    /// Its last callback is due: nothing more can be posted.
    pub(crate) is_ending: bool,
}

impl Cell {
    /// A connection begins under this generation.
    pub(crate) fn open(&self, generation: u32, fd: RawFd, data: usize, facts: Arc<Facts>) {
        let mut state = self.state.lock();
        self.gauge.reset();
        self.data.store(data, Ordering::Relaxed);
        self.bytes_in.store(0, Ordering::Relaxed);
        self.bytes_out.store(0, Ordering::Relaxed);
        self.fd.store(fd, Ordering::Relaxed);
        *state = State { left: None, facts: Some(facts), is_ending: false };
        self.generation.store(generation, Ordering::Release);
    }

    /// The connection's last callback has returned; from here on its id finds nothing.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        self.generation.store(0, Ordering::Release);
        *state = State::default();
    }

    /// Locks the cell for the connection of this generation.
    pub(crate) fn lock(&self, generation: u32) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        if self.generation.load(Ordering::Acquire) == generation { Ok(state) } else { Err(Error::closed()) }
    }

    /// Adds to what is known of the connection; who has read it before keeps what it read. Only its worker calls this,
    /// while it lives.
    pub(crate) fn learn(&self, change: impl FnOnce(&mut Facts)) {
        if let Some(facts) = &mut self.state.lock().facts {
            change(Arc::make_mut(facts));
        }
    }

    /// What is known of the connection. Only its worker calls this, while it lives.
    pub(crate) fn facts(&self) -> Option<Arc<Facts>> {
        self.state.lock().facts.clone()
    }

    /// Takes what other threads have left; `last` also closes the door behind it. Only the worker calls this.
    pub(crate) fn take_left(&self, last: bool) -> Option<Box<Left>> {
        let mut state = self.state.lock();
        state.is_ending |= last;
        self.gauge.take_left();
        state.left.take()
    }

    /// The connection has another socket; the one before is closed afterwards. Only its worker calls this.
    pub(crate) fn set_fd(&self, fd: RawFd) {
        let _state = self.state.lock();
        self.fd.store(fd, Ordering::Relaxed);
    }

    /// Asks the socket of the live connection something; the lock keeps it open.
    pub(crate) fn with_fd<R>(&self, _locked: &State, ask: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        socket::with_raw(self.fd.load(Ordering::Relaxed), ask)
    }

    /// Adds to a count that only the worker writes.
    pub(crate) fn add(count: &AtomicU64, n: usize) {
        count.store(count.load(Ordering::Relaxed) + n as u64, Ordering::Relaxed);
    }
}
