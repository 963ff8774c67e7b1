//! Connections that the server itself begins.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Server;
use crate::address::Address;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::inbox::{Guest, Inbox, Note, Outgoing};
use crate::info::Facts;
use crate::listener;
use crate::resolver::Place;
use crate::sys::socket;
use crate::target::{Config, Target};

impl Server {
    /// Begins a connection to another server, with the host's pointer for it. `tell` gets the name before any callback
    /// has it. A name is looked up by the server's resolver, whose thread begins with the first one.
    pub fn connect(&self, config: &Config, data: usize, tell: impl FnOnce(Id)) -> Result<()> {
        let place = Place::read(&config.host, config.port)?;
        let worker = self.enter()?;
        if let Place::Named(..) = place {
            self.resolver.begin()?;
        }
        let seat = self.service.admit().map_err(|_| Error::state("the limit of connections is reached"))?;
        // What fails before must not freeze the policy.
        let target = Arc::new(Target::of(config)?);
        self.send_out(worker, target, place, config.connect_timeout, data, tell)?;
        seat.keep();
        Ok(())
    }

    fn send_out(
        &self,
        (inbox, guest): (&Arc<Inbox>, Guest<'_>),
        target: Arc<Target>,
        place: Place,
        timeout: Option<u64>,
        data: usize,
        tell: impl FnOnce(Id),
    ) -> Result<()> {
        // It keeps the connection's place until there is an address to connect a socket to.
        let fd = socket::unconnected().map_err(|error| Error::system("socket", &error))?;
        let moved = if self.service.host_driven { listener::above_select(fd.as_raw_fd()) } else { Ok(None) };
        let fd = moved.map_err(|error| Error::system("fcntl", &error))?.unwrap_or(fd);
        let lane = inbox.lane().ok_or_else(Error::closed)?;
        let named = lane.name().ok_or_else(|| Error::state("the worker has no room for another connection"))?;
        let (key, id, cell) = named;
        let (facts, addresses) = match &place {
            Place::At(address) => (Facts::new(address.clone(), None), Some(vec![address.clone()])),
            Place::Named(name, port) => (unresolved(name, *port), None),
        };
        cell.open(key.generation, fd.as_raw_fd(), data, Arc::new(Facts { is_invited: true, ..facts }));
        tell(id);
        guest.leave(Note::Outgoing(Box::new(Outgoing { key, fd, target, timeout, addresses })));
        if let Place::Named(name, port) = place {
            let until = timeout.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
            // The answer may find the server gone.
            let inbox = Arc::downgrade(inbox);
            let answer = move |found| {
                if let Some(inbox) = inbox.upgrade() {
                    inbox.push(Note::LookedUp(key, found));
                }
            };
            self.resolver.ask(&name, port, until, Box::new(answer));
        }
        Ok(())
    }
}

/// What is known of a connection whose address is not.
fn unresolved(name: &str, port: u16) -> Facts {
    let nowhere = Address::inet(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    Facts { name: Some(format!("{name}:{port}").into()), ..Facts::new(nowhere, None) }
}
