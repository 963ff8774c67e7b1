//! The counters, read while their worker writes them.

use std::sync::Arc;

use loom::thread;

use crate::host::Reason;
use crate::stats::{Counters, Snapshot};

/// "In every snapshot `open == connects - disconnects`": there is never less than nothing, of anything.
pub fn no_snapshot_shows_an_end_without_its_beginning() {
    let workers = Arc::new([Counters::default()]);
    let other = {
        let workers = workers.clone();
        thread::spawn(move || {
            let counters = &workers[0];
            counters.opened.add(1);
            counters.settled.add(1);
            counters.connects.add(1);
            counters.queued.add(5);
            counters.unqueued.add(5);
            counters.ended(Reason::Peer);
        })
    };
    let snapshot = Snapshot::of(workers.iter());
    assert!(snapshot.disconnects() <= snapshot.connects);
    assert!(snapshot.settled <= snapshot.opened);
    assert!(snapshot.unqueued <= snapshot.queued);
    other.join().unwrap();
}
