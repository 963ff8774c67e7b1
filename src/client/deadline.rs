//! How long a blocking call may take in all, on the monotonic clock.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::exit;
use crate::sys::poll::{Ready, poll};

/// The end of a blocking call's time.
pub(super) struct Deadline {
    at: Option<Instant>,
    /// It had passed when somebody waited for the last time.
    is_over: bool,
}

impl Deadline {
    /// In so many milliseconds from now; `None`: never.
    pub(super) fn after(ms: Option<u64>) -> Deadline {
        let at = ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
        Deadline { at, is_over: false }
    }

    /// The time itself.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Whether it has passed.
    pub(super) fn has_passed(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    /// The first of `parts` equal parts of what is left. Of a time without end, `endless` is such a part.
    pub(super) fn part(&self, parts: usize, endless: Duration) -> Deadline {
        let now = Instant::now();
        let left = self.at.map(|at| at.saturating_duration_since(now));
        let at = match left {
            _ if parts <= 1 => self.at,
            Some(left) => now.checked_add(left / u32::try_from(parts).unwrap_or(u32::MAX)),
            None => now.checked_add(endless),
        };
        Deadline { at, is_over: false }
    }

    /// Waits until the descriptor is ready; `None`: the time is up. What is ready when it ends is found once more, so
    /// that a short time does not miss what was there all along, and no more than once.
    pub(super) fn wait(&mut self, fd: BorrowedFd<'_>, read: bool, write: bool) -> io::Result<Option<Ready>> {
        if self.is_over {
            return Ok(None);
        }
        loop {
            let left = self.at.map(|at| at.saturating_duration_since(Instant::now()));
            self.is_over = left.is_some_and(|left| left.is_zero());
            let pause = exit::pause();
            let ready = poll(fd, read, write, left.map(round_up));
            drop(pause);
            match ready {
                Ok(None) if !self.is_over => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// Whole milliseconds that are not too few.
fn round_up(left: Duration) -> u64 {
    u64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_wait_ends_by_its_time_and_finds_once_what_is_there() {
        let (one, other) = UnixStream::pair().unwrap();
        let mut deadline = Deadline::after(Some(0));
        assert_eq!(deadline.wait(one.as_fd(), true, false).unwrap(), None);
        let mut deadline = Deadline::after(Some(0));
        let ready = Ready { readable: false, writable: true };
        assert_eq!(deadline.wait(one.as_fd(), true, true).unwrap(), Some(ready));
        assert_eq!(deadline.wait(one.as_fd(), true, true).unwrap(), None, "the time was up before");
        drop(other);
        let ended = Ready { readable: true, writable: true };
        assert_eq!(Deadline::after(None).wait(one.as_fd(), true, false).unwrap(), Some(ended));
    }

    #[test]
    fn time_is_shared_among_those_who_are_left() {
        let whole = Deadline::after(Some(1_000_000));
        assert_eq!(whole.part(1, Duration::ZERO).at, whole.at);
        let half = whole.part(2, Duration::ZERO).at.unwrap();
        assert!(half < whole.at.unwrap() && half > Instant::now());
        let never = Deadline::after(None);
        assert_eq!(never.part(1, Duration::ZERO).at, None);
        assert!(never.part(2, Duration::from_secs(5)).at.is_some());
    }

    #[test]
    fn milliseconds_are_never_too_few() {
        assert_eq!(round_up(Duration::ZERO), 0);
        assert_eq!(round_up(Duration::from_nanos(1)), 1);
        assert_eq!(round_up(Duration::from_micros(1001)), 2);
    }
}
