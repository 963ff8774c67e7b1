//! What a worker and the calls made from its callbacks both reach: its connections and what it lends to them.
//!
//! It stands in a thread-local while the worker runs, so that a call from a callback finds it without a lock. Invariant:
//! it is borrowed only for a step of one connection, never while host code runs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Instant;

use crate::cell::Ask;
use crate::conn::{Conn, Limits, Tools};
use crate::contain;
use crate::error::{Error, Result};
use crate::exit;
use crate::host;
use crate::id::Id;
use crate::inbox::Inbox;
use crate::info::Usual;
use crate::log::Line;
use crate::queue::Pool;
use crate::registry::Lane;
use crate::slab::{Key, Slab};
use crate::tls::wire::Buffers;

thread_local! {
    /// It stays usable to the very end of its thread, where exit handlers and destructors of the host's still call:
    /// without anything to drop, nothing ends it earlier.
    static LOCAL: RefCell<ManuallyDrop<Option<Box<Shard>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// How many connections may keep their buffers for records: about two megabytes' worth.
const FEW: usize = 64;

/// One worker's connections.
pub(crate) struct Shard {
    lane: &'static Lane,
    inbox: Arc<Inbox>,
    limits: Limits,
    began: Instant,
    /// Milliseconds since then, as of this turn, or of the last request that has to do with time.
    now: Cell<u64>,
    /// The connection whose callbacks may run now.
    visiting: Cell<Option<Key>>,
    inner: RefCell<Inner>,
}

struct Inner {
    conns: Slab<Conn>,
    bufs: Buffers,
    pool: Pool,
    usual: Usual,
    /// Connections that keep their buffers for records, the one that was asked last at the end.
    warm: VecDeque<Key>,
    /// Connections to visit without an event.
    agenda: VecDeque<Key>,
    /// The same for those on their way up, whose steps cost more; they wait for the others.
    newcomers: VecDeque<Key>,
}

impl Shard {
    /// No connections yet.
    pub(crate) fn new(lane: &'static Lane, inbox: Arc<Inbox>, limits: Limits) -> Shard {
        let inner = Inner {
            conns: Slab::new(),
            bufs: Buffers::new(),
            pool: Pool::new(),
            usual: Usual::default(),
            warm: VecDeque::new(),
            agenda: VecDeque::new(),
            newcomers: VecDeque::new(),
        };
        let (began, now, visiting) = (Instant::now(), Cell::new(0), Cell::new(None));
        Shard { lane, inbox, limits, began, now, visiting, inner: RefCell::new(inner) }
    }

    /// The names and cells of its connections.
    pub(crate) fn lane(&self) -> &'static Lane {
        self.lane
    }

    /// What other threads ask of it.
    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// The time of this turn.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// A turn begins, or something is asked for that counts from now: a callback before may have taken its time.
    pub(crate) fn look_at_clock(&self) -> Instant {
        let now = Instant::now();
        self.now.set(self.millis(now));
        now
    }

    /// The milliseconds from the beginning of the worker to a moment.
    pub(crate) fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    /// Callbacks of this connection may run from now on; `None`: of none.
    pub(crate) fn set_visiting(&self, key: Option<Key>) {
        self.visiting.set(key);
    }

    /// How a line of the log begins that concerns a connection.
    pub(crate) fn line(&self, event: &'static str, key: Key) -> Line {
        let id = Id::new(self.lane.number(), key.slot as usize, key.generation);
        let peer = self.lane.cell(key).facts().map(|facts| facts.peer_text()).unwrap_or_default();
        Line::of(event).with("conn", id.to_u64()).with("peer", peer)
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.inner.borrow().conns.len()
    }

    /// Their keys.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.inner.borrow().conns.keys()
    }

    /// A step of one connection, with what it needs; `None` if it is gone.
    pub(crate) fn step<R>(
        &self,
        key: Key,
        plain: &mut [u8],
        step: impl FnOnce(&mut Conn, &mut Tools<'_>) -> R,
    ) -> Option<R> {
        // The host's code may have run before.
        exit::hold_if_over();
        let Inner { conns, bufs, pool, usual, .. } = &mut *self.inner.borrow_mut();
        let counters = &self.inbox.counters;
        let mut tools = Tools { bufs, plain, pool, usual, limits: &self.limits, counters, now: self.now.get() };
        conns.get_mut(key).map(|conn| step(conn, &mut tools))
    }

    /// Asks a connection something, without the worker's buffers.
    pub(crate) fn ask<R>(&self, key: Key, question: impl FnOnce(&mut Conn) -> R) -> Option<R> {
        self.inner.borrow_mut().conns.get_mut(key).map(question)
    }

    /// Takes in a connection that `make` makes.
    pub(crate) fn insert(&self, key: Key, make: impl FnOnce(&Tools<'_>) -> Conn) {
        let Inner { conns, bufs, pool, usual, .. } = &mut *self.inner.borrow_mut();
        let counters = &self.inbox.counters;
        let tools = Tools { bufs, plain: &mut [], pool, usual, limits: &self.limits, counters, now: self.now.get() };
        conns.insert(key, make(&tools));
    }

    /// Takes a connection out.
    pub(crate) fn remove(&self, key: Key) -> Option<Conn> {
        exit::hold_if_over();
        self.inner.borrow_mut().conns.remove(key)
    }

    /// Sees to it that a connection is visited without an event: once, however often it is listed. One that is being
    /// visited needs no other visit.
    pub(crate) fn list(&self, key: Key) {
        contain::fault("shard: list");
        if self.visiting.get() == Some(key) {
            return;
        }
        let Inner { conns, agenda, newcomers, .. } = &mut *self.inner.borrow_mut();
        if let Some(conn) = conns.get_mut(key)
            && !std::mem::replace(&mut conn.is_listed, true)
        {
            if conn.is_newcomer() { newcomers.push_back(key) } else { agenda.push_back(key) }
        }
    }

    /// How many connections are listed that are up.
    pub(crate) fn listed(&self) -> usize {
        self.inner.borrow().agenda.len()
    }

    /// How many are listed that are on their way up.
    pub(crate) fn newcomers(&self) -> usize {
        self.inner.borrow().newcomers.len()
    }

    /// Whether any connection is listed.
    pub(crate) fn has_listed(&self) -> bool {
        let inner = self.inner.borrow();
        !inner.agenda.is_empty() || !inner.newcomers.is_empty()
    }

    /// Takes the next that is listed: of those that are up, or of those on their way.
    pub(crate) fn next_listed(&self, up: bool) -> Option<Key> {
        let Inner { conns, agenda, newcomers, .. } = &mut *self.inner.borrow_mut();
        let key = if up { agenda.pop_front()? } else { newcomers.pop_front()? };
        if let Some(conn) = conns.get_mut(key) {
            conn.is_listed = false;
        }
        Some(key)
    }

    /// Lets a busy connection keep its buffers for records. Few do: others that were not busy meanwhile give theirs back.
    pub(crate) fn keep_warm(&self, key: Key) {
        let Inner { conns, warm, .. } = &mut *self.inner.borrow_mut();
        if warm.len() >= FEW {
            let Some(oldest) = warm.pop_front() else { return };
            if conns.get_mut(oldest).is_some_and(|conn| !conn.cool_down()) {
                // All are busy, as far as this look tells: the newcomer goes without.
                return warm.push_back(oldest);
            }
        }
        if let Some(conn) = conns.get_mut(key) {
            conn.warm_up();
            warm.push_back(key);
        }
    }

    /// Takes over what other threads have left with a connection.
    pub(crate) fn absorb(&self, key: Key) {
        contain::fault("shard: absorb");
        if self.ask(key, |conn| conn.cell().gauge.has_left()) != Some(true) {
            return;
        }
        self.look_at_clock();
        self.step(key, &mut [], |conn, tools| {
            let Some(mut left) = conn.cell().take_left(false) else { return };
            // Functions first: they were promised to run, whatever becomes of the rest.
            for ask in left.asks.extract_if(.., |ask| matches!(ask, Ask::Post(..))) {
                conn.obey(ask, tools.now);
            }
            left.bytes.into_iter().filter(|piece| !piece.is_empty()).for_each(|piece| conn.append(piece, tools));
            left.asks.into_iter().for_each(|ask| conn.obey(ask, tools.now));
        });
    }

    /// A send from a callback of this worker's. What other threads left before goes first.
    fn send(&self, key: Key, parts: &[&[u8]]) -> Option<Result<()>> {
        self.absorb(key);
        let sent = self.step(key, &mut [], |conn, tools| conn.send(parts, tools))?;
        self.list(key);
        Some(sent)
    }
}

/// Whether the calling thread is in a callback, or is a worker.
pub(crate) fn in_callback() -> bool {
    LOCAL.with_borrow(|shard| shard.is_some()) || host::is_called()
}

/// Makes `shard` the one that calls on this thread find, while `run` runs.
pub(crate) fn enter<R>(shard: Box<Shard>, run: impl FnOnce(&Shard) -> R) -> (Option<R>, Option<Box<Shard>>) {
    LOCAL.set(ManuallyDrop::new(Some(shard)));
    // Whatever happens, the thread is the host's own again afterwards.
    let result = contain::run("a worker", || Ok(LOCAL.with_borrow(|shard| shard.as_deref().map(run))));
    (result.ok().flatten(), ManuallyDrop::into_inner(LOCAL.take()))
}

/// Runs `act` if `id` is one of the calling worker's own.
fn local<R>(id: Id, act: impl FnOnce(&Shard, Key) -> R) -> Option<R> {
    LOCAL.with_borrow(|shard| {
        let shard = shard.as_deref().filter(|shard| shard.lane.number() == id.worker())?;
        Some(act(shard, Key { slot: id.slot() as u32, generation: id.generation() }))
    })
}

/// [`Shard::send`] for an id of the calling worker's; `None` for another's, and for one that has no connection here: it may
/// be on its way to this worker.
pub(crate) fn send_locally(id: Id, parts: &[&[u8]]) -> Option<Result<()>> {
    local(id, |shard, key| shard.send(key, parts)).flatten()
}

/// Does what the host asks of a connection of the calling worker's; for others, as above, it answers with the request.
/// `allow` decides first.
pub(crate) fn ask_locally(id: Id, ask: Ask, allow: impl FnOnce(&Conn) -> Result<()>) -> Result<Option<Ask>> {
    let mut ask = Some(ask);
    let answer = local(id, |shard, key| {
        shard.absorb(key);
        shard.look_at_clock();
        let now = shard.now();
        let obeyed = shard.ask(key, |conn| {
            allow(conn)?;
            if let Some(ask) = ask.take() {
                conn.obey(ask, now);
            }
            Ok(())
        });
        shard.list(key);
        obeyed
    });
    answer.flatten().transpose().map(|_| ask)
}

/// Starts TLS on a connection whose callback is running; `None`: no callback of it is.
pub(crate) fn start_tls(id: Id) -> Option<Result<()>> {
    let started = local(id, |shard, key| {
        if shard.visiting.get() != Some(key) {
            return None;
        }
        shard.absorb(key);
        shard.step(key, &mut [], |conn, tools| {
            if conn.is_ending || conn.cell().gauge.is_sealed() {
                return Err(Error::closed());
            }
            if !conn.may_start_tls(tools.limits.may_start_tls) {
                return Err(Error::state("tlsloop_conn_start_tls: only in TLSLOOP_MODE_STARTTLS, and once"));
            }
            conn.start_tls(tools.now);
            Ok(())
        })
    });
    started.flatten()
}
