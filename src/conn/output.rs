//! What leaves: the queue, then our end.

use super::{Conn, Inbound, News, Outbound, Phase, Tools};
use crate::cell::Cell;
use crate::contain;
use crate::error::{Code, Error, Result};
use crate::queue::{Mark, Refusal};
use crate::sys::socket;
use crate::tls::stream::{Failure, Step, Stream};
use crate::tls::wire::Wire;

impl Conn {
    /// Queues bytes for the peer, all or none. For the connection's own worker.
    pub(crate) fn send(&mut self, parts: &[&[u8]], tools: &mut Tools<'_>) -> Result<()> {
        contain::fault("conn: send");
        let len = parts.iter().map(|part| part.len()).sum();
        self.cell.gauge.accept(len, tools.limits.high_water, false).map_err(refused)?;
        if len > 0 {
            self.begin_progress(tools.now);
        }
        if let Err(error) = self.queue.push(parts, tools.pool) {
            self.cell.gauge.take_back(len);
            return Err(Error::new(Code::NoMemory, format!("the send queue: {error}")));
        }
        tools.counters.queued.add(len as u64);
        Ok(())
    }

    /// Takes over bytes that another thread has left; they are counted already.
    pub(crate) fn append(&mut self, bytes: Vec<u8>, tools: &Tools<'_>) {
        contain::fault("conn: append");
        self.begin_progress(tools.now);
        tools.counters.queued.add(bytes.len() as u64);
        self.queue.append(bytes);
    }

    /// The send timeout counts from when there is something to send.
    fn begin_progress(&mut self, now: u64) {
        if self.queue.is_empty() && self.in_flight == 0 {
            self.moved_out = now;
        }
    }

    /// Whether bytes of the host's have yet to reach the kernel.
    pub(super) fn has_unsent(&self) -> bool {
        !self.queue.is_empty() || self.in_flight > 0
    }

    /// Hands to the kernel what it takes, and does what is due behind it.
    pub(crate) fn flush(&mut self, tools: &mut Tools<'_>) -> News {
        contain::fault("conn: flush");
        match self.phase {
            Phase::Opening => return self.flush_opening(tools),
            Phase::Over => return News::Nothing,
            Phase::Open | Phase::Closing => {}
        }
        let failure = self.write_queue(tools);
        let drained = self.release(tools);
        if let Some(failure) = failure {
            self.fail(&failure);
            return News::Nothing;
        }
        if self.link.send_error().is_some() {
            self.write_failed(tools);
            return News::Nothing;
        }
        if self.has_unsent() {
            self.queue.settle(tools.pool);
        } else if self.link.is_flushed() {
            self.end_outbound(tools);
        }
        if drained { News::Drained } else { News::Nothing }
    }

    /// On the way up only the handshake's own bytes leave, and plain text that was accepted before TLS was started.
    fn flush_opening(&mut self, tools: &mut Tools<'_>) -> News {
        if self.has_plain_left() {
            self.write_queue(tools);
            // The handshake's time begins when the plain text has left.
            self.born = tools.now;
            if !self.has_plain_left() && self.link.has_rest() {
                // What the handshake begins with has come already, and no event tells of it again.
                self.link.readable();
            }
        } else if !self.link.is_flushed() {
            Wire::new(&mut self.link, tools.bufs).flush();
        }
        let drained = self.release(tools);
        if self.is_announced && self.verdict.is_some() {
            self.close_before_tls();
        }
        if self.link.send_error().is_some() && self.is_announced {
            self.lost = self.has_unsent();
            self.fail_write();
            return News::Nothing;
        }
        if self.link.send_error().is_some() {
            // The next step says so, unless it reads why the peer has left.
            self.link.readable();
        }
        if drained { News::Drained } else { News::Nothing }
    }

    /// Encrypts and sends until the queue is empty or the kernel takes no more.
    fn write_queue(&mut self, tools: &mut Tools<'_>) -> Option<Failure> {
        contain::fault("conn: write_queue");
        if self.queue.is_empty() && self.link.is_flushed() {
            return None;
        }
        let opening = self.phase == Phase::Opening;
        let mut wire = Wire::new(&mut self.link, tools.bufs);
        let mut taken = 0;
        let mut failure = None;
        while !wire.link().is_blocked() && wire.link().send_error().is_none() {
            let front = self.queue.front();
            let front = if opening { &front[..front.len().min(self.plain_left)] } else { front };
            if wire.is_flushed() {
                // However much is still queued: this has left.
                self.delivered += std::mem::take(&mut self.in_flight);
            }
            if front.is_empty() {
                break;
            }
            if wire.is_full() {
                taken += wire.flush();
                continue;
            }
            match taken_by(self.stream.write(&mut wire, front)) {
                Ok(n) => {
                    self.queue.consume(n, tools.pool);
                    self.in_flight += n;
                    self.plain_left = self.plain_left.saturating_sub(n);
                }
                Err(cause) => {
                    failure = cause;
                    break;
                }
            }
        }
        let is_last = self.outbound == Outbound::Ending && self.queue.is_empty() && !self.cell.gauge.has_left();
        if is_last && failure.is_none() && self.stream.ends_in_band() {
            // The end leaves together with the last bytes. One that is not made by this is asked for again behind them.
            let step = self.stream.end(&mut wire);
            failure = step.failure().filter(|_| self.phase == Phase::Open);
        }
        taken += wire.flush();
        if taken > 0 {
            self.moved_out = tools.now;
            self.warmth.note_record();
        }
        failure
    }

    /// Counts as sent what the kernel has taken; true if the host is to be told.
    fn release(&mut self, tools: &Tools<'_>) -> bool {
        contain::fault("conn: release");
        if self.link.is_flushed() && self.link.send_error().is_none() {
            self.delivered += std::mem::take(&mut self.in_flight);
        }
        let n = std::mem::take(&mut self.delivered);
        if n == 0 && !self.cell.gauge.is_full() {
            return false;
        }
        Cell::add(&self.cell.bytes_out, n);
        tools.counters.bytes_out.add(n as u64);
        tools.counters.unqueued.add(n as u64);
        self.cell.gauge.release(n, tools.limits.low_water)
    }

    /// Everything queued has left: now our end, if it is asked for.
    fn end_outbound(&mut self, tools: &mut Tools<'_>) {
        contain::fault("conn: end_outbound");
        if self.outbound == Outbound::Ending {
            if self.cell.gauge.has_left() {
                // Sent by another thread before the seal, so it leaves before the end. The note about it is on its way.
                return;
            }
            let step = self.stream.end(&mut Wire::new(&mut self.link, tools.bufs));
            if self.link.send_error().is_some() {
                return self.write_failed(tools);
            }
            match step {
                // The next visit that has read something, or sent, tries again. The close timeout bounds the wait.
                Step::WantRead | Step::WantWrite => return,
                Step::Failed(failure) if self.phase == Phase::Open => return self.fail(&failure),
                Step::Failed(Failure::Reset(_)) => return self.fail_write(),
                // There is no end to be made any more; and while closing, what is no longer TLS is dropped as it comes.
                Step::Done(()) | Step::End(_) | Step::Failed(Failure::Protocol(_) | Failure::System(_)) => {}
            }
            if !self.link.is_flushed() {
                return;
            }
            self.outbound = Outbound::Ended;
            self.link.mute();
            self.moved_out = tools.now;
        }
        if self.outbound != Outbound::Ended {
            return;
        }
        if let Inbound::Ended(_) = self.inbound {
            let verdict = self.close_verdict_at_end();
            if !self.is_talked_at(tools) {
                // The close itself tells the peer.
                return self.finish(verdict);
            }
            self.inbound = Inbound::Noise;
            self.close(verdict, tools.now);
        }
        if self.phase == Phase::Closing && !self.fin_sent {
            self.fin_sent = true;
            if let Stream::Tls(_) = self.stream {
                let _ = socket::shutdown_write(self.link.fd());
            }
        }
    }

    /// Whether the peer has gone on sending behind its end, and may go on.
    fn is_talked_at(&mut self, tools: &mut Tools<'_>) -> bool {
        let may_be = self.link.has_rest() || self.link.has_unread();
        may_be && self.link.drop_input(tools.bufs) && !self.link.has_ended()
    }

    /// The peer can no longer be written to. What it sent before it left is still delivered, unless the host waits.
    fn write_failed(&mut self, tools: &mut Tools<'_>) {
        let is_news = self.outbound != Outbound::Ended;
        self.lost |= self.has_unsent();
        self.cell.gauge.seal(Mark::Ended);
        let queued = self.queue.len() + std::mem::take(&mut self.in_flight);
        self.queue.clear(tools.pool);
        self.cell.gauge.release(queued, 0);
        tools.counters.unqueued.add(queued as u64);
        self.outbound = Outbound::Ended;
        match self.phase {
            Phase::Closing if self.lost => self.fail_write(),
            Phase::Closing => self.phase = Phase::Over,
            Phase::Open if self.paused || matches!(self.inbound, Inbound::Ended(_)) => self.fail_write(),
            Phase::Open if is_news => self.link.readable(),
            // All that had come was read, and the peer may never say that it is gone.
            Phase::Open if !self.link.has_news() => self.fail_write(),
            Phase::Open => {}
            Phase::Opening | Phase::Over => {}
        }
    }
}

/// How many bytes a write took; or that it has to wait, or why it never will take any.
fn taken_by(write: Step<usize>) -> std::result::Result<usize, Option<Failure>> {
    match write {
        Step::Done(n) => Ok(n),
        // One that wants to read goes on when something has been read.
        Step::WantRead | Step::WantWrite => Err(None),
        Step::End(_) => {
            let why = "the peer left in the middle of a message of TLS, so nothing more could be sent to it";
            Err(Some(Failure::Reset(Error::new(Code::Truncated, why))))
        }
        Step::Failed(cause) => Err(Some(cause)),
    }
}

/// Why a send was refused, for the host.
pub(crate) fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Full => Error::new(Code::Full, "the send queue is full; on_drain will follow"),
        Refusal::Sealed => Error::closed(),
    }
}
