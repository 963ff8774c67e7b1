//! One visit to one connection: everything that is due for it, in a fixed order, with the host told at each step.

use super::Turn;
use super::shard::Shard;
use crate::conn::{Conn, News, Tools, Verdict};
use crate::contain;
use crate::error::{Code, Error};
use crate::host::{Level, Reason};
use crate::id::Id;
use crate::inbox::Newcomer;
use crate::info;
use crate::registry::Lane;
use crate::slab::Key;
use crate::sys::epoll::Epoll;
use crate::tls::stream::Tls;
use crate::tls::wire::Link;

/// How often one visit answers a drain with a flush before others have their turn.
const DRAINS: usize = 4;

impl Turn {
    /// Does what is due for a connection, and retires it if it is over. A panic ends this connection and no other.
    pub(super) fn visit(&mut self, shard: &Shard, key: Key) {
        self.visit_after(shard, key, |_, _| true);
    }

    /// The same, when `news` has told the connection what has happened to it. It answers whether the visit can be now:
    /// if not, the connection is listed.
    pub(super) fn visit_after(
        &mut self,
        shard: &Shard,
        key: Key,
        news: impl FnOnce(&mut Conn, &mut Tools<'_>) -> bool,
    ) {
        let Some(id) = shard.ask(key, |conn| conn.id()) else { return };
        // The host's code for another connection may have taken its time.
        shard.look_at_clock();
        self.work(shard, key, "a connection", |turn| {
            contain::fault("visit: begin");
            if shard.step(key, &mut [], news) != Some(true) {
                shard.list(key);
                return turn.register(shard, key);
            }
            shard.set_visiting(Some(key));
            shard.absorb(key);
            turn.run_posts(shard, key, id);
            turn.deliver(shard, key, id);
            // What callbacks of other connections, and other threads, asked for meanwhile is seen at the next visit.
            turn.drain(shard, key, id);
            shard.set_visiting(None);
            turn.see_to(shard, key);
        });
    }

    /// Does a piece of work for one connection, and retires it if it is over. A defect ends this connection and no other.
    pub(super) fn work(&mut self, shard: &Shard, key: Key, what: &str, work: impl FnOnce(&mut Turn)) {
        let done = self.contained_for(shard, key, what, work);
        shard.set_visiting(None);
        if let Err(error) = done {
            let verdict = Verdict::new(Reason::System, Code::Internal, error.sentence());
            shard.ask(key, |conn| conn.overrule(verdict));
        }
        if shard.ask(key, |conn| conn.is_over()) == Some(true) {
            self.retire(shard, key);
        }
    }

    /// Functions that are due when the visit begins; what they post themselves waits for another turn.
    fn run_posts(&self, shard: &Shard, key: Key, id: Id) {
        contain::fault("visit: run_posts");
        let now = shard.now();
        let due = shard.ask(key, |conn| conn.take_posts(now)).unwrap_or_default();
        due.into_iter().for_each(|post| post(id));
    }

    /// Reads, and tells the host what came of it.
    fn deliver(&mut self, shard: &Shard, key: Key, id: Id) {
        let host = &*self.service.host;
        loop {
            contain::fault("visit: deliver");
            let news = shard.step(key, &mut self.plain, |conn, tools| conn.read(tools));
            match news.unwrap_or(News::Nothing) {
                News::Introduced => self.welcome_client(shard, key),
                News::Dial => self.dial(shard, key),
                News::Hello => self.secure(shard, key),
                News::Connected => self.connected(shard, key, id),
                News::Secured => {
                    self.log_up(shard, key, "tls");
                    host.on_tls(id);
                }
                News::Data(n) => {
                    host.on_data(id, &self.plain[..n]);
                    // One read a visit; but what stands behind its data is known, and told now.
                    if shard.ask(key, |conn| conn.has_fate()) != Some(true) {
                        return;
                    }
                }
                News::PeerEnded => host.on_end(id),
                News::Drained | News::Nothing => return,
            }
        }
    }

    /// The connection is up: from its announcement on it will have an `on_disconnect`.
    fn connected(&self, shard: &Shard, key: Key, id: Id) {
        contain::fault("visit: connected");
        let is_first = shard.ask(key, |conn| !std::mem::replace(&mut conn.is_settled, true));
        if is_first == Some(true) {
            let goes_out = shard.ask(key, |conn| conn.goes_out()) == Some(true);
            self.service.settled(&shard.inbox().counters, goes_out);
        }
        self.log_up(shard, key, "connect");
        contain::fault("visit: announce");
        shard.ask(key, |conn| conn.is_announced = true);
        shard.inbox().counters.connects.add(1);
        self.service.host.on_connect(id);
    }

    /// Logs what a connection speaks from now on.
    fn log_up(&self, shard: &Shard, key: Key, event: &'static str) {
        self.service.log(Level::Debug, || {
            let facts = shard.lane().cell(key).facts();
            info::add_tls(shard.line(event, key), facts.as_ref().and_then(|facts| facts.tls.as_deref()))
        });
    }

    /// Sends what is queued, and tells the host if there is room again.
    fn drain(&mut self, shard: &Shard, key: Key, id: Id) {
        contain::fault("visit: drain");
        for _ in 0..DRAINS {
            match shard.step(key, &mut [], |conn, tools| conn.flush(tools)) {
                Some(News::Drained) => self.service.host.on_drain(id),
                _ => return,
            }
        }
        shard.set_visiting(None);
        shard.list(key);
    }

    /// Sees to it that the connection is visited when it has to be; one that is over waits for its retirement.
    pub(super) fn see_to(&mut self, shard: &Shard, key: Key) {
        contain::fault("visit: settle");
        let epoll = &self.epoll;
        let deadlines = &mut self.deadlines;
        let next = shard.step(key, &mut [], |conn, tools| {
            if conn.is_over() {
                return (false, false);
            }
            apply_interest(epoll, conn, key);
            let deadline = conn.deadline(tools.limits).unwrap_or(u64::MAX);
            if deadline < conn.armed || deadline == u64::MAX {
                if conn.armed != u64::MAX {
                    deadlines.remove(conn.armed, key);
                }
                if deadline != u64::MAX {
                    deadlines.enter(deadline, key);
                }
                conn.armed = deadline;
            }
            (conn.wants_visit(), conn.wants_warmth())
        });
        let (again, is_cold) = next.unwrap_or_default();
        if is_cold {
            shard.keep_warm(key);
        }
        if again {
            shard.list(key);
        }
    }

    /// Sees to it that the kernel tells a connection what it is to be told, though its visit comes later.
    fn register(&self, shard: &Shard, key: Key) {
        shard.ask(key, |conn| apply_interest(&self.epoll, conn, key));
    }

    /// Takes in a connection that has been admitted and named.
    pub(super) fn take_in(&mut self, shard: &Shard, newcomer: Newcomer) {
        let Newcomer { key, fd, proxied } = newcomer;
        let lane: &'static Lane = shard.lane();
        let id = Id::new(lane.number(), key.slot as usize, key.generation);
        let opening = self.service.opening(proxied);
        shard.look_at_clock();
        // First it is there: whatever goes wrong from now on, it is retired like any other.
        shard.insert(key, |tools| Conn::new(id, lane.cell(key), Link::new(fd), opening, tools));
        shard.inbox().counters.opened.add(1);
        self.service.begin_handshake();
        self.work(shard, key, "a new connection", |turn| {
            contain::fault("take_in: watch");
            shard.ask(key, |conn| turn.watch(conn, key));
            turn.see_to(shard, key);
            turn.hear(shard, key);
        });
    }

    /// Sees to it that what another thread has left with a connection is found, though the note about it came before the
    /// connection did: the host has the name first.
    pub(super) fn hear(&self, shard: &Shard, key: Key) {
        if shard.ask(key, |conn| conn.cell().gauge.has_left()) == Some(true) {
            shard.list(key);
        }
    }

    /// Begins to watch a connection that was taken in.
    fn watch(&self, conn: &mut Conn, key: Key) {
        if let Err(error) = self.epoll.add(conn.fd(), key.to_u64(), conn.interest()) {
            conn.finish(Verdict::new(Reason::System, Code::System, format!("epoll_ctl: {error}")));
        }
        if self.stopping {
            conn.finish(Verdict::stopped());
        }
    }

    /// The client behind a balancer is known: now the limits and the host decide, as they do at once for others.
    fn welcome_client(&self, shard: &Shard, key: Key) {
        let Some(facts) = shard.ask(key, |conn| conn.cell().facts()).flatten() else { return };
        // One that the host handed in it is not asked about; but it has the id, so it is told of the limit.
        let mut seat = self.service.seat();
        let is_welcome = if facts.is_invited {
            self.count_in(shard, &facts.peer, &mut seat)
        } else {
            self.invite(shard, &facts.peer, &mut seat)
        };
        shard.ask(key, |conn| {
            if is_welcome {
                conn.learn(|facts| facts.admitted_as = seat.keep());
            } else if facts.is_invited {
                let why = "the limit of connections from the client's address is reached";
                conn.finish(Verdict::new(Reason::Aborted, Code::State, why));
            } else {
                conn.refuse();
            }
        });
    }

    /// Gives a handshake that begins what it needs, by the policy of this moment.
    fn secure(&self, shard: &Shard, key: Key) {
        contain::fault("visit: secure");
        let target = shard.ask(key, |conn| conn.target()).flatten();
        let context = self.service.context.lock().clone();
        let made = match (target, context) {
            (Some(target), _) => target.ssl().map(Tls::new),
            (None, Some(context)) => context.ssl().map(Tls::new),
            (None, None) => Err(Error::new(Code::Internal, "a handshake without a policy")),
        };
        shard.ask(key, |conn| match made {
            Ok(tls) => conn.secure(tls),
            Err(error) => conn.finish(Verdict::new(Reason::System, error.code(), error.sentence())),
        });
    }
}

/// Changes what a connection is registered for, if it is to be something else.
fn apply_interest(epoll: &Epoll, conn: &mut Conn, key: Key) {
    contain::fault("visit: interest");
    let wanted = conn.wanted_interest();
    if wanted != conn.interest() {
        conn.set_interest(wanted);
        if let Err(error) = epoll.modify(conn.fd(), key.to_u64(), wanted) {
            conn.overrule(Verdict::new(Reason::System, Code::System, format!("epoll_ctl: {error}")));
        }
    }
}
