//! Tells whether this process is a forked child of one in which servers ran.
//!
//! Such a child has the memory of the servers but none of their threads, so a lock may be held for
//! ever and nothing answers: it may only exec or exit (fork(2), "Notes"). Invariant: the mark is set
//! by the child itself, before `fork` returns there, and never taken away.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static CHILD: AtomicBool = AtomicBool::new(false);
static FORKED: AtomicBool = AtomicBool::new(false);

/// One running server; the count falls when it is dropped.
#[derive(Debug)]
pub(crate) struct Live(());

impl Live {
    fn count() -> Live {
        LIVE.fetch_add(1, Ordering::SeqCst);
        Live(())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts one running server, from before its first thread until after its last.
///
/// A fork while none runs (`daemon(3)`) leaves a child that may use everything.
pub(crate) fn enter() -> Result<Live> {
    watch()?;
    Ok(Live::count())
}

/// Whether this process came from a fork under a running server.
pub(crate) fn is_child() -> bool {
    CHILD.load(Ordering::Relaxed)
}

/// Registers the handler, once; after a failure (memory was out) the next call tries again.
fn watch() -> Result<()> {
    static WATCHED: Mutex<bool> = Mutex::new(false);
    let mut watched = WATCHED.lock();
    if *watched {
        return Ok(());
    }
    register(Some(note), Some(mark))?;
    *watched = true;
    Ok(())
}

/// Whether this process has forked under a running server: the child may still hold copies of its sockets.
pub(crate) fn has_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// Runs `handler` in each forked child from now on, before `fork` returns there. It may do only what is
/// async-signal-safe (pthread_atfork(3)).
pub(crate) fn in_child(handler: extern "C" fn()) -> Result<()> {
    register(None, Some(handler))
}

fn register(before: Option<extern "C" fn()>, in_child: Option<extern "C" fn()>) -> Result<()> {
    let unsafely = |handler: extern "C" fn()| handler as unsafe extern "C" fn();
    // SAFETY: plain functions of a library that stays mapped.
    match unsafe { libc::pthread_atfork(before.map(unsafely), None, in_child.map(unsafely)) } {
        0 => Ok(()),
        errno => Err(Error::system("pthread_atfork", &io::Error::from_raw_os_error(errno))),
    }
}

/// Before the fork, so that whoever closes a socket beside it knows.
extern "C" fn note() {
    if LIVE.load(Ordering::SeqCst) > 0 {
        FORKED.store(true, Ordering::SeqCst);
    }
}

extern "C" fn mark() {
    if LIVE.load(Ordering::SeqCst) > 0 {
        CHILD.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Forks, runs `body` in the child, and hands back the status that the child ended with.
    ///
    /// `body` must not allocate or lock: other threads of the test program may hold such locks.
    pub(crate) fn status_of_child(body: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child runs `body` and leaves by `_exit`; it never returns into the test runner.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork: {}", io::Error::last_os_error());
        if pid == 0 {
            let status = body();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(status) }
        }
        wait_for(pid)
    }

    fn wait_for(pid: libc::pid_t) -> i32 {
        let mut status = 0;
        // SAFETY: `pid` is a child of this process that nobody else waits for.
        while unsafe { libc::waitpid(pid, &mut status, 0) } < 0 {
            assert_eq!(io::Error::last_os_error().kind(), io::ErrorKind::Interrupted);
        }
        assert!(libc::WIFEXITED(status), "the child ended by a signal: {status:#x}");
        libc::WEXITSTATUS(status)
    }

    #[test]
    fn a_child_of_a_running_server_knows_it_and_so_does_its_own_child() {
        let live = enter().unwrap();
        let status = status_of_child(|| {
            // Also after its copies of the servers are gone.
            LIVE.store(0, Ordering::SeqCst);
            let here = is_child();
            let below = status_of_child(|| i32::from(is_child()));
            i32::from(here) + 2 * below
        });
        assert_eq!(status, 3);
        assert!(!is_child(), "the parent goes on");
        drop(live);
    }

    #[test]
    fn a_child_of_a_process_without_servers_is_free() {
        drop(enter().unwrap());
        // Other tests may run servers in this process, so the fork that counts is one generation down.
        let status = status_of_child(|| {
            LIVE.store(0, Ordering::SeqCst);
            CHILD.store(false, Ordering::SeqCst);
            status_of_child(|| i32::from(is_child()))
        });
        assert_eq!(status, 0);
    }

    #[test]
    fn the_count_falls_with_the_server() {
        let status = status_of_child(|| {
            LIVE.store(0, Ordering::SeqCst);
            let (one, two) = (Live::count(), Live::count());
            drop(one);
            let between = LIVE.load(Ordering::SeqCst);
            drop(two);
            (between * 10 + LIVE.load(Ordering::SeqCst)) as i32
        });
        assert_eq!(status, 10);
    }
}
