//! The send queue of one connection: its bytes ([`Queue`]), which only the worker touches, and their count
//! ([`Gauge`]), which any thread may raise.
//!
//! Invariant of [`Queue`]: `len` is the sum of the chunks; only `push`, `append` and `consume` change it.
//! Invariant of [`Gauge`]: one atomic word holds the count and what was decided on it, so that a refusal and the
//! drain that answers it never miss each other.

use std::collections::TryReserveError;
use std::collections::VecDeque;

use crate::sync::atomic::{AtomicU64, Ordering};

/// Capacity of the chunks that a worker keeps: what one turn reads from one connection fits into it.
pub const CHUNK: usize = 64 * 1024;
/// How many chunks of that capacity a worker keeps.
const KEPT: usize = 64;
/// Capacity of the chunks beyond those.
const SMALL: usize = 4 * 1024;

/// Chunks that a worker lends to its connections, so that a busy connection allocates nothing.
pub struct Pool {
    free: Vec<Vec<u8>>,
    made: usize,
}

impl Pool {
    /// An empty pool; it fills as chunks come back.
    pub fn new() -> Pool {
        Pool { free: Vec::with_capacity(KEPT), made: 0 }
    }

    fn take(&mut self, len: usize) -> Result<Vec<u8>, TryReserveError> {
        if len <= CHUNK
            && let Some(chunk) = self.free.pop()
        {
            return Ok(chunk);
        }
        let lend = len <= CHUNK && self.made < KEPT;
        let mut chunk = Vec::new();
        chunk.try_reserve_exact(if lend { CHUNK } else { len.max(SMALL) })?;
        self.made += usize::from(lend);
        Ok(chunk)
    }

    fn give(&mut self, mut chunk: Vec<u8>) {
        if chunk.capacity() == CHUNK && self.free.len() < KEPT {
            chunk.clear();
            self.free.push(chunk);
        }
    }
}

impl Default for Pool {
    fn default() -> Pool {
        Pool::new()
    }
}

/// Bytes that wait for the kernel, in order.
#[derive(Default)]
pub struct Queue {
    front: Vec<u8>,
    start: usize,
    /// The chunks behind the front; most queues never have one.
    #[allow(clippy::box_collection, reason = "a VecDeque takes four words also when it is empty")]
    rest: Option<Box<VecDeque<Vec<u8>>>>,
    len: usize,
}

impl Queue {
    /// An empty queue, which holds no memory.
    pub fn new() -> Queue {
        Queue::default()
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies the parts to the tail; on failure nothing has changed.
    pub fn push(&mut self, parts: &[&[u8]], pool: &mut Pool) -> Result<(), TryReserveError> {
        let len = parts.iter().map(|part| part.len()).sum();
        let tail = self.rest.as_mut().and_then(|rest| rest.back_mut()).unwrap_or(&mut self.front);
        if tail.capacity() - tail.len() >= len {
            parts.iter().for_each(|part| tail.extend_from_slice(part));
        } else {
            let mut chunk = pool.take(len)?;
            parts.iter().for_each(|part| chunk.extend_from_slice(part));
            self.link(chunk);
        }
        self.len += len;
        Ok(())
    }

    /// Moves a whole buffer to the tail.
    pub fn append(&mut self, bytes: Vec<u8>) {
        self.len += bytes.len();
        if !bytes.is_empty() {
            self.link(bytes);
        }
    }

    fn link(&mut self, chunk: Vec<u8>) {
        if self.front.capacity() == 0 {
            self.front = chunk;
        } else {
            self.rest.get_or_insert_default().push_back(chunk);
        }
    }

    fn next_chunk(&mut self) -> Option<Vec<u8>> {
        let chunk = self.rest.as_mut()?.pop_front();
        if chunk.is_none() {
            self.rest = None;
        }
        chunk
    }

    /// The oldest bytes that lie together; empty only if the queue is.
    pub fn front(&self) -> &[u8] {
        &self.front[self.start..]
    }

    /// Forgets the oldest `n` bytes, which must lie in [`Queue::front`].
    pub fn consume(&mut self, n: usize, pool: &mut Pool) {
        self.start += n;
        self.len -= n;
        if self.start == self.front.len() {
            self.start = 0;
            let next = self.next_chunk().unwrap_or_default();
            pool.give(std::mem::replace(&mut self.front, next));
        }
    }

    /// Prepares for a long wait: a few bytes do not keep a chunk of the pool from the others.
    pub fn settle(&mut self, pool: &mut Pool) {
        let left = self.front.len() - self.start;
        if self.front.capacity() == CHUNK && left <= CHUNK / 4 {
            let kept = self.front[self.start..].to_vec();
            self.start = 0;
            pool.give(std::mem::replace(&mut self.front, kept));
        }
    }

    /// Drops all bytes and gives the chunks back.
    pub fn clear(&mut self, pool: &mut Pool) {
        pool.give(std::mem::take(&mut self.front));
        while let Some(chunk) = self.next_chunk() {
            pool.give(chunk);
        }
        *self = Queue::new();
    }
}

/// How many bytes of a connection are accepted and not yet in the kernel's hands, and what follows from it.
#[derive(Default)]
pub struct Gauge {
    word: AtomicU64,
}

/// A send was refused, and a drain will follow.
const FULL: u64 = 1;
/// Other threads have left something with the connection.
const LEFT: u64 = 2;
/// Where the marks of [`Mark`] begin.
const MARKS: u32 = 2;
/// No more sends: one of [`Mark`], whichever.
const SEALED: u64 = 7 << MARKS;
/// Where the count begins.
const COUNT: u32 = 5;

/// How far the host has gone in ending a connection; each is reached once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Its own direction is ended.
    Ended = 0,
    /// Both are.
    Closed = 1,
    /// At once, and what is queued is dropped.
    Aborted = 2,
}

/// Why a send was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The count is at or above high water.
    Full,
    /// The connection has begun to end.
    Sealed,
}

impl Gauge {
    /// Begins anew for a new connection.
    pub fn reset(&self) {
        self.word.store(0, Ordering::SeqCst);
    }

    /// Counts `n` more bytes, or says why not. `left` marks that they wait with the connection for its worker.
    ///
    /// A refusal for want of room is written into the same word, so the drain that follows cannot miss it.
    pub fn accept(&self, n: usize, high: usize, left: bool) -> Result<(), Refusal> {
        let mut word = self.word.load(Ordering::SeqCst);
        loop {
            if word & SEALED != 0 {
                return Err(Refusal::Sealed);
            }
            let full = word >> COUNT >= high as u64;
            let next = if full { word | FULL } else { (word + ((n as u64) << COUNT)) | if left { LEFT } else { 0 } };
            match self.word.compare_exchange_weak(word, next, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) if full => return Err(Refusal::Full),
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Takes back `n` bytes that the kernel has, or that were dropped. True: the queue was full and has fallen to
    /// `low`, so the host is to be told, once.
    pub fn release(&self, n: usize, low: usize) -> bool {
        let before = self.word.fetch_sub((n as u64) << COUNT, Ordering::SeqCst);
        let count = (before >> COUNT) - n as u64;
        if before & FULL == 0 || before & SEALED != 0 || count > low as u64 {
            return false;
        }
        self.word.fetch_and(!FULL, Ordering::SeqCst) & FULL != 0
    }

    /// Takes back `n` bytes that were counted and never queued. A refusal meanwhile is answered by the next release.
    pub fn take_back(&self, n: usize) {
        self.word.fetch_sub((n as u64) << COUNT, Ordering::SeqCst);
    }

    /// Whether a send was refused for want of room, and the host has not been told yet that there is room again.
    pub fn is_full(&self) -> bool {
        self.word.load(Ordering::SeqCst) & FULL != 0
    }

    /// Refuses all sends from now on, and says how: true unless it was said as strongly before.
    pub fn seal(&self, mark: Mark) -> bool {
        let weaker_too = (2_u64 << mark as u32) - 1;
        self.word.fetch_or(weaker_too << MARKS, Ordering::SeqCst) & (1 << (mark as u32 + MARKS)) == 0
    }

    /// Whether sends are refused for good.
    pub fn is_sealed(&self) -> bool {
        self.word.load(Ordering::SeqCst) & SEALED != 0
    }

    /// Marks that another thread has left something with the connection.
    pub fn mark_left(&self) {
        self.word.fetch_or(LEFT, Ordering::SeqCst);
    }

    /// Whether other threads have left something.
    pub fn has_left(&self) -> bool {
        self.word.load(Ordering::SeqCst) & LEFT != 0
    }

    /// Takes the mark away; the caller is about to look.
    pub fn take_left(&self) {
        self.word.fetch_and(!LEFT, Ordering::SeqCst);
    }

    /// The count.
    pub fn count(&self) -> usize {
        (self.word.load(Ordering::SeqCst) >> COUNT) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_drain_answers_many_refusals() {
        let gauge = Gauge::default();
        assert_eq!(gauge.accept(150, 100, false), Ok(()), "below high water any size is taken");
        assert_eq!(gauge.accept(1, 100, false), Err(Refusal::Full));
        assert_eq!(gauge.accept(1, 100, false), Err(Refusal::Full));
        assert!(!gauge.release(120, 25), "still above low water");
        assert!(gauge.release(5, 25), "low water");
        assert!(!gauge.release(25, 25), "told already");
        assert_eq!(gauge.count(), 0);
    }

    #[test]
    fn a_refusal_for_bytes_that_were_never_queued_is_answered_too() {
        let gauge = Gauge::default();
        assert_eq!(gauge.accept(150, 100, false), Ok(()));
        assert_eq!(gauge.accept(1, 100, false), Err(Refusal::Full));
        gauge.take_back(150);
        assert!(gauge.is_full());
        assert!(gauge.release(0, 25), "the next release tells");
        assert!(!gauge.is_full() && !gauge.release(0, 25));
    }

    #[test]
    fn a_sealed_queue_takes_nothing_and_drains_silently() {
        let gauge = Gauge::default();
        assert_eq!(gauge.accept(100, 100, false), Ok(()));
        assert_eq!(gauge.accept(1, 100, false), Err(Refusal::Full));
        assert!(gauge.seal(Mark::Ended));
        assert!(!gauge.seal(Mark::Ended), "only the first seals");
        assert!(gauge.seal(Mark::Aborted), "a stronger end is still possible");
        assert!(!gauge.seal(Mark::Closed), "a weaker one is not");
        assert_eq!(gauge.accept(0, 100, false), Err(Refusal::Sealed));
        assert!(!gauge.release(100, 25), "no drain once the end has begun");
    }

    #[test]
    fn refusals_and_drains_alternate_between_threads() {
        let gauge = Gauge::default();
        let (mut episodes, mut drains) = (0, 0);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut refused = 0;
                for _ in 0..200_000 {
                    refused += usize::from(gauge.accept(1, 8, true) == Err(Refusal::Full));
                }
                refused
            });
            while !sender.is_finished() || gauge.count() > 0 {
                if gauge.count() > 0 {
                    drains += usize::from(gauge.release(1, 2));
                }
            }
            episodes = sender.join().expect("the sender");
        });
        assert!(episodes == 0 || drains > 0, "a refusal is always answered");
        assert!(drains <= episodes, "and never without one");
    }

    proptest! {
        /// Whatever is pushed, appended and consumed, in whatever sizes, comes out whole and in order.
        #[test]
        fn bytes_leave_in_order(steps in proptest::collection::vec((0_u8..4, 0_usize..100_000), 1..40)) {
            let (mut queue, mut pool) = (Queue::new(), Pool::new());
            let (mut pushed, mut taken) = (0_usize, 0_usize);
            let pattern = |at: usize| (at % 251) as u8;
            for (step, size) in steps {
                let bytes: Vec<u8> = (pushed..pushed + size).map(pattern).collect();
                match step {
                    0 => { queue.push(&[&bytes], &mut pool).expect("memory"); pushed += size; }
                    1 => { queue.append(bytes); pushed += size; }
                    2 => queue.settle(&mut pool),
                    _ => {
                        let front = queue.front();
                        let n = size.min(front.len());
                        for (i, byte) in front[..n].iter().enumerate() {
                            prop_assert_eq!(*byte, pattern(taken + i));
                        }
                        if n > 0 { queue.consume(n, &mut pool); }
                        taken += n;
                    }
                }
                prop_assert_eq!(queue.len(), pushed - taken);
                prop_assert_eq!(queue.is_empty(), queue.front().is_empty());
            }
        }
    }
}
