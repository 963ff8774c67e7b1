//! The door to the kernel: each function is one system call, its failure a [`std::io::Error`].
#![allow(unsafe_code)]

pub(crate) mod epoll;
pub(crate) mod fork;
pub(crate) mod lock;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod probe;
pub(crate) mod socket;
pub(crate) mod terminal;
pub(crate) mod thread;
pub(crate) mod wake;

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Takes a new descriptor, on a number above those of standard input, output and error: where the host has closed these,
/// others may still write to them, and it would reach a peer.
///
/// # Safety
/// `fd` is open, and ours alone.
unsafe fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: as promised by the caller.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    if fd.as_raw_fd() > libc::STDERR_FILENO {
        return fd;
    }
    socket::duplicate(fd.as_fd(), 0).unwrap_or(fd)
}

/// Turns the `-1` of a system call into errno's error, in the expression that makes the call.
fn cvt(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for calls that answer with a length.
fn cvt_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
