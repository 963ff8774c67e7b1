//! Taking connections in: a few each turn, within the limits, and none lost to a failure.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use super::Turn;
use super::shard::Shard;
use crate::address::Address;
use crate::host::Level;
use crate::inbox::Newcomer;
use crate::info::Facts;
use crate::listener::{REST, Visitor};
use crate::service::Stage;

/// How many connections one turn takes.
const ACCEPTS: usize = 16;

impl Turn {
    /// Takes those who wait, up to the turn's share.
    pub(super) fn accept(&mut self, shard: &Shard) {
        let draining = self.service.stage() >= Stage::Draining;
        for _ in 0..ACCEPTS {
            if !draining && self.service.is_busy() {
                return self.rest();
            }
            let Some(door) = &mut self.door else { return };
            door.resume(&self.epoll, shard.now());
            if door.has_failed() || !(door.has_knocked() || draining) {
                return;
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
    }

    /// At the limit of handshakes: whoever ends one wakes us.
    fn rest(&mut self) {
        self.door.iter_mut().for_each(|door| door.rest(&self.epoll, None));
    }

    /// Takes the next who waits; false if it is not worth looking for another.
    fn take_next(&mut self, shard: &Shard, draining: bool) -> bool {
        let Some(door) = &mut self.door else { return false };
        match door.next() {
            Visitor::Came(fd, peer) => {
                shard.inbox().counters.accepted.add(1);
                self.admit(shard, fd, peer);
            }
            Visitor::Left => {}
            Visitor::Nobody => {
                if let Some(door) = self.door.take_if(|_| draining) {
                    door.close(&self.epoll);
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
            self.service.log(Level::Error, || format!("event=accept_failed why=\"accept4: {error}\" action=refusing"));
        }
    }

    /// Takes one connection in, if the limits and the host allow. Behind a balancer they are asked when the client is known.
    fn admit(&mut self, shard: &Shard, fd: OwnedFd, peer: Address) {
        let counters = &shard.inbox().counters;
        let proxied = match &self.service.balancers {
            Some(trusted) if !trusted.trusts(&peer) => {
                counters.refused_proxy.add(1);
                return self.note_refusal(&peer, "not among proxy_trusted");
            }
            trusted => trusted.is_some(),
        };
        if self.service.admit().is_err() {
            counters.refused_limit.add(1);
            return self.note_refusal(&peer, "max_connections");
        }
        let admitted_as = if proxied { Some(None) } else { self.invite(shard, &peer) };
        let Some(admitted_as) = admitted_as else { return self.service.dismiss(None) };
        let fd = match self.place(fd) {
            Ok(fd) => fd,
            Err(error) => {
                self.service.dismiss(admitted_as);
                counters.refused_descriptors.add(1);
                return self.complain(true, &error);
            }
        };
        let Some((key, _, cell)) = shard.lane().name() else {
            self.service.dismiss(admitted_as);
            return counters.refused_limit.add(1);
        };
        cell.open(key.generation, fd.as_raw_fd(), 0, Arc::new(Facts::new(peer, admitted_as)));
        self.take_in(shard, Newcomer { key, fd, proxied });
    }

    /// Whether a client is taken: the limit for its address, then the host. Answers the address that it counts for.
    pub(super) fn invite(&self, shard: &Shard, client: &Address) -> Option<Option<IpAddr>> {
        let admitted_as = self.count_in(shard, client)?;
        if self.service.host.wants_accept() && !self.service.host.on_accept(&client.to_string()) {
            self.service.dismiss_ip(admitted_as);
            shard.inbox().counters.refused_callback.add(1);
            self.note_refusal(client, "on_accept");
            return None;
        }
        Some(admitted_as)
    }

    /// Counts a client for its address, within the limit.
    pub(super) fn count_in(&self, shard: &Shard, client: &Address) -> Option<Option<IpAddr>> {
        let counted = self.service.admit_ip(client.ip());
        if counted.is_err() {
            shard.inbox().counters.refused_per_ip.add(1);
            self.note_refusal(client, "max_connections_per_ip");
        }
        counted.ok()
    }

    fn note_refusal(&self, client: &Address, by: &str) {
        self.service.log(Level::Debug, || format!("event=refused peer={client} by=\"{by}\""));
    }
}
