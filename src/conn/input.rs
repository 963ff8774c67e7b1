//! What arrives: handshake, data, and the peer's end.

use super::{Conn, Inbound, News, Outbound, Phase, Tools, Verdict};
use crate::cell::Cell;
use crate::contain;
use crate::error::{Code, Error};
use crate::host::Reason;
use crate::queue::Mark;
use crate::tls::stream::{End, Failure, Step};
use crate::tls::wire::Wire;

/// Room for one record's plaintext (RFC 8446, 5.1): OpenSSL then keeps nothing back.
const RECORD: usize = 16 * 1024;

/// How many records one visit opens. They may be of one byte each, so that the share of bytes alone would let others wait for
/// thousands.
const RECORDS: usize = 128;

/// How the peer's direction ended.
pub(super) enum Fate {
    /// In one of the two ways of a FIN.
    End(End),
    /// By force.
    Failed(Failure),
}

impl Fate {
    /// Whether the host is told even while it has paused.
    pub(super) fn cannot_wait(&self) -> bool {
        matches!(self, Fate::Failed(_))
    }
}

impl Conn {
    /// One step with what has arrived. Until it answers [`News::Nothing`] there may be more to tell.
    pub(crate) fn read(&mut self, tools: &mut Tools<'_>) -> News {
        contain::fault("conn: read");
        match self.phase {
            Phase::Opening => self.open(tools),
            Phase::Open => self.receive(tools),
            Phase::Closing => self.discard(tools),
            Phase::Over => News::Nothing,
        }
    }

    fn receive(&mut self, tools: &mut Tools<'_>) -> News {
        match &self.inbound {
            // A pause holds no reset back, however it became known.
            Inbound::Open if self.paused => {
                if let Some(error) = self.link.recv_error() {
                    self.fail(&Failure::socket(&error));
                }
                News::Nothing
            }
            // OpenSSL holds no plaintext back (see `gather`), so without news from the socket there is none.
            Inbound::Open if !self.link.has_news() => News::Nothing,
            Inbound::Open => self.gather(tools),
            Inbound::Pending(fate) if self.paused && !fate.cannot_wait() => News::Nothing,
            Inbound::Pending(_) => self.tell(tools),
            Inbound::Ended(_) | Inbound::Noise => News::Nothing,
        }
    }

    /// Decrypts what one visit may, and keeps back for the next step what stands behind it.
    fn gather(&mut self, tools: &mut Tools<'_>) -> News {
        contain::fault("conn: gather");
        let mut filled = 0;
        let mut wire = Wire::new(&mut self.link, tools.bufs);
        for _ in 0..RECORDS {
            if tools.plain.len() - filled < RECORD {
                break;
            }
            match self.stream.read(&mut wire, &mut tools.plain[filled..]) {
                Step::Done(n) => filled += n,
                Step::WantRead | Step::WantWrite => break,
                Step::End(end) => self.inbound = Inbound::Pending(Box::new(Fate::End(end))),
                Step::Failed(failure) => self.inbound = Inbound::Pending(Box::new(Fate::Failed(failure))),
            }
            // A whole record was read each time, so nothing is inside OpenSSL when the wire has nothing.
            if wire.is_spent() || wire.is_barren() || !matches!(self.inbound, Inbound::Open) {
                break;
            }
        }
        if wire.link().is_choked() {
            self.choked_at = tools.now;
        }
        if wire.received {
            self.moved_in = tools.now;
        }
        if matches!(&self.inbound, Inbound::Pending(fate) if fate.cannot_wait()) {
            // An alert about the failure is the last that leaves.
            drop(wire);
        } else {
            // What OpenSSL has to say meanwhile leaves with the host's answer, or with our end.
            wire.hold();
        }
        if filled > 0 {
            self.warmth.note_record();
            Cell::add(&self.cell.bytes_in, filled);
            tools.counters.bytes_in.add(filled as u64);
            return News::Data(filled);
        }
        self.tell(tools)
    }

    /// Acts on the peer's end, if it has come.
    fn tell(&mut self, tools: &mut Tools<'_>) -> News {
        contain::fault("conn: tell");
        let Inbound::Pending(fate) = std::mem::replace(&mut self.inbound, Inbound::Open) else {
            return News::Nothing;
        };
        self.inbound = Inbound::Ended(matches!(*fate, Fate::End(End::Clean)));
        match *fate {
            Fate::Failed(failure) => self.fail(&failure),
            Fate::End(End::Clean) if self.lost => self.fail_write(),
            Fate::End(End::Truncated) if self.link.send_error().is_some() => self.fail_write(),
            Fate::End(End::Clean) if tools.limits.wants_end => return News::PeerEnded,
            Fate::End(End::Clean) => self.close(self.close_verdict_at_end(), tools.now),
            Fate::End(End::Truncated) => {
                let why = "the peer ended without close_notify: the data may be cut off";
                self.close(Verdict::new(Reason::Truncated, Code::Truncated, why), tools.now);
            }
        }
        News::Nothing
    }

    /// Whose end it is when the peer's close_notify comes: the host's, if it ended its direction before. That it cannot be
    /// written to any more is no end of the host's.
    pub(super) fn close_verdict_at_end(&self) -> Verdict {
        if self.outbound == Outbound::Open || self.link.send_error().is_some() {
            Verdict::new(Reason::Peer, Code::Closed, "the peer ended the connection")
        } else {
            Verdict::new(Reason::Host, Code::Closed, "the host ended the connection, then the peer")
        }
    }

    /// Reads and drops, until the peer's end or for ever: the close timeout bounds it.
    fn discard(&mut self, tools: &mut Tools<'_>) -> News {
        contain::fault("conn: discard");
        if let Inbound::Noise = self.inbound {
            self.link.drop_input(tools.bufs);
            if self.link.has_ended() {
                self.inbound = Inbound::Ended(true);
            }
            return News::Nothing;
        }
        let mut wire = Wire::new(&mut self.link, tools.bufs);
        let mut ended = false;
        for _ in 0..RECORDS {
            match self.stream.read(&mut wire, tools.plain) {
                Step::Done(_) if wire.is_spent() || wire.is_barren() => break,
                Step::Done(_) => continue,
                Step::WantRead | Step::WantWrite => {}
                Step::End(_) | Step::Failed(Failure::Reset(_) | Failure::System(_)) => ended = true,
                // What is no longer TLS is dropped as it comes.
                Step::Failed(Failure::Protocol(_)) => {}
            }
            break;
        }
        drop(wire);
        if ended {
            self.inbound = Inbound::Ended(false);
        }
        if self.link.recv_error().is_some() && self.outbound != Outbound::Ended {
            self.fail_write();
        }
        News::Nothing
    }

    /// Ends it by force.
    pub(super) fn fail(&mut self, failure: &Failure) {
        self.cell.gauge.seal(Mark::Closed);
        self.finish(Verdict::of(failure));
    }

    /// Ends it because what the host sent did not leave.
    pub(super) fn fail_write(&mut self) {
        let why = match self.link.send_error().or_else(|| self.link.recv_error()) {
            Some(error) => format!("the peer is gone: {error}"),
            None => "the peer is gone".to_owned(),
        };
        if !matches!(self.verdict.as_deref(), Some(Verdict { reason: Reason::Stopped, .. })) {
            self.verdict = None;
        }
        self.fail(&Failure::Reset(Error::new(Code::System, why)));
    }
}
