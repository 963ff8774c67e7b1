//! Writes to what may be a pipe or a file with a limit. There is no MSG_NOSIGNAL for them, so the signals are kept from the
//! host in another way.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// What comes with EPIPE, if nobody reads any more, and with EFBIG, at RLIMIT_FSIZE (write(2)).
const SIGNALS: [libc::c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

/// Runs `write`. The signals that come with a failure of it never reach the host: they are for the calling thread alone
/// (pipe(7), setrlimit(2)), which blocks them until they have been taken away.
pub(crate) fn without_signals<R>(write: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    let own = those_not_pending();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `own` is initialised; pthread_sigmask fills `before` when it answers 0.
    if unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &own, before.as_mut_ptr()) } != 0 {
        return write();
    }
    let written = write();
    if written.as_ref().is_err_and(|error| matches!(error.raw_os_error(), Some(libc::EPIPE | libc::EFBIG))) {
        take(&own);
    }
    // SAFETY: `before` was filled above; no old mask is asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    written
}

/// One that waits already is the host's own and stays; another makes no difference to it.
fn those_not_pending() -> libc::sigset_t {
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises both before they are used.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigemptyset(pending.as_mut_ptr());
        libc::sigpending(pending.as_mut_ptr());
        for signal in SIGNALS.into_iter().filter(|signal| libc::sigismember(pending.as_ptr(), *signal) != 1) {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
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
