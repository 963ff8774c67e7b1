//! The steps of a client between two waits.

use super::deadline::Deadline;
use super::{Client, Inbound, Outbound};
use crate::error::{Code, Error, Result};
use crate::tls::stream::{End, Failure, Step, Stream};
use crate::tls::wire::Wire;

impl Client {
    /// Takes in what has arrived, as long as no more than `most` bytes wait for the host.
    pub(super) fn fill(&mut self, most: usize) {
        let mut wire = Wire::new(&mut self.link, &mut self.bufs);
        let mut failure = None;
        while matches!(self.inbound, Inbound::Open) && failure.is_none() {
            let Some(room) = self.kept.room(most) else { break };
            match self.stream.read(&mut wire, room) {
                Step::Done(n) => self.kept.push(n),
                Step::WantRead | Step::WantWrite => break,
                Step::End(end) => self.inbound = Inbound::Ended(end),
                Step::Failed(cause) => failure = Some(cause),
            }
            // Whole records were read, so nothing is inside OpenSSL when the wire has nothing.
            if wire.is_spent() {
                break;
            }
        }
        drop(wire);
        if let Some(failure) = failure {
            self.inbound = Inbound::Failed(self.named(&failure));
        }
        self.doubt_the_end();
    }

    /// A FIN that is found after a failed write may be what is left of a reset, because the failed write has taken the
    /// error with it. Only close_notify is then a clean end.
    fn doubt_the_end(&mut self) {
        let Some(error) = self.link.send_error() else { return };
        let is_certain = matches!((&self.stream, &self.inbound), (Stream::Tls(_), Inbound::Ended(End::Clean)));
        if matches!(self.inbound, Inbound::Ended(_)) && !is_certain {
            self.inbound = Inbound::Failed(self.lost(&error));
        }
    }

    /// Hands to the kernel what it takes of `rest`, and of what was left over before.
    pub(super) fn write(&mut self, rest: &mut &[u8]) -> Result<()> {
        let mut wire = Wire::new(&mut self.link, &mut self.bufs);
        wire.flush();
        let mut failure = None;
        while !rest.is_empty() && !wire.link().is_blocked() && wire.link().send_error().is_none() {
            if wire.is_full() {
                wire.flush();
                continue;
            }
            match self.stream.write(&mut wire, rest) {
                Step::Done(n) => *rest = &rest[n..],
                Step::WantRead | Step::WantWrite => break,
                Step::End(_) => {
                    failure = Some(cut_off());
                    break;
                }
                Step::Failed(cause) => {
                    failure = Some(cause);
                    break;
                }
            }
        }
        wire.flush();
        drop(wire);
        match (failure, self.link.send_error()) {
            (Some(failure), _) => Err(self.named(&failure)),
            (None, Some(error)) => Err(self.lost(&error)),
            (None, None) => Ok(()),
        }
    }

    /// Makes our end, if that can be now, and hands to the kernel what it takes of it; false: it is to be asked for again
    /// when something has come, or left. Whether the end has left shows at the link.
    pub(super) fn write_end(&mut self) -> Result<bool> {
        let step = self.stream.end(&mut Wire::new(&mut self.link, &mut self.bufs));
        match step {
            Step::Done(()) => Ok(true),
            Step::WantRead | Step::WantWrite => Ok(false),
            Step::End(_) => Err(self.named(&cut_off())),
            Step::Failed(cause) => Err(self.named(&cause)),
        }
    }

    /// Makes our end, and waits until that can be: OpenSSL makes none while half a message of the server's has come.
    /// Data that stands before it is kept, up to `most` bytes.
    pub(super) fn make_end(&mut self, deadline: &mut Deadline, most: usize) -> Result<()> {
        while !self.write_end()? {
            self.wait_to_write(deadline, most)?;
        }
        Ok(())
    }

    /// Waits until a write can go on. Meanwhile what arrives is taken in, up to `most` bytes: a peer that answers while
    /// it is being written to would otherwise wait for us as we wait for it.
    pub(super) fn wait_to_write(&mut self, deadline: &mut Deadline, most: usize) -> Result<()> {
        let can_take = matches!(self.inbound, Inbound::Open) && self.kept.room(most).is_some();
        let in_time = if can_take && self.link.has_news() {
            let is_late = deadline.has_passed();
            self.fill(most);
            // However much comes: the time passes, and there may be room for ours.
            self.wait(&mut Deadline::after(Some(0)), false)?;
            !is_late
        } else {
            self.wait(deadline, can_take)?
        };
        if !in_time {
            let ms = self.io_timeout.unwrap_or(0);
            let why = if self.link.is_blocked() {
                format!("{} did not take within {ms} ms what was sent", self.label)
            } else {
                format!("{} sent half a message of TLS, and within {ms} ms no more of it", self.label)
            };
            return Err(Error::new(Code::TimedOut, why));
        }
        match &self.inbound {
            Inbound::Failed(error) => Err(error.clone()),
            Inbound::Open | Inbound::Ended(_) => Ok(()),
        }
    }

    /// Waits until the socket can be written to, if something waits for that, or read from, if `read` and if what came
    /// could be used; false: the time is up.
    pub(super) fn wait(&mut self, deadline: &mut Deadline, read: bool) -> Result<bool> {
        let write = self.link.is_blocked() && !self.is_cut_off;
        let read = read && !self.link.is_choked();
        let ready = deadline.wait(self.link.fd(), read, write);
        let ready = ready.map_err(|error| Error::system(format!("{}: poll", self.label), &error))?;
        let Some(ready) = ready else { return Ok(false) };
        if ready.readable && read {
            self.link.readable();
        }
        if ready.writable && write {
            self.link.writable();
            Wire::new(&mut self.link, &mut self.bufs).flush();
        }
        Ok(true)
    }

    /// Our direction is of no use any more. What the server said before it left explains more than that it left, so it
    /// is read first.
    pub(super) fn send_failed(&mut self, error: Error) -> Error {
        if self.link.send_error().is_some() {
            self.link.readable();
            let most = self.kept.len() + super::KEPT;
            let deadline = Deadline::after(Some(super::GOODBYE));
            while matches!(self.inbound, Inbound::Open)
                && self.link.has_news()
                && self.kept.room(most).is_some()
                && !deadline.has_passed()
            {
                self.fill(most);
            }
        }
        let told = match &self.inbound {
            Inbound::Failed(said) if said.code() != Code::System => said.clone(),
            _ => error,
        };
        self.is_cut_off = told.code() == Code::TimedOut || !self.link.is_flushed();
        // What OpenSSL would still say cannot follow what is cut off, and would only hold up what is to be received.
        self.link.mute();
        self.outbound = Outbound::Failed(told.clone());
        told
    }

    /// The server's connection is gone.
    pub(super) fn lost(&self, error: &std::io::Error) -> Error {
        self.named(&Failure::socket(error))
    }

    /// A failure with the server it concerns.
    fn named(&self, failure: &Failure) -> Error {
        failure.error().about(&self.label)
    }
}

/// The server has ended within a message that ours would have to follow.
fn cut_off() -> Failure {
    Failure::Protocol(Error::new(Code::Tls, "the server ended in the middle of a message of TLS"))
}
