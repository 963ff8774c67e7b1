//! Advisory locks, `flock(2)`: among processes that take them.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::cvt;

/// How often a lock is tried, and how long the pause between two tries is: a second in all.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// Locks a directory until the answer is dropped. `None` where that cannot be: one that may not be read, a file system
/// without locks, somebody who does not let go.
pub(crate) fn take(directory: &Path) -> Option<File> {
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let file = File::open(here).ok()?;
    for _ in 0..TRIES {
        // SAFETY: no pointers.
        match cvt(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
            Ok(_) => return Some(file),
            Err(error) if error.raw_os_error() == Some(libc::EWOULDBLOCK) => thread::sleep(PAUSE),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(_) => return None,
        }
    }
    None
}
