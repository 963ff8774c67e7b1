//! What the core may tell the program: one trait, implemented over C callbacks and in tests.

use std::cell::Cell;
use std::ffi::CStr;
use std::marker::PhantomData;

use crate::error::Code;
use crate::id::Id;

thread_local! {
    static CALLED: Cell<usize> = const { Cell::new(0) };
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Marks the calling thread as one on which the host is called, until it is dropped, there. The log may be written to on
/// any thread, also on one that no worker has.
pub(crate) struct Called(PhantomData<*const ()>);

/// The host is about to be called.
pub(crate) fn enter() -> Called {
    CALLED.set(CALLED.get() + 1);
    Called(PhantomData)
}

impl Drop for Called {
    fn drop(&mut self) {
        CALLED.set(CALLED.get() - 1);
    }
}

/// Marks the calling thread as one on which the host's log is written to.
pub(crate) struct Logging(#[allow(dead_code, reason = "its end is what it is for")] Called);

/// The host's log is about to be written to; `None` if it is so already: what the host does there is not told to it again.
pub(crate) fn enter_log() -> Option<Logging> {
    (!LOGGING.replace(true)).then(|| Logging(enter()))
}

impl Drop for Logging {
    fn drop(&mut self) {
        LOGGING.set(false);
    }
}

/// Whether the host's log is being written to on this thread.
pub(crate) fn is_logging() -> bool {
    LOGGING.get()
}

/// Whether the host is being called on this thread.
pub(crate) fn is_called() -> bool {
    CALLED.get() > 0
}

/// How a connection ended. The discriminants are the numbers of the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Reason {
    /// The peer sent close_notify (in plain mode: FIN).
    Peer = 0,
    /// The host closed, and every byte was handed to the kernel.
    Host = 1,
    /// FIN without close_notify.
    Truncated = 2,
    /// RST, or a failed write.
    Reset = 3,
    /// A TLS error or alert.
    Protocol = 4,
    /// Nothing moved for the idle timeout.
    IdleTimeout = 5,
    /// The kernel took no byte for the send or close timeout.
    SendTimeout = 6,
    /// Ended by the stop of the server.
    Stopped = 7,
    /// The host aborted it.
    Aborted = 8,
    /// A system call, or tlsloop itself, failed.
    System = 9,
}

impl Reason {
    /// Its name, as C and the log have it.
    pub fn name(self) -> &'static CStr {
        match self {
            Reason::Peer => c"peer",
            Reason::Host => c"host",
            Reason::Truncated => c"truncated",
            Reason::Reset => c"reset",
            Reason::Protocol => c"protocol",
            Reason::IdleTimeout => c"idle_timeout",
            Reason::SendTimeout => c"send_timeout",
            Reason::Stopped => c"stopped",
            Reason::Aborted => c"aborted",
            Reason::System => c"system",
        }
    }
}

/// How many slots the statistics keep for reasons.
pub const REASON_SLOTS: usize = 16;

/// How loud a log line is. The discriminants are the numbers of the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// The server cannot do its work.
    Error = 1,
    /// Something unusual that a person should see.
    Warn = 2,
    /// Life of the server.
    Info = 3,
    /// Life of each connection.
    Debug = 4,
}

impl Level {
    const ALL: [(Level, &'static str); 4] =
        [(Level::Error, "error"), (Level::Warn, "warn"), (Level::Info, "info"), (Level::Debug, "debug")];

    /// Its name, as `TLSLOOP_LOG` has it.
    pub fn name(self) -> &'static str {
        Level::ALL[self as usize - 1].1
    }

    /// The level of that name.
    pub fn from_name(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|(_, known)| *known == name).map(|(level, _)| level)
    }
}

/// The program that uses the library.
///
/// The methods that take an [`Id`] run on that connection's worker, never two at once for one
/// connection. No lock and no borrow of tlsloop's is held while they run, so they may call anything.
pub trait Host: Send + Sync {
    /// The connection is up.
    fn on_connect(&self, id: Id);
    /// Plaintext arrived.
    fn on_data(&self, id: Id, data: &[u8]);
    /// The send queue was full and fell to low water.
    fn on_drain(&self, id: Id);
    /// The peer sent close_notify. Called only if [`Host::wants_end`].
    fn on_end(&self, id: Id);
    /// The connection has ended; `why` is one sentence.
    fn on_disconnect(&self, id: Id, reason: Reason, why: &str);
    /// TLS is up on a connection that began in plain text.
    fn on_tls(&self, id: Id);
    /// The connection failed before `on_connect`.
    fn on_handshake_failed(&self, id: Id, code: Code, peer: &str, why: &str);
    /// Whether to take a connection from `peer`.
    fn on_accept(&self, peer: &str) -> bool;
    /// One line for the log.
    fn on_log(&self, level: Level, line: &str);
    /// A worker thread begins, on that thread.
    fn on_worker_start(&self, worker: usize);
    /// A worker thread ends, on that thread.
    fn on_worker_stop(&self, worker: usize);
    /// Whether the host handles the peer's end itself; if not, tlsloop closes.
    fn wants_end(&self) -> bool;
    /// Whether `on_accept` decides anything; if not, no text of the peer's address is made for it.
    fn wants_accept(&self) -> bool;
}
