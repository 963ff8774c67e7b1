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
use crate::stats::Counters;

impl Turn {
    /// Ends a connection for good: exactly once, because afterwards its key finds nothing.
    pub(super) fn retire(&mut self, shard: &Shard, key: Key) {
        let Some((id, cell)) = shard.ask(key, |conn| (conn.id(), conn.cell())) else { return };
        cell.gauge.seal(Mark::Aborted);
        shard.set_visiting(Some(key));
        self.run_last_posts(shard, key, id);
        let Some((verdict, announced)) = shard.ask(key, |conn| (conn.verdict(), conn.is_announced())) else { return };
        if shard.ask(key, |conn| conn.is_refused) == Some(true) {
            shard.set_visiting(None);
            return self.bury(shard, key, announced, |_| {});
        }
        if !announced {
            shard.inbox().counters.handshakes_failed.add(1);
        }
        let told = contain::run("the last callback of a connection", || {
            self.tell_end(shard, id, announced, &verdict);
            Ok(())
        });
        if let Err(error) = told {
            self.service.log(Level::Error, || format!("event=defect conn={} why=\"{error}\"", id.to_u64()));
        }
        shard.set_visiting(None);
        self.bury(shard, key, announced, |counters| {
            if announced {
                counters.ended(verdict.reason);
            }
        });
    }

    /// What was posted runs before the last callback, due or not; from now on nothing more can be.
    fn run_last_posts(&self, shard: &Shard, key: Key, id: Id) {
        let last = |conn: &mut Conn| {
            conn.is_ending = true;
            conn.take_posts(u64::MAX)
        };
        let mut posts = shard.ask(key, last).unwrap_or_default();
        let left = shard.ask(key, |conn| conn.cell().take_left(true)).flatten();
        let later = left.into_iter().flat_map(|left| left.asks);
        posts.extend(later.filter_map(|ask| if let Ask::Post(_, post) = ask { Some(post) } else { None }));
        for post in posts {
            let done = contain::run("a posted function", || {
                post(id);
                Ok(())
            });
            if let Err(error) = done {
                self.service.log(Level::Error, || format!("event=defect conn={} why=\"{error}\"", id.to_u64()));
            }
        }
    }

    fn tell_end(&self, shard: &Shard, id: Id, announced: bool, verdict: &Verdict) {
        let facts = shard.lane().cell(shard_key(id)).facts();
        let peer = facts.map(|facts| facts.peer_text()).unwrap_or_default();
        let Verdict { reason, code, why } = verdict;
        let level = if *reason == Reason::System { Level::Warn } else { Level::Debug };
        let event = if announced { "disconnect" } else { "handshake_failed" };
        self.service.log(level, || {
            format!(
                "event={event} conn={} peer={peer} reason={} why=\"{why}\"",
                id.to_u64(),
                reason.name().to_string_lossy()
            )
        });
        if announced {
            self.service.host.on_disconnect(id, *reason, why);
        } else {
            self.service.host.on_handshake_failed(id, *code, &peer, why);
        }
    }

    /// Gives everything back. The interest goes before the descriptor, because a forked child may hold a copy of it. Who
    /// sees the end counted finds nothing under its id any more, its descriptor closed, and its place in the limits free.
    fn bury(&mut self, shard: &Shard, key: Key, announced: bool, count: impl FnOnce(&Counters)) {
        shard.step(key, &mut [], |conn, tools| conn.bury(tools));
        let Some(conn) = shard.remove(key) else { return };
        let _ = self.epoll.remove(conn.fd());
        if conn.armed != u64::MAX {
            self.deadlines.remove(conn.armed, key);
        }
        let cell = conn.cell();
        let ip = cell.facts().and_then(|facts| facts.admitted_as);
        let goes_out = conn.goes_out();
        cell.close();
        drop(conn);
        self.service.dismiss(ip);
        count(&shard.inbox().counters);
        shard.lane().forget(key);
        if !announced {
            self.settled(shard, goes_out);
        }
    }

    /// Begins the end of every connection, in good order as far as the grace allows.
    pub(super) fn stop_all(&mut self, shard: &Shard) {
        for key in shard.keys() {
            shard.step(key, &mut [], |conn, tools| conn.close(Verdict::stopped(), tools.now));
            self.visit(shard, key);
        }
    }

    /// Ends every connection that is left.
    pub(super) fn end_all(&mut self, shard: &Shard) {
        for key in shard.keys() {
            shard.ask(key, |conn| conn.finish(Verdict::stopped()));
            self.retire(shard, key);
        }
    }
}

fn shard_key(id: Id) -> Key {
    Key { slot: id.slot() as u32, generation: id.generation() }
}
