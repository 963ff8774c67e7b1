//! The door to the kernel: each function is one system call, its failure a [`std::io::Error`].
#![allow(unsafe_code)]

pub(crate) mod epoll;
pub(crate) mod fork;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod probe;
pub(crate) mod socket;
pub(crate) mod terminal;
pub(crate) mod thread;
pub(crate) mod wake;

use std::io;

/// Turns the `-1` of a system call into errno's error, in the expression that makes the call.
fn cvt(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for calls that answer with a length.
fn cvt_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
