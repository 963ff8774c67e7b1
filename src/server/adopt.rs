//! Connections that the host accepted itself.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Server;
use crate::address::Address;
use crate::error::{Code, Error, Result};
use crate::id::Id;
use crate::inbox::{Guest, Inbox, Newcomer, Note};
use crate::info::Facts;
use crate::listener;
use crate::service::{Seat, Stage};
use crate::sys::socket;

impl Server {
    /// Takes over a connected socket, with the host's pointer for it. `tell` gets the name before any callback has it.
    pub fn adopt(&self, fd: RawFd, data: usize, tell: impl FnOnce(Id)) -> Result<()> {
        let peer = connected_to(fd)?;
        let (inbox, guest) = self.enter()?;
        let proxied = match &self.service.balancers {
            Some(trusted) if !trusted.trusts(&peer) => {
                return Err(Error::state(format!("fd {fd}: {peer} is not among config->proxy_trusted")));
            }
            trusted => trusted.is_some(),
        };
        let seat = self.seat_for(&peer, proxied)?;
        let lane = inbox.lane().ok_or_else(Error::closed)?;
        let named = lane.name().ok_or_else(|| Error::state("the worker has no room for another connection"));
        let (key, id, cell) = named?;
        let moved = if self.service.host_driven { listener::above_select(fd) } else { Ok(None) };
        // What changes the host's descriptor comes last.
        let ready = moved.and_then(|moved| socket::with_raw(fd, socket::adopt_flags).map(|()| moved));
        let moved = ready.map_err(told(fd)).inspect_err(|_| lane.forget(key))?;
        // Only now nothing can fail any more, and the descriptor is ours.
        let given = socket::take(fd);
        let fd = moved.unwrap_or(given);
        socket::make_ordinary(fd.as_fd());
        let facts = Facts { is_invited: true, ..Facts::new(peer, seat.keep()) };
        cell.open(key.generation, fd.as_raw_fd(), data, Arc::new(facts));
        tell(id);
        guest.leave(Note::Newcomer(Box::new(Newcomer { key, fd, proxied })));
        Ok(())
    }

    /// A worker for a connection of the host's. With the guest it waits for the note about it, and does not end before.
    pub(super) fn enter(&self) -> Result<(&Arc<Inbox>, Guest<'_>)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.service.inboxes.len();
        let inbox = &self.service.inboxes[number];
        let guest = inbox.admit().filter(|_| self.service.stage() < Stage::Stopping);
        Ok((inbox, guest.ok_or_else(|| Error::new(Code::Closed, "the server is stopping"))?))
    }

    /// A seat within the limits; behind a balancer, it is not known yet for which address.
    fn seat_for(&self, peer: &Address, proxied: bool) -> Result<Seat<'_>> {
        let full = |_| Error::state("the limit of connections is reached");
        let full_for_peer = |_| Error::state(format!("{peer}: the limit of connections from its address is reached"));
        let mut seat = self.service.admit().map_err(full)?;
        seat.count_for(if proxied { None } else { peer.ip() }).map_err(full_for_peer)?;
        Ok(seat)
    }
}

/// The other end of a connected stream socket, which is all that can be adopted.
fn connected_to(fd: RawFd) -> Result<Address> {
    if fd < 0 {
        return Err(Error::invalid(format!("fd {fd}: not a descriptor")));
    }
    match socket::with_raw(fd, socket::is_listening).map_err(told(fd))? {
        Some(false) => {}
        Some(true) => return Err(Error::invalid(format!("fd {fd}: the socket listens"))),
        None => return Err(Error::invalid(format!("fd {fd}: not a stream socket"))),
    }
    let peer = socket::with_raw(fd, |fd| {
        let peer = socket::peer_address(fd)?;
        // A peer of a unix socket has no name of its own.
        if let Address::Unix(_) = peer { socket::local_address(fd) } else { Ok(peer) }
    });
    peer.map_err(told(fd))
}

/// The system's words about a descriptor of the host's.
fn told(fd: RawFd) -> impl Fn(io::Error) -> Error {
    move |error| listener::of_handed_in(format!("fd {fd}"), &error)
}
