//! Threads that no signal of the host's lands on.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::thread::{Builder, JoinHandle};

/// Signals that a fault of the thread itself raises, or that a profiler or `abort` needs.
const LEFT_OPEN: [libc::c_int; 8] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
    libc::SIGPROF,
];

/// Starts a thread that blocks all signals but those of [`LEFT_OPEN`] that the caller does not block; its mask is on return
/// as before.
///
/// The mask is inherited (pthread_create(3)), so there is no moment in which the new thread has another.
pub(crate) fn spawn<F>(name: &str, run: F) -> io::Result<JoinHandle<()>>
where
    F: FnOnce() + Send + 'static,
{
    let before = block_signals()?;
    let thread = Builder::new().name(name.to_owned()).stack_size(stack_size()).spawn(run);
    // SAFETY: `before` was filled by the kernel; no old mask is asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
    thread
}

fn block_signals() -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `set` before it is used; pthread_sigmask fills `before` when it answers 0.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        for signal in LEFT_OPEN {
            libc::sigdelset(set.as_mut_ptr(), signal);
        }
        match libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr()) {
            0 => Ok(before.assume_init()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// The stack that a thread of the host's own would have, for callbacks run on it; not less than Rust's.
fn stack_size() -> usize {
    const LEAST: usize = 2 << 20;
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut size = 0;
    // SAFETY: the attributes are looked at, and given back, only if pthread_attr_init has filled them.
    unsafe {
        if libc::pthread_attr_init(attributes.as_mut_ptr()) == 0 {
            libc::pthread_attr_getstacksize(attributes.as_ptr(), &mut size);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
        }
    }
    size.max(LEAST)
}

unsafe extern "C" {
    fn pthread_setcancelstate(state: libc::c_int, before: *mut libc::c_int) -> libc::c_int;
}

/// While this lives the thread is not cancelled: a cancellation would unwind through what cannot be left in the middle
/// (pthread_setcancelstate(3)). One that is asked for meanwhile comes later.
pub(crate) struct Uncancelled(libc::c_int);

impl Uncancelled {
    /// From now on.
    pub(crate) fn begin() -> Uncancelled {
        /// PTHREAD_CANCEL_DISABLE.
        const DISABLE: libc::c_int = 1;
        let mut before = 0;
        // SAFETY: a place for the state before.
        unsafe { pthread_setcancelstate(DISABLE, &mut before) };
        Uncancelled(before)
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: the state that was found; the one before is not asked for.
        unsafe { pthread_setcancelstate(self.0, ptr::null_mut()) };
    }
}

/// Runs `handler` when the process exits, before the handlers that were registered earlier.
pub(crate) fn at_exit(handler: extern "C" fn()) -> io::Result<()> {
    // SAFETY: a plain function of a library that stays mapped.
    match unsafe { libc::atexit(handler) } {
        0 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::ENOMEM)),
    }
}

/// How many CPUs the process may run on (sched_getaffinity(2)); at least 1.
pub(crate) fn cpus() -> usize {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the set has the size that is given, and all zeros are a valid, empty one.
    let count = unsafe {
        match libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) {
            0 => libc::CPU_COUNT(set.assume_init_ref()),
            _ => 1,
        }
    };
    usize::try_from(count).map_or(1, |count| count.max(1))
}
