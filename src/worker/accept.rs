//! Taking connections in: a few each turn, within the limits, and none lost to a failure.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use super::Turn;
use super::shard::Shard;
use crate::address::Address;
use crate::contain;
use crate::host::Level;
use crate::inbox::Newcomer;
use crate::info::Facts;
use crate::listener::{REST, Visitor};
use crate::service::{Seat, Stage};

/// How many connections one turn takes.
const ACCEPTS: usize = 16;

impl Turn {
    /// Takes those who wait, up to the turn's share.
    pub(super) fn accept(&mut self, shard: &Shard) {
        contain::fault("turn: accept");
        let draining = self.service.stage() >= Stage::Draining;
        for _ in 0..ACCEPTS {
            if self.service.is_busy() && !draining {
                // At the limit of handshakes: whoever ends one wakes us.
                return self.door.iter_mut().for_each(|door| door.rest(&self.epoll, None));
            }
            let now = shard.now();
            let Some(door) = &mut self.door else { return };
            door.resume(&self.epoll, now);
            if !door.has_knocked() && !draining {
                return;
            }
            match door.next() {
                Visitor::Came(fd, peer) => {
                    shard.inbox().counters.accepted.add(1);
                    let _ = self.contained("an arrival", |turn| turn.admit(shard, fd, peer));
                }
                Visitor::Left => {}
                Visitor::Nobody if draining => return self.close_door(),
                Visitor::Nobody => return,
                Visitor::TurnedAway(is_first, error) => {
                    shard.inbox().counters.accepted.add(1);
                    shard.inbox().counters.refused_descriptors.add(1);
                    self.complain(is_first, &error);
                }
                Visitor::Rest(is_first, error) => {
                    door.rest(&self.epoll, Some(now + REST));
                    return self.complain(is_first, &error);
                }
            }
        }
    }

    /// Accepts no more. The socket itself is not shut down: another process may share it.
    pub(super) fn close_door(&mut self) {
        if let Some(door) = &mut self.door {
            door.rest(&self.epoll, None);
        }
        self.door = None;
    }

    fn complain(&self, is_first: bool, error: &io::Error) {
        if is_first {
            self.service.log(Level::Error, || format!("event=accept_failed why=\"accept4: {error}\" action=refusing"));
        }
    }

    /// Takes one connection in, if the limits and the host allow. Behind a balancer they are asked when the client is known.
    fn admit(&mut self, shard: &Shard, fd: OwnedFd, peer: Address) {
        contain::fault("accept: admit");
        let counters = &shard.inbox().counters;
        let proxied = match &self.service.balancers {
            Some(trusted) if !trusted.trusts(&peer) => return counters.refused_proxy.add(1),
            trusted => trusted.is_some(),
        };
        let Ok(mut seat) = self.service.admit() else {
            return counters.refused_limit.add(1);
        };
        if !proxied && !self.invite(shard, &peer, &mut seat) {
            return;
        }
        let fd = match self.place(fd) {
            Ok(fd) => fd,
            Err(error) => {
                counters.refused_descriptors.add(1);
                return self.complain(true, &error);
            }
        };
        contain::fault("accept: name");
        let Some((key, _, cell)) = shard.lane().name() else {
            return counters.refused_limit.add(1);
        };
        cell.open(key.generation, fd.as_raw_fd(), 0, Arc::new(Facts::new(peer, seat.keep())));
        self.take_in(shard, Newcomer { key, fd, proxied });
    }

    /// Whether a client is taken: the limit for its address, then the host.
    pub(super) fn invite(&self, shard: &Shard, client: &Address, seat: &mut Seat<'_>) -> bool {
        contain::fault("accept: invite");
        let counters = &shard.inbox().counters;
        if seat.count_for(client.ip()).is_err() {
            counters.refused_per_ip.add(1);
            return false;
        }
        let is_welcome = !self.service.host.wants_accept() || self.service.host.on_accept(&client.to_string());
        if !is_welcome {
            counters.refused_callback.add(1);
        }
        is_welcome
    }
}
