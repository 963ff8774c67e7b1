//! The last look at a connection that has ended.

use super::{Conn, Inbound, Tools};
use crate::contain;
use crate::sys::socket;

impl Conn {
    /// Lets go of everything that is lent, and does what a last look at the socket asks for: a reset, or our end with
    /// nothing left unread, so that the kernel does not turn the close into a reset that would destroy an alert.
    pub(crate) fn bury(&mut self, tools: &mut Tools<'_>) {
        let queued = self.queue.len() + self.in_flight;
        self.cell.gauge.release(queued, 0);
        tools.counters.unqueued.add(queued as u64);
        self.queue.clear(tools.pool);
        contain::fault("conn: bury");
        // A peer that has ended its direction sends nothing more: if that was all, the close itself tells it of our end.
        let peer_has_ended = matches!(self.inbound, Inbound::Ended(true));
        let is_all_read = self.link.has_ended() || (peer_has_ended && self.link.is_drained());
        if self.wants_reset {
            socket::reset(self.link.fd());
        } else if !self.fin_sent && !is_all_read {
            let _ = socket::shutdown_write(self.link.fd());
            self.link.drop_input(tools.bufs);
        }
    }
}
