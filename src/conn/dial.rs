//! Outgoing connections: a look-up, then one address after the other, until one is reached. Then the way up begins.
//!
//! A connection has its name before it has an address, so until then an unconnected socket keeps its place; each attempt
//! brings a socket of its own.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use super::{Conn, News, Opening, Phase, Tools, Verdict};
use crate::address::Address;
use crate::cell::Cell;
use crate::contain;
use crate::error::{Code, Result};
use crate::host::Reason;
use crate::id::Id;
use crate::sys::epoll::Interest;
use crate::sys::socket;
use crate::target::{Mode, Target};
use crate::tls::raw::Ssl;
use crate::tls::stream::Failure;
use crate::tls::wire::Link;

/// The time for one address of several where the whole has no end, in milliseconds.
const ONE_OF_SEVERAL: u64 = 10_000;
/// How long a unix socket whose queue is full is left alone, in milliseconds.
const QUEUE_IS_FULL: u64 = 20;

/// What an outgoing connection waits for.
#[derive(Debug)]
enum Stage {
    /// The addresses of its name.
    LookUp,
    /// Nothing: the next address is to be tried.
    Next,
    /// Its time: the peer's queue was full.
    Rest,
    /// The answer of this address.
    Answer(Address),
}

/// An outgoing connection on its way to an address.
pub(crate) struct Dial {
    stage: Stage,
    /// Addresses that were not tried.
    left: VecDeque<Address>,
    /// When the stage ends by itself.
    until: Option<u64>,
    /// What became of the address that was tried last.
    missed: Verdict,
}

/// Whether a connection comes in or goes out, and what that decides.
pub(crate) struct Way {
    /// Where it goes; `None`: it came in.
    pub(super) target: Option<Arc<Target>>,
    /// How long its way up may take.
    pub(super) timeout: Option<u64>,
}

impl Way {
    /// In, with the server's own limit.
    pub(crate) fn of_server(timeout: Option<u64>) -> Way {
        Way { target: None, timeout }
    }
}

impl Conn {
    /// A connection that goes out to the first of `addresses` that answers; `None`: they are being looked up. `link` holds
    /// an unconnected socket.
    pub(crate) fn outgoing(
        id: Id,
        cell: &'static Cell,
        link: Link,
        way: (Arc<Target>, Option<u64>),
        addresses: Option<Vec<Address>>,
        tools: &Tools<'_>,
    ) -> Conn {
        let stage = if addresses.is_some() { Stage::Next } else { Stage::LookUp };
        let left = addresses.unwrap_or_default().into();
        let missed = Verdict::new(Reason::System, Code::System, "the name has no address");
        let opening = Opening::Dialing(Box::new(Dial { stage, left, until: None, missed }));
        let mut conn = Conn::new(id, cell, link, opening, tools);
        conn.way = Way { target: Some(way.0), timeout: way.1 };
        conn
    }

    /// Where it goes, if it goes out.
    pub(crate) fn target(&self) -> Option<Arc<Target>> {
        self.way.target.clone()
    }

    /// The look-up has ended.
    pub(crate) fn looked_up(&mut self, found: Result<Vec<Address>>) {
        contain::fault("conn: looked_up");
        let Opening::Dialing(dial) = &mut self.opening else { return };
        if !matches!((self.phase, &dial.stage), (Phase::Opening, Stage::LookUp)) {
            return;
        }
        match found {
            Ok(addresses) => {
                dial.left = addresses.into();
                dial.stage = Stage::Next;
            }
            Err(error) => self.finish(Verdict::new(Reason::System, error.code(), error.sentence())),
        }
    }

    /// One step on the way to an address.
    pub(super) fn dial(&mut self, tools: &mut Tools<'_>) -> News {
        contain::fault("conn: dial");
        let Opening::Dialing(dial) = &mut self.opening else { return News::Nothing };
        match &dial.stage {
            Stage::LookUp | Stage::Rest => News::Nothing,
            Stage::Next if dial.left.is_empty() => {
                let missed = dial.missed.clone();
                self.finish(missed);
                News::Nothing
            }
            Stage::Next => News::Dial,
            Stage::Answer(_) if self.link.is_blocked() => News::Nothing,
            Stage::Answer(_) => match socket::take_error(self.link.fd()) {
                Some(error) => {
                    self.missed(&error);
                    self.dial(tools)
                }
                None => self.answered(tools),
            },
        }
    }

    /// The address answers, or an event that was meant for another socket came here.
    fn answered(&mut self, tools: &mut Tools<'_>) -> News {
        match socket::peer_address(self.link.fd()) {
            Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
                self.link.await_room();
                return News::Nothing;
            }
            _ => {}
        }
        match self.way.target.as_ref().map(|target| target.mode()) {
            Some(Mode::Tls) => News::Hello,
            Some(Mode::Plain | Mode::StartTls) | None => {
                self.opening = Opening::Plain;
                self.open(tools)
            }
        }
    }

    /// Whether another step would find something without a new event.
    pub(super) fn can_dial(&self, dial: &Dial) -> bool {
        match dial.stage {
            Stage::LookUp | Stage::Rest => false,
            Stage::Next => true,
            Stage::Answer(_) => !self.link.is_blocked(),
        }
    }

    /// The address that is to be tried now.
    pub(crate) fn next_address(&mut self) -> Option<Address> {
        let Opening::Dialing(dial) = &mut self.opening else { return None };
        dial.left.pop_front()
    }

    /// The worker has begun to connect to `address`, or could not. True: the new socket is to be watched.
    pub(crate) fn dialed(&mut self, address: Address, begun: io::Result<OwnedFd>, now: u64) -> bool {
        contain::fault("conn: dialed");
        let left = self.time_left(now);
        let Opening::Dialing(dial) = &mut self.opening else { return false };
        match begun {
            Ok(fd) => {
                let parts = dial.left.len() as u64 + 1;
                let part = left.map_or(ONE_OF_SEVERAL, |left| left / parts);
                dial.until = (parts > 1).then(|| now.saturating_add(part));
                dial.stage = Stage::Answer(address.clone());
                self.cell.set_fd(fd.as_raw_fd());
                self.link = Link::new(fd);
                self.link.await_room();
                self.set_interest(Interest::Edge { read: true, write: true });
                self.learn(|facts| {
                    facts.name = None;
                    facts.peer = address;
                });
                true
            }
            // Only a unix socket says so: its queue is full (connect(2), EAGAIN).
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                dial.left.push_front(address);
                dial.stage = Stage::Rest;
                dial.until = Some(now + QUEUE_IS_FULL);
                false
            }
            Err(error) => {
                dial.stage = Stage::Answer(address);
                self.missed(&error);
                false
            }
        }
    }

    fn time_left(&self, now: u64) -> Option<u64> {
        self.way.timeout.map(|timeout| self.born.saturating_add(timeout).saturating_sub(now))
    }

    /// The address that is being tried does not answer, for this reason.
    fn missed(&mut self, error: &io::Error) {
        let failure = Failure::socket(error);
        let mut verdict = Verdict::of(&failure);
        self.next_instead(|address| {
            verdict.why = format!("connect to {address}: {error}");
            verdict
        });
    }

    fn next_instead(&mut self, missed: impl FnOnce(&Address) -> Verdict) {
        let Opening::Dialing(dial) = &mut self.opening else { return };
        if let Stage::Answer(address) = &dial.stage {
            dial.missed = missed(address);
        }
        dial.stage = Stage::Next;
        dial.until = None;
    }

    /// When the present step ends by itself.
    pub(super) fn dial_deadline(&self) -> Option<u64> {
        if let Opening::Dialing(dial) = &self.opening { dial.until } else { None }
    }

    /// The present step has had its time.
    pub(super) fn give_up_address(&mut self) {
        self.next_instead(|address| {
            let why = format!("connect to {address}: no answer within the time");
            Verdict::new(Reason::System, Code::TimedOut, why)
        });
    }

    /// What was not done when the time for the whole way up was over.
    pub(super) fn unfinished(&self) -> String {
        let Opening::Dialing(dial) = &self.opening else {
            return "the handshake was not done within its time".to_owned();
        };
        let name = self.cell.facts().and_then(|facts| facts.name.clone()).unwrap_or_default();
        match &dial.stage {
            Stage::LookUp => format!("the look-up of {name}: no answer within the time"),
            Stage::Answer(address) => format!("connect to {address}: no answer within the time"),
            Stage::Next | Stage::Rest => "no address was reached within the time".to_owned(),
        }
    }

    /// Whether the host may start TLS on it.
    pub(crate) fn may_start_tls(&self, in_server: bool) -> bool {
        self.is_plain() && self.way.target.as_ref().map_or(in_server, |target| target.mode() == Mode::StartTls)
    }

    /// Whether this end has begun it, and so speaks first when TLS begins.
    pub(crate) fn goes_out(&self) -> bool {
        self.way.target.is_some()
    }

    /// A failed handshake in words that say what this end expected.
    pub(super) fn explained(&self, failure: Failure) -> Failure {
        match (failure, &self.way.target) {
            (Failure::Protocol(error), Some(target)) => Failure::Protocol(target.explain(&error)),
            (failure, _) => failure,
        }
    }

    /// Why this end does not take what the handshake has settled; `None`: it does.
    pub(super) fn refusal(&self, ssl: &Ssl) -> Option<Failure> {
        let refused = self.way.target.as_ref()?.confirm(ssl).err()?;
        Some(self.explained(Failure::Protocol(refused)))
    }
}
