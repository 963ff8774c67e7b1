//! What a server counts. Each worker has its own counters, which only it writes; a snapshot adds them up.
//!
//! Invariant: a connect is written before its disconnect, and a snapshot reads disconnects first, so that no
//! snapshot shows more disconnects than connects.

use crate::host::{REASON_SLOTS, Reason};
use crate::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The counters of one worker.
        #[derive(Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Count,)*
            /// Ended connections by [`Reason`].
            pub(crate) ends: [Count; REASON_SLOTS],
        }

        /// A sum over workers at one time.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// Ended connections by [`Reason`].
            pub ends: [u64; REASON_SLOTS],
        }

        impl Snapshot {
            /// Adds one worker's counters. For all workers, `ends` are to be added before the rest.
            fn add_rest(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.get();)*
            }
        }
    };
}

counters! {
    /// Connections that the kernel handed out, refused ones included, or the host.
    accepted,
    /// Refused by `on_accept`.
    refused_callback,
    /// Refused at the limit of connections.
    refused_limit,
    /// Refused at the limit per address.
    refused_per_ip,
    /// Refused for want of descriptors or memory.
    refused_descriptors,
    /// Refused for their PROXY header or its absence.
    refused_proxy,
    /// Handshakes that were completed.
    handshakes,
    /// Connections that failed before `on_connect`.
    handshakes_failed,
    /// Completed handshakes that resumed a session.
    handshakes_resumed,
    /// Connections that came up.
    connects,
    /// Plaintext received.
    bytes_in,
    /// Plaintext that the kernel has taken.
    bytes_out,
    /// Connections before `on_connect` that have begun.
    opened,
    /// Connections that have left that state.
    settled,
    /// Sends that were refused because the queue was full; counted from any thread.
    sends_refused,
    /// Bytes taken from hosts.
    queued,
    /// Of them, those that have left the queues.
    unqueued,
}

/// A count with one writer.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds `n`. Only the worker that owns the counters calls this.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + n, Ordering::Release);
    }

    /// Adds `n`, from any thread.
    pub(crate) fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Ordering::AcqRel);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Counters {
    /// Counts one ended connection.
    pub(crate) fn ended(&self, reason: Reason) {
        self.ends[reason as usize].add(1);
    }
}

impl Snapshot {
    /// Adds up all workers.
    pub(crate) fn of<'a>(workers: impl Iterator<Item = &'a Counters> + Clone) -> Snapshot {
        let mut sum = Snapshot::default();
        for counters in workers.clone() {
            for (total, count) in sum.ends.iter_mut().zip(&counters.ends) {
                *total += count.get();
            }
        }
        let unqueued = workers.clone().map(|counters| counters.unqueued.get()).sum();
        let settled = workers.clone().map(|counters| counters.settled.get()).sum();
        for counters in workers {
            sum.add_rest(counters);
        }
        Snapshot { unqueued, settled, ..sum }
    }

    /// Connections that have ended.
    pub fn disconnects(&self) -> u64 {
        self.ends.iter().sum()
    }

    /// Connections that are up.
    pub fn open(&self) -> u64 {
        self.connects - self.disconnects()
    }

    /// Connections on their way up.
    pub fn handshaking(&self) -> u64 {
        self.opened - self.settled
    }

    /// Bytes in all send queues.
    pub fn queued_bytes(&self) -> u64 {
        self.queued - self.unqueued
    }
}
