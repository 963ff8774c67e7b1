//! What the kernel tells a connection, and what it is asked to tell.
//!
//! Invariant: who is told until all is read reads at once when told. Whoever cannot is told once per change, and then has
//! to read until there is no more, because nobody says again that there is.

use super::{Conn, Inbound, Phase, Tools};
use crate::contain;
use crate::sys::epoll::{Interest, Ready};
use crate::sys::socket;
use crate::tls::stream::Failure;

impl Conn {
    /// Notes what the kernel said. An error that no read would find is looked at here. What comes for one on its way up is
    /// fetched, since its turn may come late and the kernel would go on telling.
    pub(crate) fn note(&mut self, ready: Ready, tools: &mut Tools<'_>) {
        contain::fault("conn: note");
        let Ready { readable, writable, failed, has_messages, .. } = ready;
        if readable {
            self.link.readable();
            if self.is_opening() && self.awaits_bytes() && self.interest == Interest::Level {
                self.link.fetch(tools.bufs);
            }
            // On the way up there is nothing for the host, so a pause holds nothing back; nor the rest of a message of TLS.
            self.unwanted |= self.paused && self.phase == Phase::Open && !self.stream.is_in_message();
        }
        if writable {
            self.link.writable();
        }
        if has_messages {
            socket::drop_messages(self.link.fd());
        }
        let is_read = !self.paused && !matches!(self.inbound, Inbound::Ended(_));
        if failed
            && !is_read
            && !self.is_opening()
            && let Some(error) = socket::take_error(self.link.fd())
        {
            self.link.fail(&error);
            self.fail(&Failure::socket(&error));
        }
    }

    /// What it is registered for, or is to be first.
    pub(crate) fn interest(&self) -> Interest {
        self.interest
    }

    /// What it is to be registered for. Who has read all that it was told of is told until it has read, which saves asking
    /// for the end of it; nobody else, who would be told without end. Interest in writability, once needed, stays: it
    /// costs nothing while the kernel takes everything and tells only of changes, and each change here costs a call.
    pub(crate) fn wanted_interest(&self) -> Interest {
        let had = matches!(self.interest, Interest::Edge { write: true, .. });
        let write = had || self.link.is_blocked();
        let read = !(self.unwanted && self.phase == Phase::Open);
        if read && !write && self.link.is_drained() && !self.link.has_ended() {
            Interest::Level
        } else {
            Interest::Edge { read, write }
        }
    }

    /// It is registered for this now.
    pub(crate) fn set_interest(&mut self, interest: Interest) {
        self.interest = interest;
        self.link.set_reminded(interest == Interest::Level);
    }
}
