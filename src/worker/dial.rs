//! Connections that go out.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::Turn;
use super::shard::Shard;
use crate::conn::{Conn, Verdict};
use crate::contain;
use crate::error::Code;
use crate::host::Reason;
use crate::id::Id;
use crate::inbox::Outgoing;
use crate::listener::above_select;
use crate::registry::Lane;
use crate::slab::Key;
use crate::sys::socket;
use crate::tls::wire::Link;

impl Turn {
    /// Takes in a connection that is to go out. It is watched when it has a socket that is worth it.
    pub(super) fn send_out(&mut self, shard: &Shard, outgoing: Outgoing) {
        let Outgoing { key, fd, target, timeout, addresses } = outgoing;
        let lane: &'static Lane = shard.lane();
        let id = Id::new(lane.number(), key.slot as usize, key.generation);
        let way = (target, timeout);
        shard.insert(key, |tools| Conn::outgoing(id, lane.cell(key), Link::new(fd), way, addresses, tools));
        let counters = &shard.inbox().counters;
        counters.accepted.add(1);
        counters.opened.add(1);
        self.work(shard, key, "a connection that goes out", |turn| {
            contain::fault("send_out: begin");
            if turn.stopping {
                shard.ask(key, |conn| conn.finish(Verdict::stopped()));
            }
            turn.see_to(shard, key);
            turn.hear(shard, key);
        });
    }

    /// Tries the next address of a connection.
    pub(super) fn dial(&self, shard: &Shard, key: Key) {
        contain::fault("dial: begin");
        let Some(Some(address)) = shard.ask(key, |conn| conn.next_address()) else { return };
        let begun = socket::connect(&address).and_then(|fd| self.place(fd));
        shard.step(key, &mut [], |conn, tools| {
            let _ = self.epoll.remove(conn.fd());
            if !conn.dialed(address, begun, tools.now) {
                return;
            }
            if let Err(error) = self.epoll.add(conn.fd(), key.to_u64(), conn.interest()) {
                conn.finish(Verdict::new(Reason::System, Code::System, format!("epoll_ctl: {error}")));
            }
        });
    }

    /// Where the host itself waits with `select`, connections must not take the low numbers.
    pub(super) fn place(&self, fd: OwnedFd) -> io::Result<OwnedFd> {
        contain::fault("accept: place");
        let moved = if self.service.host_driven { above_select(fd.as_raw_fd())? } else { None };
        Ok(moved.unwrap_or(fd))
    }
}
