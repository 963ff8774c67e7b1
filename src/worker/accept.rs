//! Taking connections in: a few each turn, within the limits, and none lost to a failure.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use super::Turn;
use super::shard::Shard;
use crate::address::Address;
use crate::host::Level;
use crate::inbox::Newcomer;
use crate::info::Facts;
use crate::listener::{REST, Visitor};
use crate::service::{Refused, Stage};
use crate::sys::socket;

/// How many connections one turn takes.
const ACCEPTS: usize = 16;
/// Where connections of a host that uses `select` begin: its own descriptors stay below FD_SETSIZE.
const ABOVE_SELECT: i32 = 1024;

impl Turn {
    /// Takes those who wait, up to the turn's share.
    pub(super) fn accept(&mut self, shard: &Shard) {
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
                    self.admit(shard, fd, peer);
                }
                Visitor::Left => {}
                Visitor::Nobody if draining => {
                    if let Some(door) = self.door.take() {
                        door.close(&self.epoll);
                    }
                    return;
                }
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

    fn complain(&self, is_first: bool, error: &std::io::Error) {
        if is_first {
            self.service.log(Level::Error, || format!("event=accept_failed why=\"accept4: {error}\" action=refusing"));
        }
    }

    /// Takes one connection in, if the limits and the host allow.
    fn admit(&mut self, shard: &Shard, fd: OwnedFd, peer: Address) {
        let counters = &shard.inbox().counters;
        let ip = peer.ip();
        match self.service.admit(ip) {
            Ok(()) => {}
            Err(Refused::Limit) => return counters.refused_limit.add(1),
            Err(Refused::PerIp) => return counters.refused_per_ip.add(1),
        }
        if self.service.host.wants_accept() && !self.service.host.on_accept(&peer.to_string()) {
            self.service.dismiss(ip);
            return counters.refused_callback.add(1);
        }
        let fd = match self.place(fd) {
            Ok(fd) => fd,
            Err(error) => {
                self.service.dismiss(ip);
                counters.refused_descriptors.add(1);
                return self.complain(true, &error);
            }
        };
        let Some((key, _, cell)) = shard.lane().name() else {
            self.service.dismiss(ip);
            return counters.refused_limit.add(1);
        };
        cell.open(key.generation, fd.as_raw_fd(), 0, Arc::new(Facts::new(peer)));
        self.take_in(shard, Newcomer { key, fd });
    }

    /// Where the host itself waits with `select`, connections must not take the low numbers.
    fn place(&self, fd: OwnedFd) -> std::io::Result<OwnedFd> {
        if !self.service.host_driven {
            return Ok(fd);
        }
        match socket::duplicate(fd.as_fd(), ABOVE_SELECT) {
            // The process may have no numbers that high; then `select` is no concern either.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(fd),
            moved => moved,
        }
    }
}
