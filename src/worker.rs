//! One worker: its turn, and what it owns. The only caller of [`Host`](crate::host::Host).
//!
//! A thread takes turns until the server has stopped; a host that drives the loop itself takes one by each poll. There is
//! no other loop. Invariant: a turn ends with nothing waiting in memory that only another turn would find, unless that turn
//! will not wait.

mod accept;
mod dial;
mod retire;
pub(crate) mod shard;
mod visit;

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::ReentrantMutex;

use crate::contain;
use crate::error::{Error, Result};
use crate::exit::Busy;
use crate::host::Level;
use crate::inbox::{Inbox, Note};
use crate::listener::{Door, REST};
use crate::registry;
use crate::service::{Service, Stage};
use crate::slab::Key;
use crate::sys::epoll::{Epoll, Events, Interest, Ready};
use crate::sys::wake::Clock;
use crate::timer::Deadlines;
use shard::Shard;

/// How many events one wait takes.
const EVENTS: usize = 256;
/// How many handshake steps one turn takes: each costs as much as dozens of small messages.
const HANDSHAKES: usize = 2;
/// How much plaintext one visit delivers at most: one read's worth, and a record of room.
const PLAIN: usize = 80 * 1024;

/// Keys of what is not a connection; connections have generations from 1.
const WAKE: Key = Key { slot: 0, generation: 0 };
const CLOCK: Key = Key { slot: 1, generation: 0 };
const DOOR: Key = Key { slot: 2, generation: 0 };

/// How long a turn may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Until something happens.
    Forever,
    /// At most so many milliseconds.
    Millis(u32),
}

/// What a worker owns, besides its connections.
pub(crate) struct Worker {
    number: usize,
    service: Arc<Service>,
    /// Absent while a turn runs: it then stands where calls from callbacks find it.
    shard: Option<Box<Shard>>,
    turn: Turn,
}

/// What a turn works with.
struct Turn {
    service: Arc<Service>,
    epoll: Epoll,
    events: Events,
    /// Rings at the next deadline, for a host that waits by itself.
    clock: Option<Clock>,
    door: Option<Door>,
    began: Instant,
    deadlines: Deadlines<Key>,
    ready: Vec<Ready>,
    notes: Vec<Note>,
    plain: Vec<u8>,
    stopping: bool,
    /// Held while not waiting: whoever must not meet a worker inside OpenSSL takes it.
    busy: Busy,
}

impl Worker {
    /// A worker that has not begun. It has its lane until it is dropped.
    pub(crate) fn new(number: usize, service: Arc<Service>) -> Result<Worker> {
        let told = |what: &str| {
            let what = format!("worker {number}: {what}");
            move |error: std::io::Error| Error::system(what, &error)
        };
        let inbox: Arc<Inbox> = service.inboxes[number].clone();
        let epoll = Epoll::new().map_err(told("epoll_create1"))?;
        epoll.add(inbox.fd(), WAKE.to_u64(), Interest::Edge { read: true, write: false }).map_err(told("epoll_ctl"))?;
        let clock = if service.host_driven {
            let clock = Clock::new().map_err(told("timerfd_create"))?;
            epoll.add(clock.as_fd(), CLOCK.to_u64(), Interest::Level).map_err(told("epoll_ctl"))?;
            Some(clock)
        } else {
            None
        };
        let listener: Option<Arc<OwnedFd>> = service.listener.lock().clone();
        let door =
            listener.map(|listener| Door::open(listener, &epoll, DOOR)).transpose().map_err(told("epoll_ctl"))?;
        let lane = registry::claim(inbox.clone())?;
        let shard = Some(Box::new(Shard::new(lane, inbox, service.limits.clone())));
        let turn = Turn {
            service: service.clone(),
            epoll,
            events: Events::new(EVENTS),
            clock,
            door,
            began: Instant::now(),
            deadlines: Deadlines::new(),
            ready: Vec::with_capacity(EVENTS),
            notes: Vec::new(),
            plain: vec![0; PLAIN],
            stopping: false,
            busy: Arc::new(ReentrantMutex::new(())),
        };
        Ok(Worker { number, service, shard, turn })
    }

    /// The descriptor that is readable while there is work.
    pub(crate) fn fd(&self) -> RawFd {
        self.turn.epoll.as_raw_fd()
    }

    /// Taken for good by whoever must not meet the worker inside OpenSSL.
    pub(crate) fn busy(&self) -> Busy {
        self.turn.busy.clone()
    }

    /// A worker thread's life.
    pub(crate) fn run(mut self) {
        let _inside = contain::enter();
        let Some(shard) = self.shard.take() else { return };
        let turn = &mut self.turn;
        let number = self.number;
        let host = self.service.clone();
        let (_, shard) = shard::enter(shard, |shard| {
            host.host.on_worker_start(number);
            while turn.goes_on(shard) {
                turn.take_contained(shard, Timeout::Forever);
            }
            host.host.on_worker_stop(number);
        });
        self.shard = shard;
    }

    /// One turn on the calling thread; false when the server has stopped and nothing is left to do.
    pub(crate) fn poll(&mut self, timeout: Timeout) -> bool {
        let _inside = contain::enter();
        let Some(shard) = self.shard.take() else { return false };
        let turn = &mut self.turn;
        let (goes_on, shard) = shard::enter(shard, |shard| {
            turn.take_contained(shard, timeout);
            turn.goes_on(shard)
        });
        self.shard = shard;
        goes_on.unwrap_or(false)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(shard) = &self.shard {
            registry::release(shard.lane());
        }
    }
}

impl Turn {
    fn goes_on(&self, shard: &Shard) -> bool {
        !self.stopping || shard.len() > 0 || !shard.inbox().is_empty()
    }

    /// One turn that a defect outside any connection does not end.
    fn take_contained(&mut self, shard: &Shard, timeout: Timeout) {
        let done = contain::run("a turn", || {
            self.take(shard, timeout);
            Ok(())
        });
        if let Err(error) = done {
            self.service.log(Level::Error, || format!("event=defect why=\"{error}\""));
        }
    }

    /// One turn: the work that is there, in an order that puts those who are served before those who come.
    fn take(&mut self, shard: &Shard, timeout: Timeout) {
        self.wait(shard, timeout);
        let busy = self.busy.clone();
        let _busy = busy.lock();
        shard.set_now(self.millis());
        self.run_inbox(shard);
        self.heed_stage(shard);
        self.advance(shard);
        self.expire(shard);
        self.follow_agenda(shard);
        self.welcome(shard);
        self.accept(shard);
        self.rearm(shard);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits for events and sorts them: our own first, connections next.
    fn wait(&mut self, shard: &Shard, timeout: Timeout) {
        let may_sleep = shard.inbox().may_sleep() && !self.has_leftovers(shard);
        let wait = if may_sleep { self.until_deadline(timeout) } else { 0 };
        let waited = self.epoll.wait(&mut self.events, wait);
        shard.inbox().awake();
        self.ready.clear();
        if let Err(error) = waited {
            self.service.log(Level::Error, || format!("event=wait_failed why=\"epoll_wait: {error}\""));
            // What cannot wait must not spin either.
            let rest = if let Timeout::Millis(ms) = timeout { REST.min(ms.into()) } else { REST };
            std::thread::sleep(Duration::from_millis(rest));
            return;
        }
        for event in self.events.iter() {
            match Key::from_u64(event.key) {
                WAKE => {}
                CLOCK => self.clock.iter().for_each(Clock::clear),
                DOOR => self.door.iter_mut().for_each(Door::knock),
                _ => self.ready.push(event),
            }
        }
    }

    fn has_leftovers(&self, shard: &Shard) -> bool {
        shard.has_listed()
            || (self.service.stage() >= Stage::Draining && self.door.is_some())
            || (self.service.stage() == Stage::Stopping && !self.stopping)
    }

    /// Milliseconds to the next deadline, rounded up, or `timeout` if that is sooner; -1: neither.
    fn until_deadline(&self, timeout: Timeout) -> i32 {
        let now = self.millis();
        let stop = if self.stopping { self.service.stop_deadline() } else { None };
        let stop = stop.map(|at| u64::try_from(at.duration_since(self.began).as_millis()).unwrap_or(u64::MAX) + 1);
        let door = self.door.as_ref().and_then(Door::reopens_at);
        let next = [self.deadlines.next(), stop, door].into_iter().flatten().min();
        let wait = next.map(|at| at.saturating_sub(now));
        let wait = match timeout {
            Timeout::Forever => wait,
            Timeout::Millis(ms) => Some(wait.map_or(u64::from(ms), |wait| wait.min(u64::from(ms)))),
        };
        wait.map_or(-1, |wait| i32::try_from(wait).unwrap_or(i32::MAX))
    }

    /// What other threads ask for.
    fn run_inbox(&mut self, shard: &Shard) {
        let mut notes = std::mem::take(&mut self.notes);
        shard.inbox().take(&mut notes);
        for note in notes.drain(..) {
            match note {
                Note::Left(id) => shard.list(Key { slot: id.slot() as u32, generation: id.generation() }),
                Note::Newcomer(newcomer) => {
                    shard.inbox().counters.accepted.add(1);
                    self.take_in(shard, *newcomer);
                }
                Note::Outgoing(outgoing) => self.send_out(shard, *outgoing),
                Note::LookedUp(key, found) => {
                    shard.ask(key, |conn| conn.looked_up(found));
                    shard.list(key);
                }
            }
        }
        self.notes = notes;
    }

    /// Follows the server on its way to the end.
    fn heed_stage(&mut self, shard: &Shard) {
        if self.service.stage() != Stage::Stopping {
            return;
        }
        if let Some(door) = self.door.take() {
            door.close(&self.epoll);
        }
        let began = !std::mem::replace(&mut self.stopping, true);
        let out_of_time = self.service.stop_deadline().is_some_and(|at| at <= Instant::now());
        if began {
            self.stop_all(shard);
        }
        if out_of_time {
            self.end_all(shard);
        }
    }

    /// Connections with events; handshakes wait until the others have been served.
    fn advance(&mut self, shard: &Shard) {
        let ready = std::mem::take(&mut self.ready);
        for event in &ready {
            let key = Key::from_u64(event.key);
            let note = |conn: &mut crate::conn::Conn| {
                conn.note(event.readable, event.writable, event.peer_ended, event.failed);
                conn.is_opening()
            };
            match shard.ask(key, note) {
                Some(true) => shard.list(key),
                Some(false) => self.visit(shard, key),
                // It ended earlier in this batch: a stale key is nothing special.
                None => {}
            }
        }
        self.ready = ready;
    }

    /// Deadlines that have passed when the turn begins; one that is set meanwhile waits for the next turn.
    fn expire(&mut self, shard: &Shard) {
        for (_, key) in self.deadlines.take_due(shard.now()) {
            shard.step(key, &mut [], |conn, tools| {
                conn.armed = u64::MAX;
                conn.expire(tools);
            });
            self.visit(shard, key);
        }
    }

    /// Connections that have more to do, those that were named when the turn began or in it.
    fn follow_agenda(&mut self, shard: &Shard) {
        for _ in 0..shard.listed() {
            let Some(key) = shard.next_listed(true) else { return };
            self.visit(shard, key);
        }
    }

    /// Handshakes, a few.
    fn welcome(&mut self, shard: &Shard) {
        for _ in 0..HANDSHAKES {
            let Some(key) = shard.next_listed(false) else { return };
            self.visit(shard, key);
        }
    }

    /// Sees to it that a host that waits by itself wakes up in time.
    fn rearm(&mut self, shard: &Shard) {
        let Some(clock) = &self.clock else { return };
        // From here until the next turn the host sleeps for us: whoever asks for something must wake it.
        if !shard.inbox().may_sleep() || self.has_leftovers(shard) {
            shard.inbox().signal();
        }
        let wait = self.until_deadline(Timeout::Forever);
        let ms = u64::try_from(wait).ok();
        if let Err(error) = clock.set(ms).or_else(|_| clock.set(ms)) {
            self.service.log(Level::Error, || format!("event=clock_failed why=\"timerfd_settime: {error}\""));
        }
    }
}

/// The longest grace that a stop can have; beyond it, clocks would overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
