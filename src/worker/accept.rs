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
use crate::listener::{Door, REST, Visitor};
use crate::log::Line;
use crate::service::{Seat, Stage};

/// How many connections one turn takes at most.
const ACCEPTS: usize = 16;

impl Turn {
    /// Takes those who wait, up to the turn's share.
    pub(super) fn accept(&mut self, shard: &Shard) {
        contain::fault("turn: accept");
        let draining = self.service.stage() >= Stage::Draining;
        let Some(door) = &mut self.door else { return };
        let share = if draining { ACCEPTS } else { door.share(ACCEPTS) };
        for _ in 0..share {
            if !draining && self.service.is_busy() {
                return self.rest();
            }
            let Some(door) = &mut self.door else { return };
            if door.is_closing() {
                return self.close_door(shard);
            }
            door.resume(&self.epoll, shard.now());
            if door.has_failed() || !(door.has_knocked() || draining) {
                return;
            }
            if draining && self.service.is_full() {
                // Who waits is left to another process that holds the socket; here all would be refused.
                return self.close_door(shard);
            }
            // Reserved before somebody is taken, so that several workers do not take more than there may be.
            let place = self.service.clone().reserve_handshake();
            if place.is_none() && !draining {
                return self.rest();
            }
            if !self.take_next(shard, draining) {
                return;
            }
        }
        self.door.iter_mut().for_each(Door::forget_knock);
    }

    /// Accepts no more. The socket itself is not shut down: another process may share it.
    pub(super) fn close_door(&mut self, shard: &Shard) {
        self.door.take_if(|door| door.close(&self.epoll, shard.now()));
    }

    /// At the limit of handshakes: whoever ends one wakes us.
    fn rest(&mut self) {
        self.door.iter_mut().for_each(|door| door.rest(&self.epoll, None));
    }

    /// Takes the next who waits; false if it is not worth looking for another.
    fn take_next(&mut self, shard: &Shard, draining: bool) -> bool {
        let Some(door) = &mut self.door else { return false };
        match door.next(draining) {
            Visitor::Came(fd, peer) => {
                shard.inbox().counters.accepted.add(1);
                let _ = self.contained("an arrival", |turn| turn.admit(shard, fd, peer));
            }
            Visitor::Left => {}
            Visitor::Nobody => {
                if draining {
                    self.close_door(shard);
                }
                return false;
            }
            Visitor::TurnedAway(is_first, error) => {
                shard.inbox().counters.accepted.add(1);
                shard.inbox().counters.refused_descriptors.add(1);
                self.complain(is_first, &error);
            }
            Visitor::Rest(is_first, error) => {
                door.rest(&self.epoll, Some(shard.now() + REST));
                self.complain(is_first, &error);
                return false;
            }
        }
        true
    }

    fn complain(&self, is_first: bool, error: &io::Error) {
        if is_first {
            self.service.log(Level::Error, || Line::of("accept_failed").with("why", format_args!("accept4: {error}")));
        }
    }

    /// Takes one connection in, if the limits and the host allow. Behind a balancer they are asked when the client is known.
    fn admit(&mut self, shard: &Shard, fd: OwnedFd, peer: Address) {
        contain::fault("accept: admit");
        let counters = &shard.inbox().counters;
        let proxied = match &self.service.balancers {
            Some(trusted) if !trusted.trusts(&peer) => {
                counters.refused_proxy.add(1);
                return self.note_refusal(&peer, "proxy_trusted");
            }
            trusted => trusted.is_some(),
        };
        let Ok(mut seat) = self.service.admit() else {
            counters.refused_limit.add(1);
            return self.note_refusal(&peer, "max_connections");
        };
        if !proxied && !self.invite(shard, &peer, &mut seat) {
            return;
        }
        let fd = match self.place(fd) {
            Ok(fd) => fd,
            Err(error) => {
                counters.refused_descriptors.add(1);
                let is_first = self.door.as_mut().is_some_and(Door::exhaust);
                return self.complain(is_first, &error);
            }
        };
        self.door.iter_mut().for_each(Door::recover);
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
        if !self.count_in(shard, client, seat) {
            return false;
        }
        let is_welcome = !self.service.host.wants_accept() || self.service.host.on_accept(&client.to_string());
        if !is_welcome {
            shard.inbox().counters.refused_callback.add(1);
            self.note_refusal(client, "on_accept");
        }
        is_welcome
    }

    /// Counts a client for its address; false at that limit.
    pub(super) fn count_in(&self, shard: &Shard, client: &Address, seat: &mut Seat<'_>) -> bool {
        let is_counted = seat.count_for(client.ip()).is_ok();
        if !is_counted {
            shard.inbox().counters.refused_per_ip.add(1);
            self.note_refusal(client, "max_connections_per_ip");
        }
        is_counted
    }

    fn note_refusal(&self, client: &Address, by: &str) {
        self.service.log(Level::Debug, || Line::of("refused").with("peer", client).with("by", by));
    }
}
