//! What other threads ask of one worker: a list, and one wake-up for as many requests as come while it sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::address::Address;
use crate::error::Result;
use crate::id::Id;
use crate::registry::Lane;
use crate::slab::Key;
use crate::stats::Counters;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sys::wake::Wake;
use crate::target::Target;

/// A request to one worker. Those to a connection wait in its cell; the note only says where to look.
pub(crate) enum Note {
    /// Another thread has left something with this connection.
    Left(Id),
    /// A connection to take in.
    Newcomer(Box<Newcomer>),
    /// A connection to begin.
    Outgoing(Box<Outgoing>),
    /// The addresses of the connection's name, or why there are none.
    LookedUp(Key, Result<Vec<Address>>),
}

/// A connected socket that has its name already, and waits to be taken in by its worker.
pub(crate) struct Newcomer {
    pub(crate) key: Key,
    pub(crate) fd: OwnedFd,
    /// It begins with a PROXY header.
    pub(crate) proxied: bool,
}

/// A connection that has its name already, and goes out when its worker has taken it in.
pub(crate) struct Outgoing {
    pub(crate) key: Key,
    /// An unconnected socket, which keeps the place.
    pub(crate) fd: OwnedFd,
    pub(crate) target: Arc<Target>,
    /// For the whole way up, in milliseconds.
    pub(crate) timeout: Option<u64>,
    /// `None`: they are being looked up.
    pub(crate) addresses: Option<Vec<Address>>,
}

#[derive(Default)]
struct Notes {
    list: Vec<Note>,
    /// How many are about to leave one that has to be heeded.
    guests: usize,
    /// The worker would have ended but for them.
    wanted_shut: bool,
    /// The worker has ended.
    closed: bool,
}

/// Whoever has this may leave a note that the worker heeds: it does not end before.
pub(crate) struct Guest<'a> {
    inbox: &'a Inbox,
}

impl Guest<'_> {
    /// Leaves it.
    pub(crate) fn leave(self, note: Note) {
        self.inbox.push(note);
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        let mut notes = self.inbox.notes.lock();
        notes.guests -= 1;
        let awaited = notes.wanted_shut;
        drop(notes);
        if awaited {
            self.inbox.nudge();
        }
    }
}

/// The requests to one worker.
pub(crate) struct Inbox {
    wake: Wake,
    notes: Mutex<Notes>,
    /// Whether there are any, so that a turn without requests takes no lock. Changed under the lock alone.
    has_notes: AtomicBool,
    /// True from just before the worker waits until somebody wakes it. Whoever turns it to false writes to the
    /// wake descriptor, so a batch costs one write.
    asleep: AtomicBool,
    /// From how many queued bytes on a send is refused.
    pub(crate) high_water: usize,
    /// What the worker counts.
    pub(crate) counters: Counters,
    /// The worker's names, as long as it has them.
    lane: Mutex<Option<&'static Lane>>,
}

impl Inbox {
    /// An empty inbox whose worker has not begun.
    pub(crate) fn new(high_water: usize) -> io::Result<Inbox> {
        Ok(Inbox {
            wake: Wake::new()?,
            notes: Mutex::new(Notes::default()),
            has_notes: AtomicBool::new(false),
            asleep: AtomicBool::new(true),
            high_water,
            counters: Counters::default(),
            lane: Mutex::new(None),
        })
    }

    /// Leaves a request and sees to it that the worker looks.
    pub(crate) fn push(&self, note: Note) {
        {
            let mut notes = self.notes.lock();
            notes.list.push(note);
            self.has_notes.store(true, Ordering::SeqCst);
        }
        self.nudge();
    }

    /// Lets somebody in who will leave a note; `None`: the worker has ended.
    pub(crate) fn admit(&self) -> Option<Guest<'_>> {
        let mut notes = self.notes.lock();
        if notes.closed {
            return None;
        }
        notes.guests += 1;
        Some(Guest { inbox: self })
    }

    /// The worker ends, unless there is a note, or somebody is about to leave one. From then on nobody is let in.
    pub(crate) fn close(&self) -> bool {
        let mut notes = self.notes.lock();
        notes.closed |= notes.list.is_empty() && notes.guests == 0;
        notes.wanted_shut = true;
        notes.closed
    }

    /// Whether somebody is about to leave a note.
    pub(crate) fn has_guests(&self) -> bool {
        self.notes.lock().guests > 0
    }

    /// Makes the worker take a turn, if it may be waiting.
    pub(crate) fn nudge(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) && !self.wake.wake() {
            // Nobody has been woken, so whoever asks next tries again.
            self.asleep.store(true, Ordering::SeqCst);
        }
    }

    /// Makes the worker take a turn; async-signal-safe.
    pub(crate) fn signal(&self) {
        self.wake.wake();
    }

    /// The worker is about to wait; false: it must not, there are requests.
    ///
    /// Either a sender's swap of `asleep` comes before ours, and then we see what it did before (its note, or why it
    /// nudges), or after, and then it finds `asleep` true and writes. A plain store would see nothing.
    pub(crate) fn may_sleep(&self) -> bool {
        self.asleep.swap(true, Ordering::SeqCst);
        self.is_empty()
    }

    /// Whether nothing is asked.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_notes.load(Ordering::SeqCst)
    }

    /// The worker is awake and will look by itself; as in [`Inbox::may_sleep`], it sees why it was nudged.
    pub(crate) fn awake(&self) {
        self.asleep.swap(false, Ordering::SeqCst);
    }

    /// Takes all requests; `into` must be empty and gets them in order.
    pub(crate) fn take(&self, into: &mut Vec<Note>) {
        if self.is_empty() {
            return;
        }
        let mut notes = self.notes.lock();
        self.has_notes.store(false, Ordering::SeqCst);
        std::mem::swap(&mut notes.list, into);
    }

    /// The names of the worker that reads this.
    pub(crate) fn lane(&self) -> Option<&'static Lane> {
        *self.lane.lock()
    }

    /// The worker begins with these names, or gives them up.
    pub(crate) fn set_lane(&self, lane: Option<&'static Lane>) {
        *self.lane.lock() = lane;
    }

    /// The descriptor to watch.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
