//! Writes to what may be a pipe. There is no MSG_NOSIGNAL for one, so the signal is kept from the host in another way.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Runs `write`. If nobody reads any more, it answers EPIPE, and the SIGPIPE that comes with it never reaches the host:
/// it is for the calling thread alone (pipe(7)), which blocks it until it has been taken away.
pub(crate) fn without_sigpipe<R>(write: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    let own = only_sigpipe();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // One that waits already is the host's own and stays; another makes no difference to it.
    // SAFETY: `own` is initialised; pthread_sigmask fills `before` when it answers 0.
    if is_pending() || unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &own, before.as_mut_ptr()) } != 0 {
        return write();
    }
    let written = write();
    if written.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EPIPE)) {
        take(&own);
    }
    // SAFETY: `before` was filled above; no old mask is asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    written
}

fn only_sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set before it is used.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}

fn is_pending() -> bool {
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigpending fills the set when it answers 0.
    unsafe { libc::sigpending(pending.as_mut_ptr()) == 0 && libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1 }
}

/// Takes a blocked signal that waits, without waiting for one.
fn take(set: &libc::sigset_t) {
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        // SAFETY: both are initialised; no further information is asked for.
        let signal = unsafe { libc::sigtimedwait(set, ptr::null_mut(), &at_once) };
        if signal >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return;
        }
    }
}
