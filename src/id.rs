//! The 64-bit name of a connection: which worker, which of its slots, which use of that slot.
//!
//! Layout, from the top: 1 bit zero, 12 bits worker, 20 bits slot, 31 bits generation. Generations
//! start at 1, so 0 never names a connection, and a slot whose generations are used up is retired
//! (`slab.rs`), so one number never names two connections.

/// Names one connection for the whole life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u64);

/// How many workers a process can have at once.
pub const MAX_WORKERS: usize = 1 << WORKER_BITS;
/// How many connections one worker can have at once.
pub const MAX_SLOTS: usize = 1 << SLOT_BITS;
/// The last use of a slot.
pub const MAX_GENERATION: u32 = (1 << GENERATION_BITS) - 1;

const WORKER_BITS: u32 = 12;
const SLOT_BITS: u32 = 20;
const GENERATION_BITS: u32 = 31;

impl Id {
    /// Joins the three parts; each must be within its bits, and `generation` at least 1.
    pub fn new(worker: usize, slot: usize, generation: u32) -> Id {
        debug_assert!(worker < MAX_WORKERS && slot < MAX_SLOTS);
        debug_assert!((1..=MAX_GENERATION).contains(&generation));
        let place = ((worker as u64) << SLOT_BITS) | slot as u64;
        Id((place << GENERATION_BITS) | u64::from(generation))
    }

    /// Reads a number that came from outside; `None` if no connection can ever have it.
    pub fn from_u64(raw: u64) -> Option<Id> {
        let id = Id(raw);
        (raw >> 63 == 0 && id.generation() != 0).then_some(id)
    }

    /// The number that the host sees.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The worker that runs the connection.
    pub fn worker(self) -> usize {
        (self.0 >> (GENERATION_BITS + SLOT_BITS)) as usize
    }

    /// The place in that worker's slab.
    pub fn slot(self) -> usize {
        (self.0 >> GENERATION_BITS) as usize & (MAX_SLOTS - 1)
    }

    /// Which use of the slot.
    pub fn generation(self) -> u32 {
        self.0 as u32 & MAX_GENERATION
    }
}
