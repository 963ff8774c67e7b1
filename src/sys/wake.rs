//! What wakes a waiting loop: an `eventfd(2)` for other threads, a `timerfd_create(2)` for deadlines.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use std::{ptr, thread};

use super::{cvt, cvt_len, own};

/// How long a wait that cannot be takes instead.
const REST: Duration = Duration::from_millis(100);
/// How often a wake-up is tried: one that is lost may never be made good, because whoever waits for it does nothing.
const ATTEMPTS: usize = 4;

/// Wakes a loop from any thread and from a signal handler.
pub(crate) struct Wake {
    fd: OwnedFd,
}

impl Wake {
    /// A new event counter, non-blocking and close-on-exec.
    pub(crate) fn new() -> io::Result<Wake> {
        // SAFETY: no pointers; the descriptor that comes back is ours alone.
        let fd = unsafe { own(cvt(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?) };
        Ok(Wake { fd })
    }

    /// Makes the descriptor readable; false: it could not be. Async-signal-safe; errno is left as it was (signal-safety(7)).
    pub(crate) fn wake(&self) -> bool {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: errno is the calling thread's own; `one` is 8 readable bytes.
        unsafe {
            let errno = *libc::__errno_location();
            let is_readable = (0..ATTEMPTS).any(|_| {
                let written = libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len());
                // When the counter is at its end, the descriptor is readable already.
                written >= 0 || *libc::__errno_location() == libc::EAGAIN
            });
            *libc::__errno_location() = errno;
            is_readable
        }
    }

    /// Waits until the descriptor is readable; a signal ends the wait early. Where there is no waiting (poll(2): no memory,
    /// no descriptors at all), it rests, so that the caller looks again now and then.
    pub(crate) fn wait(&self) {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, which outlives the call.
        if let Err(error) = cvt(unsafe { libc::poll(&mut poll, 1, -1) })
            && error.kind() != io::ErrorKind::Interrupted
        {
            thread::sleep(REST);
        }
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes a loop's descriptor readable when its next deadline has come, for hosts that wait themselves.
pub(crate) struct Clock {
    fd: OwnedFd,
}

impl Clock {
    /// A new clock that counts monotonic time, so a jump of the wall clock moves nothing.
    pub(crate) fn new() -> io::Result<Clock> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no pointers; the descriptor that comes back is ours alone.
        let fd = unsafe { own(cvt(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags))?) };
        Ok(Clock { fd })
    }

    /// Rings once in `ms` milliseconds (at least one); `None`: never.
    pub(crate) fn set(&self, ms: Option<u64>) -> io::Result<()> {
        let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value = ms.map_or(none, |ms| {
            let ms = ms.max(1);
            libc::timespec { tv_sec: (ms / 1000) as libc::time_t, tv_nsec: (ms % 1000 * 1_000_000) as libc::c_long }
        });
        let spec = libc::itimerspec { it_interval: none, it_value: value };
        // SAFETY: `spec` outlives the call, and no old value is asked for.
        cvt(unsafe { libc::timerfd_settime(self.fd.as_raw_fd(), 0, &spec, ptr::null_mut()) })?;
        Ok(())
    }

    /// Takes note that it has rung.
    pub(crate) fn clear(&self) {
        read_counter(self.fd.as_fd());
    }
}

impl AsFd for Clock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Empties the counter of an eventfd or timerfd; that it was empty already is no failure.
fn read_counter(fd: BorrowedFd<'_>) {
    let mut counter = [0_u8; 8];
    // SAFETY: `counter` has the 8 bytes that the kernel writes.
    let _ = cvt_len(unsafe { libc::read(fd.as_raw_fd(), counter.as_mut_ptr().cast(), counter.len()) });
}
