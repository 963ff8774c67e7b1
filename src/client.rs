//! The blocking client: a stream over a non-blocking socket, and `poll(2)` where it has to wait.
//!
//! Invariants: a failure of one direction is kept, and every later call on that direction tells it again. What has
//! arrived is handed out before the end that stands behind it.

mod connect;
mod deadline;
mod io;
mod kept;

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use deadline::Deadline;
use kept::Kept;

use crate::address::Address;
use crate::calls::Told;
use crate::contain;
use crate::error::{Code, Error, Result};
use crate::info::Facts;
use crate::sys::socket;
use crate::target::Target;
pub use crate::target::{Config, Mode};
use crate::tls::stream::{End, Stream};
use crate::tls::wire::{Buffers, Link};

/// The peer's direction.
enum Inbound {
    /// More may come.
    Open,
    /// The peer has ended it.
    Ended(End),
    /// It is beyond use.
    Failed(Error),
}

/// Our own direction.
enum Outbound {
    /// Takes bytes.
    Open,
    /// The host has ended it.
    Ended,
    /// Something was left half sent, so nothing can follow.
    Failed(Error),
}

/// One connection to a server. Used by one thread at a time.
pub struct Client {
    link: Link,
    bufs: Buffers,
    stream: Stream,
    kept: Kept,
    inbound: Inbound,
    outbound: Outbound,
    facts: Facts,
    bytes_in: u64,
    bytes_out: u64,
    /// What is needed for TLS, while it has not begun, and the time for its handshake.
    before_tls: Option<(Target, Option<u64>)>,
    /// A send or an end had begun, and did not leave whole.
    is_cut_off: bool,
    /// How sentences call the server.
    label: String,
    io_timeout: Option<u64>,
}

/// How much may arrive and wait while a send goes on, besides as much as is being sent.
const KEPT: usize = 4 << 20;
/// How long a close may take until the peer's kernel has everything, in milliseconds.
const GOODBYE: u64 = 1000;

impl Client {
    /// Connects, and shakes hands unless the mode is a plain one.
    pub fn connect(config: &Config) -> Result<Client> {
        connect::connect(config)
    }

    /// Does one call. What a defect has left half done is not used again: both directions tell of it from then on.
    fn whole<T>(&mut self, what: &str, call: impl FnOnce(&mut Client) -> Result<T>) -> Result<T> {
        let done = contain::run(what, || call(self));
        if let Err(error) = &done
            && error.code() == Code::Internal
        {
            self.kept = Kept::default();
            self.inbound = Inbound::Failed(error.clone());
            self.outbound = Outbound::Failed(error.clone());
        }
        done
    }

    /// Sends all of it. After a failure nothing more can be sent, for nobody knows how much has left.
    pub fn send(&mut self, data: &[u8]) -> Result<()> {
        self.whole("a send", |client| client.send_all(data))
    }

    fn send_all(&mut self, data: &[u8]) -> Result<()> {
        self.may_send()?;
        let mut deadline = Deadline::after(self.io_timeout);
        let most = KEPT.saturating_add(data.len());
        let mut rest = data;
        loop {
            let blocked = self.write(&mut rest);
            match blocked {
                Ok(()) if rest.is_empty() && self.link.is_flushed() => break,
                Ok(()) => {}
                Err(error) => return Err(self.send_failed(error)),
            }
            if let Err(error) = self.wait_to_write(&mut deadline, most) {
                return Err(self.send_failed(error));
            }
        }
        self.bytes_out += data.len() as u64;
        Ok(())
    }

    /// Receives what has come, at least one byte; 0: the server has ended in good order.
    pub fn recv(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.whole("a receive", |client| client.recv_some(buf))
    }

    fn recv_some(&mut self, buf: &mut [u8]) -> Result<usize> {
        if buf.is_empty() {
            return Err(Error::invalid("len is 0, which would look like the server's end"));
        }
        let mut deadline = Deadline::after(self.io_timeout);
        loop {
            if self.kept.len() > 0 {
                let n = self.kept.take(buf);
                self.bytes_in += n as u64;
                return Ok(n);
            }
            match &self.inbound {
                Inbound::Open => {}
                Inbound::Ended(End::Clean) => return Ok(0),
                Inbound::Ended(End::Truncated) => return Err(truncated()),
                Inbound::Failed(error) => return Err(error.clone()),
            }
            let is_late = deadline.has_passed();
            let in_time = if self.link.has_news() {
                self.fill(KEPT);
                // However much comes that is not data: the time passes.
                !is_late || self.kept.len() > 0 || !matches!(self.inbound, Inbound::Open)
            } else {
                self.wait(&mut deadline, true).inspect_err(|error| self.inbound = Inbound::Failed(error.clone()))?
            };
            if !in_time {
                let ms = self.io_timeout.unwrap_or_default();
                return Err(Error::new(Code::TimedOut, format!("nothing came from {} for {ms} ms", self.label)));
            }
        }
    }

    /// Ends our direction, with close_notify or in plain text with FIN; receiving goes on.
    pub fn end(&mut self) -> Result<()> {
        self.whole("an end", Client::end_direction)
    }

    fn end_direction(&mut self) -> Result<()> {
        self.may_send()?;
        self.outbound = Outbound::Ended;
        let mut deadline = Deadline::after(self.io_timeout);
        let most = KEPT.saturating_add(self.kept.len());
        if let Err(error) = self.make_end(&mut deadline, most) {
            return Err(self.send_failed(error));
        }
        while !self.link.is_flushed() {
            if let Err(error) = self.wait_to_write(&mut deadline, most) {
                return Err(self.send_failed(error));
            }
        }
        match self.link.send_error() {
            Some(error) => Err(self.send_failed(self.lost(&error))),
            None => {
                self.link.mute();
                Ok(())
            }
        }
    }

    /// Begins TLS on a connection of mode [`Mode::StartTls`], and waits for its handshake. After a failure the connection
    /// is of no use.
    pub fn start_tls(&mut self) -> Result<()> {
        let Some((target, timeout)) = self.before_tls.take() else {
            return Err(Error::state("tlsloop_client_start_tls: the mode is not STARTTLS, or TLS has begun before"));
        };
        let begun = self.whole("a handshake", |client| client.begin_tls(&target, timeout));
        if let Err(error) = &begun {
            self.kept = Kept::default();
            self.inbound = Inbound::Failed(error.clone());
            self.outbound = Outbound::Failed(error.clone());
        }
        begun
    }

    fn begin_tls(&mut self, target: &Target, timeout: Option<u64>) -> Result<()> {
        self.may_send()?;
        // Whatever has come by now was said in plain, by anybody, and must not pass for the answer to what TLS protects.
        self.link.readable();
        self.fill(KEPT);
        match &self.inbound {
            _ if self.kept.len() > 0 => {
                let why = format!("{}: bytes arrived in plain text before TLS began", self.label);
                return Err(Error::new(Code::Tls, why));
            }
            Inbound::Open => {}
            Inbound::Ended(_) => {
                return Err(Error::new(Code::Truncated, format!("{} ended before TLS began", self.label)));
            }
            Inbound::Failed(error) => return Err(error.clone()),
        }
        self.shake_hands(target, &mut Deadline::after(timeout))
    }

    /// Ends the connection: close_notify, if nothing has failed, then the socket. What is on its way has a second to
    /// reach the peer. After a send that was cut off, the peer gets a reset.
    pub fn close(mut self) {
        let mut deadline = Deadline::after(Some(GOODBYE));
        if self.may_send().is_ok() {
            let most = KEPT.saturating_add(self.kept.len());
            // There is nobody to be told that there was no end to be made.
            let _ = self.make_end(&mut deadline, most);
        }
        self.leave(&mut deadline);
    }

    /// Ends the socket in such a way that nothing which was sent is destroyed, as far as the time goes.
    ///
    /// A close with input unread is a reset, and so is one that input meets later: either may take from the peer what
    /// it has not read. So our end goes first, and the descriptor when the peer's kernel has everything.
    fn leave(&mut self, deadline: &mut Deadline) {
        if self.is_cut_off {
            // What has left must not look like all that there was.
            return socket::reset(self.link.fd());
        }
        // Nothing is read for OpenSSL any more, so nothing waits for what it would say.
        self.link.mute();
        while !self.link.is_flushed() && self.link.send_error().is_none() {
            self.link.drop_input(&mut self.bufs);
            if !matches!(self.wait(deadline, !self.link.has_ended()), Ok(true)) {
                break;
            }
        }
        let _ = socket::shutdown_write(self.link.fd());
        let mut nap = 1;
        loop {
            self.link.drop_input(&mut self.bufs);
            if self.link.has_ended() || deadline.has_passed() {
                break;
            }
            if self.link.has_more() {
                continue;
            }
            if socket::unacknowledged(self.link.fd()) == 0 {
                break;
            }
            let woken = Deadline::after(Some(nap)).wait(self.link.fd(), true, false);
            if let Ok(Some(_)) = woken {
                self.link.readable();
            }
            nap = (2 * nap).min(50);
        }
    }

    /// The descriptor, which stays the client's. Readable is not the same as that bytes for the host have come.
    pub fn fd(&self) -> RawFd {
        self.link.fd().as_raw_fd()
    }

    /// What is known of the connection.
    pub(crate) fn told(&self) -> Told {
        let is_unix = matches!(self.facts.peer, Address::Unix(_));
        Told {
            facts: Arc::new(self.facts.clone()),
            local: socket::local_address(self.link.fd()).ok(),
            credentials: if is_unix { socket::peer_credentials(self.link.fd()) } else { None },
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        }
    }

    /// Whether our direction takes bytes.
    fn may_send(&self) -> Result<()> {
        match (&self.outbound, &self.inbound) {
            (Outbound::Ended, _) => Err(Error::new(Code::Closed, "this side has ended its direction")),
            (Outbound::Failed(error), _) | (_, Inbound::Failed(error)) => Err(error.clone()),
            (Outbound::Open, Inbound::Open | Inbound::Ended(_)) => Ok(()),
        }
    }
}

fn truncated() -> Error {
    Error::new(Code::Truncated, "the server ended without close_notify: the data may be cut off")
}

#[cfg(test)]
mod tests;
