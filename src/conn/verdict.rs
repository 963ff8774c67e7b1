//! How a connection ended, for whichever callback is its last.

use super::Conn;
use crate::error::Code;
use crate::host::Reason;
use crate::tls::stream::Failure;

/// How a connection ended: the first verdict stands (see the invariants of the parent module).
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// For `on_disconnect`.
    pub(crate) reason: Reason,
    /// For `on_handshake_failed`.
    pub(crate) code: Code,
    /// One sentence.
    pub(crate) why: String,
}

impl Verdict {
    /// Joins the three.
    pub(crate) fn new(reason: Reason, code: Code, why: impl Into<String>) -> Verdict {
        Verdict { reason, code, why: why.into() }
    }

    /// The server is stopping.
    pub(crate) fn stopped() -> Verdict {
        Verdict::new(Reason::Stopped, Code::Closed, "the server was stopped")
    }

    /// Whether it says that every byte of the host's is in the kernel's hands.
    pub(super) fn is_good(&self) -> bool {
        matches!(self.reason, Reason::Peer | Reason::Host)
    }

    pub(super) fn of(failure: &Failure) -> Verdict {
        let reason = match failure {
            Failure::Reset(_) => Reason::Reset,
            Failure::Protocol(_) => Reason::Protocol,
            Failure::System(_) => Reason::System,
        };
        let error = failure.error();
        Verdict::new(reason, error.code(), error.sentence())
    }
}

impl Conn {
    /// Turns it away on its way up, without a word to the host.
    pub(crate) fn refuse(&mut self) {
        self.is_refused = true;
        self.finish(Verdict::new(Reason::Aborted, Code::Closed, "refused"));
    }

    /// Bytes of the host's came too late to leave, those `n` or others that were taken over when it was over already: then it
    /// has not ended in good order.
    pub(crate) fn leave_behind(&mut self, n: usize) {
        let n = n + self.queue.len() + self.in_flight;
        if n > 0 && self.verdict().is_good() {
            let why = format!("the connection ended before the last {n} bytes could be sent");
            self.overrule(Verdict::new(Reason::Reset, Code::Closed, why));
        }
    }
}
