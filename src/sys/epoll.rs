//! `epoll(7)`: which descriptors are ready, by a key of ours, never a pointer or a descriptor.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::{cvt, own};

/// One epoll instance.
pub(crate) struct Epoll {
    fd: OwnedFd,
}

/// What a descriptor is registered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Connections that do not read, or wait for room, now and then: told once per change.
    Edge {
        /// Bytes or the peer's end have arrived.
        read: bool,
        /// The socket takes bytes again.
        write: bool,
    },
    /// Shared listeners: told as long as connections wait, one worker at a time.
    Shared,
    /// Connections that read at once whatever comes, and clocks: told until read.
    Level,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Interest::Edge { read, write } => {
                let read = if read { libc::EPOLLIN | libc::EPOLLRDHUP } else { 0 };
                let write = if write { libc::EPOLLOUT } else { 0 };
                libc::EPOLLET | read | write
            }
            Interest::Shared => libc::EPOLLIN | libc::EPOLLEXCLUSIVE,
            Interest::Level => libc::EPOLLIN | libc::EPOLLRDHUP,
        };
        bits as u32
    }
}

/// One descriptor that is ready. Errors and hang-ups count as readable and writable, so that the
/// ordinary path meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// The key of its registration.
    pub(crate) key: u64,
    /// Bytes, an end or an error wait to be read.
    pub(crate) readable: bool,
    /// The socket takes bytes, or fails.
    pub(crate) writable: bool,
    /// The socket has an error pending or both directions are over.
    pub(crate) failed: bool,
    /// Its error queue holds messages, if it has one, and it has not failed.
    pub(crate) has_messages: bool,
}

/// Room for the answers of one wait.
pub(crate) struct Events {
    raw: Vec<libc::epoll_event>,
    len: usize,
}

impl Events {
    /// Room for `capacity` answers.
    pub(crate) fn new(capacity: usize) -> Events {
        Events { raw: vec![libc::epoll_event { events: 0, u64: 0 }; capacity], len: 0 }
    }

    /// The answers of the last wait.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Ready> + '_ {
        self.raw[..self.len].iter().map(|event| {
            let bits = event.events as libc::c_int;
            let failure = bits & (libc::EPOLLERR | libc::EPOLLHUP);
            let failed = failure != 0;
            Ready {
                key: event.u64,
                readable: failed || bits & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0,
                writable: failed || bits & libc::EPOLLOUT != 0,
                failed,
                // An error that ends a connection comes with a hang-up.
                has_messages: failure == libc::EPOLLERR,
            }
        })
    }
}

impl Epoll {
    /// A new instance, close-on-exec.
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers; the descriptor that comes back is ours alone.
        let fd = unsafe { own(cvt(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Epoll { fd })
    }

    /// The descriptor a host watches when it drives the loop itself.
    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Begins to watch `fd` under `key`.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, key, interest)
    }

    /// Changes what `fd` is watched for; what is ready already is told again.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, key: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, key, interest)
    }

    /// Stops watching `fd`. Done before a descriptor is closed: while a forked child holds a copy, closing
    /// alone would leave the registration behind (epoll(7), questions and answers).
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::Level)
    }

    fn control(&self, op: libc::c_int, fd: BorrowedFd<'_>, key: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: key };
        // SAFETY: both descriptors are open (owned and borrowed) and `event` outlives the call.
        cvt(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op, fd.as_raw_fd(), &mut event) })?;
        Ok(())
    }

    /// Waits until something is ready or `timeout_ms` has passed (-1: for ever). A signal ends the wait
    /// without an event.
    pub(crate) fn wait(&self, events: &mut Events, timeout_ms: i32) -> io::Result<()> {
        events.len = 0;
        let room = events.raw.len() as libc::c_int;
        // SAFETY: `raw` has room for `room` events, and the kernel writes no more than it reports.
        let result = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), events.raw.as_mut_ptr(), room, timeout_ms) };
        match cvt(result) {
            Ok(n) => events.len = n as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
