//! The deadlines of one connection. All are derived from when it began and when bytes last moved, so nothing has to be
//! set or cancelled.

use super::{Conn, Outbound, Phase, Tools, Verdict};
use crate::conn::Limits;
use crate::contain;
use crate::error::Code;
use crate::host::Reason;
use crate::sys::poll::poll;
use crate::tls::wire::Wire;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Post,
    Address,
    Handshake,
    Idle,
    Send,
    Close,
}

impl Due {
    /// Whether bytes that move put it off.
    fn is_for_want_of_bytes(self) -> bool {
        matches!(self, Due::Idle | Due::Send | Due::Close)
    }
}

impl Conn {
    /// When the connection has to be looked at again, if nothing happens before.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<u64> {
        contain::fault("conn: deadline");
        self.next_due(limits).map(|(when, _)| when)
    }

    /// Acts on deadlines that have passed. Posted functions are left to the worker.
    pub(crate) fn expire(&mut self, tools: &mut Tools<'_>) {
        contain::fault("conn: expire");
        let Some((when, due)) = self.next_due(tools.limits) else { return };
        if when > tools.now || (due.is_for_want_of_bytes() && self.takes_last_look(when, tools)) {
            return;
        }
        match due {
            Due::Post => {}
            Due::Address => self.give_up_address(),
            Due::Handshake => {
                let why = self.unfinished();
                self.overrule(Verdict::new(Reason::IdleTimeout, Code::TimedOut, why));
            }
            Due::Idle => {
                // Good manners, as far as the kernel takes it at once.
                let _ = self.stream.end(&mut Wire::new(&mut self.link, tools.bufs));
                self.finish(Verdict::new(Reason::IdleTimeout, Code::TimedOut, "nothing moved for the idle timeout"));
            }
            Due::Send => self.give_up_sending(),
            Due::Close if self.has_unsent() => self.give_up_sending(),
            Due::Close => {
                let verdict = self.close_verdict();
                self.finish(verdict);
            }
        }
    }

    /// Before bytes are called missing, the kernel is asked for them, once for each deadline: after a callback that took its
    /// time, or a process that was held, they may stand there. True if something has moved.
    fn takes_last_look(&mut self, when: u64, tools: &mut Tools<'_>) -> bool {
        if std::mem::replace(&mut self.looked_at, when) == when {
            return false;
        }
        let has_news = matches!(poll(self.link.fd(), true, false, Some(0)), Ok(Some(_)));
        if has_news {
            self.link.readable();
        }
        let has_left = self.link.is_blocked() && self.retries(tools);
        has_news || has_left
    }

    /// Offers to the kernel what it had no room for. It tells of room only when much of its buffer is free (tcp(7)), and takes
    /// less than that. True if it took something, or never will.
    fn retries(&mut self, tools: &mut Tools<'_>) -> bool {
        let was_choked = self.link.is_choked();
        self.link.writable();
        let mut wire = Wire::new(&mut self.link, tools.bufs);
        let taken = wire.flush();
        if taken == 0 && was_choked {
            wire.choke();
        }
        drop(wire);
        if taken > 0 {
            self.moved_out = tools.now;
        }
        taken > 0 || self.link.send_error().is_some()
    }

    fn give_up_sending(&mut self) {
        let stopped = matches!(self.verdict.as_deref(), Some(Verdict { reason: Reason::Stopped, .. }));
        let why = if self.stream.is_in_message() && !self.link.is_blocked() {
            "the peer sent half a message of TLS, and within the time no more of it"
        } else {
            "the peer did not read what was sent to it within the time"
        };
        let reason = if stopped { Reason::Stopped } else { Reason::SendTimeout };
        self.abort(Verdict::new(reason, Code::TimedOut, why));
    }

    fn next_due(&self, limits: &Limits) -> Option<(u64, Due)> {
        let moved = self.moved_in.max(self.moved_out);
        let post = self.posts.iter().map(|(when, _)| *when).min();
        let own: [Option<(u64, Due)>; 3] = match self.phase {
            Phase::Opening => [
                // Until plain text that was sent before TLS has left, it is a send like any other.
                if self.has_plain_left() {
                    after(self.moved_out, limits.send_timeout, Due::Send)
                } else {
                    after(self.born, self.way.timeout, Due::Handshake)
                },
                // The host has ended it while TLS was on its way up.
                if self.is_announced && (self.verdict.is_some() || self.outbound != Outbound::Open) {
                    after(self.moved_out, limits.close_timeout, Due::Close)
                } else {
                    None
                },
                self.dial_deadline().map(|when| (when, Due::Address)),
            ],
            Phase::Open => [
                after(moved.max(self.idle_since), self.idle_timeout, Due::Idle),
                // What OpenSSL itself answers is a send, too, once it is all that reading waits for.
                if self.link.is_choked() {
                    after(self.choked_at, limits.send_timeout, Due::Send)
                } else if self.has_unsent() {
                    after(self.moved_out, limits.send_timeout, Due::Send)
                } else {
                    None
                },
                match self.outbound {
                    Outbound::Open => None,
                    Outbound::Ending => after(self.moved_out, limits.close_timeout, Due::Close),
                    // The host still receives: each arrival begins the wait for the peer's end anew.
                    Outbound::Ended => after(moved, limits.close_timeout, Due::Close),
                },
            ],
            Phase::Closing => [after(self.moved_out, limits.close_timeout, Due::Close), None, None],
            Phase::Over => [None; 3],
        };
        let post = post.filter(|_| self.phase != Phase::Over).map(|when| (when, Due::Post));
        own.into_iter().chain([post]).flatten().min()
    }
}

fn after(since: u64, timeout: Option<u64>, due: Due) -> Option<(u64, Due)> {
    timeout.map(|timeout| (since.saturating_add(timeout), due))
}
