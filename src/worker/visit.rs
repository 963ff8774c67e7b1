//! One visit to one connection: everything that is due for it, in a fixed order, with the host told at each step.

use super::Turn;
use super::shard::Shard;
use crate::conn::{Conn, News, Verdict};
use crate::contain;
use crate::error::Code;
use crate::host::{Level, Reason};
use crate::id::Id;
use crate::inbox::Newcomer;
use crate::registry::Lane;
use crate::slab::Key;
use crate::tls::stream::{Stream, Tls};
use crate::tls::wire::Link;

/// How often one visit answers a drain with a flush before others have their turn.
const DRAINS: usize = 4;

impl Turn {
    /// Does what is due for a connection, and retires it if it is over. A panic ends this connection and no other.
    pub(super) fn visit(&mut self, shard: &Shard, key: Key) {
        let Some(id) = shard.ask(key, |conn| conn.id()) else { return };
        let done = contain::run("a connection", || {
            shard.absorb(key);
            self.run_posts(shard, key, id);
            self.deliver(shard, key, id);
            self.drain(shard, key, id);
            Ok(())
        });
        if let Err(error) = done {
            self.service.log(Level::Error, || format!("event=defect conn={} why=\"{error}\"", id.to_u64()));
            let verdict = Verdict::new(Reason::System, Code::Internal, error.sentence());
            shard.ask(key, |conn| conn.overrule(verdict));
        }
        self.settle(shard, key);
    }

    fn run_posts(&self, shard: &Shard, key: Key, id: Id) {
        let now = shard.now();
        while let Some(Some(post)) = shard.ask(key, |conn| conn.take_post(now)) {
            post(id);
        }
    }

    /// Reads, and tells the host what came of it.
    fn deliver(&mut self, shard: &Shard, key: Key, id: Id) {
        let host = &*self.service.host;
        loop {
            let was_new = shard.ask(key, |conn| conn.is_shaking_hands()) == Some(true);
            let news = shard.step(key, &mut self.plain, |conn, tools| conn.read(tools));
            match news.unwrap_or(News::Nothing) {
                News::Connected => {
                    self.settled(shard, was_new);
                    shard.inbox().counters.connects.add(1);
                    host.on_connect(id);
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

    /// A connection is no longer on its way up.
    pub(super) fn settled(&self, shard: &Shard, was_new: bool) {
        if was_new {
            shard.inbox().counters.settled.add(1);
            self.service.end_handshake();
        }
    }

    /// Sends what is queued, and tells the host if there is room again.
    fn drain(&mut self, shard: &Shard, key: Key, id: Id) {
        for _ in 0..DRAINS {
            match shard.step(key, &mut [], |conn, tools| conn.flush(tools)) {
                Some(News::Drained) => self.service.host.on_drain(id),
                _ => return,
            }
        }
    }

    /// Ends the visit: retires, or sees to it that the connection is visited when it has to be.
    fn settle(&mut self, shard: &Shard, key: Key) {
        if shard.ask(key, |conn| conn.is_over()) == Some(true) {
            return self.retire(shard, key);
        }
        let epoll = &self.epoll;
        let deadlines = &mut self.deadlines;
        let again = shard.step(key, &mut [], |conn, tools| {
            let wanted = conn.wanted_interest();
            if wanted != conn.interest {
                conn.interest = wanted;
                if let Err(error) = epoll.modify(conn.fd(), key.to_u64(), wanted) {
                    conn.overrule(Verdict::new(Reason::System, Code::System, format!("epoll_ctl: {error}")));
                }
            }
            if let Some(deadline) = conn.deadline(tools.limits)
                && deadline < conn.armed
            {
                conn.armed = deadline;
                deadlines.push(deadline, key);
            }
            (conn.wants_visit(), conn.is_shaking_hands())
        });
        match again {
            Some((true, true)) => self.newcomers.push_back(key),
            Some((true, false)) => shard.list(key),
            _ => {}
        }
    }

    /// Takes in a connection that has been admitted and named.
    pub(super) fn take_in(&mut self, shard: &Shard, newcomer: Newcomer) {
        let Newcomer { key, fd } = newcomer;
        let lane: &'static Lane = shard.lane();
        let id = Id::new(lane.number(), key.slot as usize, key.generation);
        let cell = lane.cell(key);
        let counters = &shard.inbox().counters;
        counters.opened.add(1);
        self.service.begin_handshake();
        let stream = self.new_stream();
        shard.insert(key, |tools| {
            let (stream, failure) = match stream {
                Ok(stream) => (stream, None),
                Err(error) => (Stream::Plain, Some(error)),
            };
            let mut conn = Conn::new(id, cell, Link::new(fd), stream, tools);
            if let Err(error) = self.epoll.add(conn.fd(), key.to_u64(), conn.interest) {
                conn.finish(Verdict::new(Reason::System, Code::System, format!("epoll_ctl: {error}")));
            }
            if self.stopping {
                conn.finish(Verdict::stopped());
            }
            if let Some(error) = failure {
                conn.finish(Verdict::new(Reason::System, error.code(), error.sentence()));
            }
            conn
        });
        self.settle(shard, key);
    }

    fn new_stream(&self) -> crate::error::Result<Stream> {
        let context = self.service.context.lock().clone();
        match context {
            Some(context) => Ok(Stream::Tls(Tls::new(context.ssl()?))),
            None => Ok(Stream::Plain),
        }
    }
}
