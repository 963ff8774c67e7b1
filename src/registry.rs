//! From an id to its cell, from any thread, also after the server is gone.
//!
//! The process has lanes, one for each worker that runs; a lane outlives its worker, and the next worker that takes it
//! goes on with its names. Invariant: lanes and cells are never freed, so looking one up takes no lock.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::id::{Id, MAX_SLOTS, MAX_WORKERS};
use crate::inbox::Inbox;
use crate::slab::{Key, Names};

/// Cells are made this many at a time.
const CHUNK: usize = 256;

/// The names and cells of one worker's connections.
pub(crate) struct Lane {
    number: usize,
    chunks: Box<[OnceLock<Box<[Cell]>>]>,
    names: Mutex<Names>,
    /// Whom to tell when something is left in a cell; `None` while no worker has the lane.
    inbox: Mutex<Option<Arc<Inbox>>>,
}

static LANES: [OnceLock<Box<Lane>>; MAX_WORKERS] = [const { OnceLock::new() }; MAX_WORKERS];
static FREE: Mutex<Free> = Mutex::new(Free { made: 0, numbers: Vec::new() });

/// Lanes that no worker has.
struct Free {
    made: usize,
    numbers: Vec<usize>,
}

/// Gives a lane to a worker.
pub(crate) fn claim(inbox: Arc<Inbox>) -> Result<&'static Lane> {
    let mut free = FREE.lock();
    let number = match free.numbers.pop() {
        Some(number) => number,
        None if free.made == MAX_WORKERS => {
            return Err(Error::state(format!("workers: the process has {MAX_WORKERS} already")));
        }
        None => {
            free.made += 1;
            free.made - 1
        }
    };
    let lane = LANES[number].get_or_init(|| Box::new(Lane::new(number)));
    inbox.set_lane(Some(lane));
    *lane.inbox.lock() = Some(inbox);
    Ok(lane)
}

/// Takes a lane back from a worker that has ended all its connections.
pub(crate) fn release(lane: &Lane) {
    if let Some(inbox) = lane.inbox.lock().take() {
        inbox.set_lane(None);
    }
    FREE.lock().numbers.push(lane.number);
}

/// The lane and the cell that an id leads to, if there ever were such. Whether the id still lives there only
/// [`Cell::lock`] can tell.
pub(crate) fn find(id: Id) -> Result<(&'static Lane, &'static Cell)> {
    let lane = LANES[id.worker()].get().ok_or_else(Error::closed)?;
    let chunk = lane.chunks[id.slot() / CHUNK].get().ok_or_else(Error::closed)?;
    Ok((lane, &chunk[id.slot() % CHUNK]))
}

impl Lane {
    fn new(number: usize) -> Lane {
        Lane {
            number,
            chunks: (0..MAX_SLOTS / CHUNK).map(|_| OnceLock::new()).collect(),
            names: Mutex::new(Names::default()),
            inbox: Mutex::new(None),
        }
    }

    /// Its number, which is the worker's part of an id.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The cell behind a name that was handed out.
    pub(crate) fn cell(&'static self, key: Key) -> &'static Cell {
        let slot = key.slot as usize;
        let chunk = self.chunks[slot / CHUNK].get_or_init(|| (0..CHUNK).map(|_| Cell::default()).collect());
        &chunk[slot % CHUNK]
    }

    /// A new name and the cell behind it; `None` when the lane is full.
    pub(crate) fn name(&'static self) -> Option<(Key, Id, &'static Cell)> {
        let key = self.names.lock().claim()?;
        Some((key, Id::new(self.number, key.slot as usize, key.generation), self.cell(key)))
    }

    /// Takes a name back. Its cell must be closed.
    pub(crate) fn forget(&self, key: Key) {
        self.names.lock().release(key);
    }

    /// Uses the inbox of the worker that has the lane. The worker gives it up under the same lock, so nobody still holds its
    /// descriptor when the server has stopped.
    pub(crate) fn with_inbox<R>(&self, act: impl FnOnce(&Inbox) -> R) -> Option<R> {
        self.inbox.lock().as_deref().map(act)
    }
}
