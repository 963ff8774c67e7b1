//! The only place where a connection ends: its last callback, its descriptor, its memory, its name.

use super::Turn;
use super::shard::Shard;
use crate::cell::Ask;
use crate::conn::{Conn, Verdict};
use crate::contain;
use crate::host::{Level, Reason};
use crate::id::Id;
use crate::queue::Mark;
use crate::slab::Key;
use crate::sync::atomic::Ordering;

impl Turn {
    /// Ends a connection for good: exactly once, because afterwards its key finds nothing. No defect in one part of it
    /// keeps the others from being done.
    pub(super) fn retire(&mut self, shard: &Shard, key: Key) {
        let Some((id, cell)) = shard.ask(key, |conn| (conn.id(), conn.cell())) else { return };
        cell.gauge.seal(Mark::Aborted);
        shard.set_visiting(Some(key));
        if self
            .contained_for(shard, key, "the last posts of a connection", |turn| turn.run_last_posts(shard, key, id))
            .is_err()
        {
            // What was promised to run is still there.
            let _ = self.contained_for(shard, key, "the last posts of a connection", |turn| {
                turn.run_last_posts(shard, key, id)
            });
        }
        if shard.ask(key, |conn| conn.is_refused) != Some(true) {
            self.tell_end(shard, key, id);
        }
        shard.set_visiting(None);
        let _ = self.contained_for(shard, key, "the burial of a connection", |turn| turn.bury(shard, key));
    }

    /// What was posted runs before the last callback, due or not; from now on nothing more can be.
    fn run_last_posts(&mut self, shard: &Shard, key: Key, id: Id) {
        contain::fault("retire: run_last_posts");
        let last = |conn: &mut Conn| {
            conn.is_ending = true;
            conn.take_posts(u64::MAX)
        };
        let mut posts = shard.ask(key, last).unwrap_or_default();
        let left = shard.ask(key, |conn| conn.cell().take_left(true)).flatten();
        let bytes = left.iter().flat_map(|left| &left.bytes).map(Vec::len).sum();
        shard.ask(key, |conn| conn.leave_behind(bytes));
        let later = left.into_iter().flat_map(|left| left.asks);
        posts.extend(later.filter_map(|ask| if let Ask::Post(_, post) = ask { Some(post) } else { None }));
        for post in posts {
            let _ = self.contained_for(shard, key, "a posted function", |_| post(id));
        }
    }

    /// Runs the last callback.
    fn tell_end(&mut self, shard: &Shard, key: Key, id: Id) {
        let last = |conn: &mut Conn| (!std::mem::replace(&mut conn.is_told, true)).then(|| conn.verdict());
        let Some(Some(Verdict { reason, code, why })) = shard.ask(key, last) else { return };
        let announced = shard.ask(key, |conn| conn.is_announced) == Some(true);
        let peer =
            self.contained_for(shard, key, "the log", |turn| turn.log_end(shard, key, announced)).unwrap_or_default();
        if announced {
            let _ = self
                .contained_for(shard, key, "on_disconnect", |turn| turn.service.host.on_disconnect(id, reason, &why));
        } else {
            shard.inbox().counters.handshakes_failed.add(1);
            let tell = |turn: &mut Turn| turn.service.host.on_handshake_failed(id, code, &peer, &why);
            let _ = self.contained_for(shard, key, "on_handshake_failed", tell);
        }
    }

    /// Logs how a connection ends; answers the name of its peer.
    fn log_end(&self, shard: &Shard, key: Key, announced: bool) -> String {
        contain::fault("retire: log_end");
        let cell = shard.lane().cell(key);
        let facts = cell.facts();
        let peer = facts.as_ref().map(|facts| facts.peer_text()).unwrap_or_default();
        let Some(Verdict { reason, why, .. }) = shard.ask(key, |conn| conn.verdict()) else { return peer };
        let level = if reason == Reason::System { Level::Warn } else { Level::Debug };
        let event = if announced { "disconnect" } else { "handshake_failed" };
        self.service.log(level, || {
            shard
                .line(event, key)
                .with("reason", reason.name().to_string_lossy())
                .with("bytes_in", cell.bytes_in.load(Ordering::Relaxed))
                .with("bytes_out", cell.bytes_out.load(Ordering::Relaxed))
                .with("age_ms", facts.map_or(0, |facts| facts.age_ms()))
                .with("why", why)
        });
        peer
    }

    /// Gives everything back. The interest goes before the descriptor, because a forked child may hold a copy of it. Who
    /// sees the end counted finds nothing under its id any more, its descriptor closed, and its place in the limits free.
    fn bury(&mut self, shard: &Shard, key: Key) {
        let _ = self.contained_for(shard, key, "the last look at a socket", |_| {
            shard.step(key, &mut [], |conn, tools| conn.bury(tools));
        });
        let Some(conn) = shard.remove(key) else { return };
        let (cell, lane, service) = (conn.cell(), shard.lane(), &self.service);
        let counters = &shard.inbox().counters;
        let ip = cell.facts().and_then(|facts| facts.admitted_as);
        let (is_settled, goes_out, armed) = (conn.is_settled, conn.goes_out(), conn.armed);
        // From here on all is given back in the reverse order, also while a panic unwinds.
        let _count = Finally(|| {
            if !is_settled {
                service.settled(counters, goes_out);
            }
        });
        let _name = Finally(|| lane.forget(key));
        let ended = conn.is_announced.then(|| conn.verdict().reason);
        let _end = Finally(|| ended.into_iter().for_each(|reason| counters.ended(reason)));
        let _seat = Finally(|| service.dismiss(ip));
        let conn = conn;
        let _cell = Finally(|| cell.close());
        contain::fault("retire: give back");
        let _ = self.epoll.remove(conn.fd());
        if armed != u64::MAX {
            self.deadlines.remove(armed, key);
        }
    }

    /// Begins the end of every connection, in good order as far as the grace allows.
    pub(super) fn stop_all(&mut self, shard: &Shard) {
        contain::fault("stop: all");
        for key in shard.keys() {
            self.visit_after(shard, key, |conn, tools| {
                conn.close(Verdict::stopped(), tools.now);
                true
            });
        }
    }

    /// Ends every connection that is left.
    pub(super) fn end_all(&mut self, shard: &Shard) {
        contain::fault("stop: end_all");
        for key in shard.keys() {
            shard.ask(key, |conn| conn.finish(Verdict::stopped()));
            self.retire(shard, key);
        }
    }
}

/// Does something when it is dropped.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
