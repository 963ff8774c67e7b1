//! Waiting for one descriptor: `poll(2)`, for those who have no loop.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::cvt;

/// What one wait found. An error and a hang-up count as both, so that the ordinary path meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// Waits up to `ms` milliseconds (`None`: for ever) for one of the two; `None`: nothing came. A signal ends the wait with
/// [`io::ErrorKind::Interrupted`].
pub(crate) fn poll(fd: BorrowedFd<'_>, read: bool, write: bool, ms: Option<u64>) -> io::Result<Option<Ready>> {
    let wanted = if read { libc::POLLIN } else { 0 } | if write { libc::POLLOUT } else { 0 };
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: wanted, revents: 0 };
    let ms = ms.map_or(-1, |ms| i32::try_from(ms).unwrap_or(i32::MAX));
    // SAFETY: one pollfd, which outlives the call.
    if cvt(unsafe { libc::poll(&mut poll, 1, ms) })? == 0 {
        return Ok(None);
    }
    let failed = poll.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0;
    Ok(Some(Ready {
        readable: failed || poll.revents & libc::POLLIN != 0,
        writable: failed || poll.revents & libc::POLLOUT != 0,
    }))
}
