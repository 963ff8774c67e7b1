//! The last look at a connection that has ended.

use super::{Conn, Inbound, Tools};
use crate::contain;
use crate::sys::{fork, socket};
use crate::tls::stream::Stream;

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
        // While a forked child holds a copy of the socket, it tells nothing.
        let close_tells = is_all_read && !fork::has_forked();
        // In plain text our end would say that this was all. Who was never up has been told nothing yet.
        let is_cut_off = queued > 0 && self.is_announced && matches!(self.stream, Stream::Plain);
        if self.wants_reset || is_cut_off {
            socket::reset(self.link.fd());
        } else if !self.fin_sent && !close_tells {
            let _ = socket::shutdown_write(self.link.fd());
            self.link.drop_input(tools.bufs);
        }
    }
}
