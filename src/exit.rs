//! `exit` under a running server: workers are kept out of OpenSSL before its clean-up runs.
//!
//! Handlers of `atexit(3)` run in the reverse order of their registration, and OpenSSL's was registered when it was
//! initialised, before ours. Ours takes each worker's busy lock for good: a worker finishes its turn, then waits for ever.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, ReentrantMutex};

use crate::error::{Error, Result};
use crate::sys::fork;
use crate::sys::thread::at_exit;
use crate::tls::raw;

/// Held by a worker while it is not waiting. Reentrant, because `exit` may be called from a callback.
pub(crate) type Busy = Arc<ReentrantMutex<()>>;

/// How long a worker may go on with its turn while the process exits.
const PATIENCE: Duration = Duration::from_secs(2);

static WORKERS: Mutex<Vec<Busy>> = Mutex::new(Vec::new());

/// Keeps a worker out of OpenSSL from `exit` on, until [`forget`].
pub(crate) fn watch(busy: Busy) -> Result<()> {
    raw::init();
    static REGISTERED: Mutex<bool> = Mutex::new(false);
    let mut registered = REGISTERED.lock();
    if !*registered {
        at_exit(hold_workers).map_err(|error| Error::system("atexit", &error))?;
        *registered = true;
    }
    WORKERS.lock().push(busy);
    Ok(())
}

/// The worker has ended.
pub(crate) fn forget(busy: &Busy) {
    WORKERS.lock().retain(|other| !Arc::ptr_eq(busy, other));
}

extern "C" fn hold_workers() {
    if fork::is_child() {
        // The workers, and whoever holds their locks, are in the parent.
        return;
    }
    // Whoever holds the list starts or stops a server and will not go on to use OpenSSL for long.
    let Some(workers) = WORKERS.try_lock_for(PATIENCE) else { return };
    for busy in workers.iter() {
        std::mem::forget(busy.try_lock_for(PATIENCE));
    }
}
