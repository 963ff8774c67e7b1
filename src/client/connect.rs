//! From a configuration to a connection that is up: look-up, addresses one after the other, handshake, all within one
//! time.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::deadline::Deadline;
use super::kept::Kept;
use super::{Client, Config, Inbound, Mode, Outbound};
use crate::address::Address;
use crate::error::{Code, Error, Result};
use crate::exit;
use crate::info::{Facts, TlsFacts};
use crate::resolver::{Place, Resolver};
use crate::sys::socket;
use crate::target::Target;
use crate::tls::stream::{Step, Stream, Tls};
use crate::tls::wire::{Buffers, Link, Wire};

/// The time for one address of several where the whole has no end.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(10);
/// How long a unix socket whose queue is full is left alone.
const QUEUE_IS_FULL: Duration = Duration::from_millis(20);

pub(super) fn connect(config: &Config) -> Result<Client> {
    let place = Place::read(&config.host, config.port)?;
    let target = Target::of(config)?;
    let mut deadline = Deadline::after(config.connect_timeout);
    let (addresses, label) = match &place {
        Place::At(address) => (vec![address.clone()], address.to_string()),
        Place::Named(name, port) => {
            let found = Resolver::default().wait_for(name, *port, deadline.at())?;
            (found, format!("{name}:{port}"))
        }
    };
    let (fd, peer) = reach(&addresses, &label, &deadline)?;
    let mut client = Client {
        link: Link::new(fd),
        bufs: Buffers::new(),
        stream: Stream::Plain,
        kept: Kept::default(),
        inbound: Inbound::Open,
        outbound: Outbound::Open,
        facts: Facts::new(peer, None),
        bytes_in: 0,
        bytes_out: 0,
        before_tls: None,
        is_cut_off: false,
        label,
        io_timeout: config.io_timeout,
    };
    match config.mode {
        Mode::Tls => client.shake_hands(&target, &mut deadline)?,
        Mode::StartTls => client.before_tls = Some((target, config.connect_timeout)),
        Mode::Plain => {}
    }
    Ok(client)
}

/// Connects to the first address that answers. One that does not has no more than its part of the time.
pub(super) fn reach(addresses: &[Address], label: &str, deadline: &Deadline) -> Result<(OwnedFd, Address)> {
    let mut last = Error::new(Code::System, format!("{label}: no address"));
    for (tried, address) in addresses.iter().enumerate() {
        let part = deadline.part(addresses.len() - tried, ONE_OF_SEVERAL);
        match reach_one(address, part) {
            Ok(fd) => return Ok((fd, address.clone())),
            Err(Failed::InTime(error)) => last = Error::system(sentence(label, address), &error),
            Err(Failed::TooLate) => {
                let why = format!("{}: no answer within the time", sentence(label, address));
                last = Error::new(Code::TimedOut, why);
            }
        }
        if deadline.has_passed() {
            break;
        }
    }
    Err(last)
}

fn sentence(label: &str, address: &Address) -> String {
    let address = address.to_string();
    if label == address { format!("connect to {address}") } else { format!("{label}: connect to {address}") }
}

/// Why an address was not reached.
enum Failed {
    InTime(io::Error),
    TooLate,
}

fn reach_one(address: &Address, mut deadline: Deadline) -> std::result::Result<OwnedFd, Failed> {
    let fd = loop {
        match socket::connect(address) {
            // Only a unix socket says so: its queue is full (connect(2), EAGAIN).
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if deadline.has_passed() {
                    return Err(Failed::TooLate);
                }
                let _pause = exit::pause();
                std::thread::sleep(QUEUE_IS_FULL);
            }
            connected => break connected.map_err(Failed::InTime)?,
        }
    };
    match deadline.wait(fd.as_fd(), false, true).map_err(Failed::InTime)? {
        None => Err(Failed::TooLate),
        Some(_) => match socket::take_error(fd.as_fd()) {
            Some(error) => Err(Failed::InTime(error)),
            None => Ok(fd),
        },
    }
}

impl Client {
    /// The handshake, to its end. On failure the peer gets the alert, if there is one.
    pub(super) fn shake_hands(&mut self, target: &Target, deadline: &mut Deadline) -> Result<()> {
        self.stream = Stream::Tls(Tls::new(target.ssl().map_err(|error| error.about(&self.label))?));
        let done = self.step_to_the_end(deadline).and_then(|()| self.learn(target));
        done.map_err(|error| {
            let _ = self.write_end();
            self.leave(&mut Deadline::after(Some(0)));
            Error::new(error.code(), format!("{}, {}", self.label, target.explain(&error)))
        })
    }

    /// Takes down what the handshake has settled, if that is acceptable.
    fn learn(&mut self, target: &Target) -> Result<()> {
        let Stream::Tls(tls) = &self.stream else { return Ok(()) };
        target.confirm(tls.ssl())?;
        self.facts.tls = Some(Arc::new(TlsFacts::of(tls.ssl())));
        Ok(())
    }

    /// Steps of the handshake, until it is done and the last of it has left.
    fn step_to_the_end(&mut self, deadline: &mut Deadline) -> Result<()> {
        loop {
            let step = self.stream.handshake(&mut Wire::new(&mut self.link, &mut self.bufs));
            let send_error = self.link.send_error();
            match (step, send_error) {
                // If the last of it did not leave, the first send or receive tells, and knows more by then.
                (Step::Done(()), Some(_)) => return Ok(()),
                (Step::Done(()), None) if self.link.is_flushed() => return Ok(()),
                (Step::Done(()), None) => self.wait_for_the_handshake(deadline, false)?,
                // What the server itself says counts before that it left.
                (Step::Failed(failure), _) => return Err(failure.error().clone()),
                (Step::WantRead | Step::WantWrite, _) if self.link.has_more() && !deadline.has_passed() => {}
                (_, Some(error)) => return Err(Error::new(Code::System, error.to_string())),
                (Step::WantRead | Step::WantWrite, None) => self.wait_for_the_handshake(deadline, true)?,
                (Step::End(_), None) => {
                    return Err(Error::new(Code::Truncated, "the server left before the handshake ended"));
                }
            }
        }
    }

    fn wait_for_the_handshake(&mut self, deadline: &mut Deadline, read: bool) -> Result<()> {
        match self.wait(deadline, read)? {
            true => Ok(()),
            false => Err(Error::new(Code::TimedOut, "the handshake was not done within its time")),
        }
    }
}
