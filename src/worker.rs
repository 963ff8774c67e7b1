//! One worker: its turn, and what it owns. The only caller of [`Host`](crate::host::Host).
//!
//! A thread takes turns until the server has stopped; a host that drives the loop itself takes one by each poll. There is
//! no other loop. Invariant: a turn ends with nothing waiting in memory that only another turn would find, unless that turn
//! will not wait.

mod accept;
mod contained;
mod dial;
mod retire;
pub(crate) mod shard;
mod visit;

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::ReentrantMutex;

use crate::contain;
use crate::error::{Error, Result};
use crate::exit::{self, Busy};
use crate::host::Level;
use crate::inbox::{Inbox, Note};
use crate::listener::{Door, REST};
use crate::log::Line;
use crate::registry;
use crate::service::{Service, Stage};
use crate::slab::Key;
use crate::sys::epoll::{Epoll, Events, Interest, Ready};
use crate::sys::wake::Clock;
use crate::timer::Deadlines;
use shard::Shard;

/// How many events one wait takes.
const EVENTS: usize = 256;
/// How much plaintext one visit delivers at most: one read's worth, and a record of room.
const PLAIN: usize = 80 * 1024;

/// What a turn does when it has waited, in an order that puts those who are served before those who come.
const PHASES: [(&str, Phase); 7] = [
    ("the inbox", Turn::run_inbox),
    ("the stage of the server", Turn::heed_stage),
    ("events", Turn::advance),
    ("deadlines", Turn::expire),
    ("the agenda", Turn::follow_agenda),
    ("handshakes", Turn::welcome),
    ("accepting", Turn::accept),
];
type Phase = fn(&mut Turn, &Shard);

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
    deadlines: Deadlines<Key>,
    /// Events that were not dealt with yet. The kernel tells each only once.
    ready: VecDeque<Ready>,
    notes: Vec<Note>,
    plain: Vec<u8>,
    stopping: bool,
    /// When this turn had waited.
    begun: Instant,
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
        let door = listener.map(|listener| Door::open(listener, &epoll, DOOR)).transpose();
        let door = door.map_err(|error| error.about(format_args!("worker {number}")))?;
        let lane = registry::claim(inbox.clone())?;
        let shard = Some(Box::new(Shard::new(lane, inbox, service.limits.clone())));
        let turn = Turn {
            service: service.clone(),
            epoll,
            events: Events::new(EVENTS),
            clock,
            door,
            deadlines: Deadlines::new(),
            ready: VecDeque::with_capacity(EVENTS),
            notes: Vec::new(),
            plain: vec![0; PLAIN],
            stopping: false,
            begun: Instant::now(),
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
            let _ = turn.contained("the first callback of a worker", |_| host.host.on_worker_start(number));
            while turn.goes_on(shard) {
                turn.take(shard, Timeout::Forever);
            }
            let _ = turn.contained("the last callback of a worker", |_| host.host.on_worker_stop(number));
        });
        self.shard = shard;
    }

    /// One turn on the calling thread; false when the server has stopped and nothing is left to do.
    pub(crate) fn poll(&mut self, timeout: Timeout) -> bool {
        let _inside = contain::enter();
        let Some(shard) = self.shard.take() else { return false };
        let turn = &mut self.turn;
        let (goes_on, shard) = shard::enter(shard, |shard| {
            turn.take(shard, timeout);
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
        !self.stopping || shard.len() > 0 || !shard.inbox().close()
    }

    /// One turn: the work that is there. What a defect leaves undone stays where the next turn finds it.
    fn take(&mut self, shard: &Shard, timeout: Timeout) {
        let _ = self.contained("waiting", |turn| turn.wait(shard, timeout));
        let busy = self.busy.clone();
        let _shift = exit::shift(&busy);
        self.begun = shard.look_at_clock();
        for (what, phase) in PHASES {
            let _ = self.contained(what, |turn| phase(turn, shard));
        }
        if self.contained("the clock", |turn| turn.rearm(shard)).is_err() {
            shard.inbox().signal();
        }
    }

    /// Waits for events and sorts them: our own first, connections next.
    fn wait(&mut self, shard: &Shard, timeout: Timeout) {
        contain::fault("turn: wait");
        let may_sleep = shard.inbox().may_sleep() && !self.has_leftovers(shard);
        let wait = if may_sleep { self.until_deadline(shard, timeout) } else { 0 };
        let waited = self.epoll.wait(&mut self.events, wait);
        shard.inbox().awake();
        if let Err(error) = waited {
            self.service.log(Level::Error, || Line::of("wait_failed").with("why", format_args!("epoll_wait: {error}")));
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
                _ => self.ready.push_back(event),
            }
        }
    }

    fn has_leftovers(&self, shard: &Shard) -> bool {
        let has_visitors = self.door.as_ref().is_some_and(|door| !door.has_failed());
        shard.has_listed()
            || !self.ready.is_empty()
            || self.service.has_lines()
            || (self.service.stage() >= Stage::Draining && has_visitors)
            || (self.service.stage() == Stage::Stopping && !self.stopping)
            // The last to be waited for may have gone between our look and our pause.
            || (self.stopping && shard.len() == 0 && !shard.inbox().has_guests())
            // The handshake that made room may have ended between our look and our pause.
            || (self.door.as_ref().is_some_and(Door::is_paused) && !self.service.is_busy())
    }

    /// Milliseconds to the next deadline, rounded up, or `timeout` if that is sooner; -1: neither.
    fn until_deadline(&self, shard: &Shard, timeout: Timeout) -> i32 {
        let now = shard.millis(Instant::now());
        let stop = if self.stopping { self.service.stop_deadline() } else { None };
        let stop = stop.map(|at| shard.millis(at).saturating_add(1));
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
        contain::fault("turn: run_inbox");
        let mut notes = std::mem::take(&mut self.notes);
        shard.inbox().take(&mut notes);
        for note in notes.drain(..) {
            self.heed_note(shard, note);
        }
        self.notes = notes;
    }

    fn heed_note(&mut self, shard: &Shard, note: Note) {
        match note {
            Note::Left(id) => {
                let key = Key { slot: id.slot() as u32, generation: id.generation() };
                self.work(shard, key, "a note", |_| shard.list(key));
            }
            Note::Newcomer(newcomer) => {
                shard.inbox().counters.accepted.add(1);
                let _ = self.contained("a newcomer", |turn| turn.take_in(shard, *newcomer));
            }
            Note::Outgoing(outgoing) => {
                let _ = self.contained("a connection that goes out", |turn| turn.send_out(shard, *outgoing));
            }
            Note::LookedUp(key, found) => self.work(shard, key, "a look-up", |_| {
                shard.ask(key, |conn| conn.looked_up(found));
                shard.list(key);
            }),
        }
    }

    /// Follows the server on its way to the end.
    fn heed_stage(&mut self, shard: &Shard) {
        contain::fault("turn: heed_stage");
        self.service.write_lines();
        if self.service.stage() != Stage::Stopping {
            return;
        }
        self.close_door(shard);
        if !self.stopping {
            self.stop_all(shard);
            self.stopping = true;
        }
        if self.service.stop_deadline().is_some_and(|at| at <= Instant::now()) {
            self.end_all(shard);
        }
    }

    /// Connections with events; handshakes wait until the others have been served.
    fn advance(&mut self, shard: &Shard) {
        contain::fault("turn: advance");
        while let Some(event) = self.ready.pop_front() {
            // One that ended earlier in this batch has a stale key, which is nothing special.
            self.visit_after(shard, Key::from_u64(event.key), |conn, tools| {
                conn.note(event, tools);
                !conn.is_newcomer()
            });
        }
    }

    /// Deadlines that have passed when the turn begins; one that is set meanwhile waits for the next turn.
    fn expire(&mut self, shard: &Shard) {
        contain::fault("turn: expire");
        for (_, key) in self.deadlines.take_due(shard.now()) {
            self.visit_after(shard, key, |conn, tools| {
                conn.armed = u64::MAX;
                conn.expire(tools);
                true
            });
        }
    }

    /// Connections that have more to do, those that were named when the turn began or in it.
    fn follow_agenda(&mut self, shard: &Shard) {
        contain::fault("turn: follow_agenda");
        for _ in 0..shard.listed() {
            let Some(key) = shard.next_listed(true) else { return };
            self.visit(shard, key);
        }
    }

    /// Steps of handshakes. One costs as much as dozens of small messages, and hundreds of waits for the next turn; so there
    /// is one, and more only where those who are served have taken longer: newcomers get up to half of their time.
    fn welcome(&mut self, shard: &Shard) {
        contain::fault("turn: welcome");
        let waiting = shard.newcomers();
        // One alone needs no share, and the clock has its price.
        let begun = (waiting > 1).then(Instant::now);
        for _ in 0..waiting {
            let Some(key) = shard.next_listed(false) else { return };
            self.visit(shard, key);
            let has_share = begun.is_some_and(|begun| begun.elapsed() < begun.duration_since(self.begun) / 2);
            if !has_share {
                return;
            }
        }
    }

    /// Sees to it that a host that waits by itself wakes up in time.
    fn rearm(&mut self, shard: &Shard) {
        contain::fault("turn: rearm");
        let Some(clock) = &self.clock else { return };
        // From here until the next turn the host sleeps for us: whoever asks for something must wake it.
        if !shard.inbox().may_sleep() || self.has_leftovers(shard) {
            shard.inbox().signal();
        }
        let wait = self.until_deadline(shard, Timeout::Forever);
        if wait == 0 {
            // The clock would ring in a millisecond.
            shard.inbox().signal();
        }
        let ms = u64::try_from(wait).ok();
        if let Err(error) = clock.set(ms).or_else(|_| clock.set(ms)) {
            self.service
                .log(Level::Error, || Line::of("clock_failed").with("why", format_args!("timerfd_settime: {error}")));
        }
    }
}

/// The longest grace that a stop can have; beyond it, clocks would overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
