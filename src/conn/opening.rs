//! The way up: a PROXY header, a look at what the peer speaks, the handshake. Also the way from plain text to TLS later.

use super::dial::Dial;
use super::{Conn, News, Outbound, Phase, Tools, Verdict};
use crate::address::Address;
use crate::contain;
use crate::error::{Code, Error};
use crate::host::Reason;
use crate::info::{Facts, TlsFacts};
use crate::proxy::{Progress, Reader};
use crate::queue::Mark;
use crate::tls::stream::{Failure, Step, Stream, Tls};
use crate::tls::wire::Wire;

/// What a connection that is not up waits for.
pub(crate) enum Opening {
    /// An address that answers, to go out to.
    Dialing(Box<Dial>),
    /// A PROXY header; what comes behind it is the rest.
    Introduction(Box<(Reader, Opening)>),
    /// Nothing: it carries plain text from the start.
    Plain,
    /// The first bytes, which tell TLS from plain text.
    Detection,
    /// The first record of a handshake: until it is whole, no memory is spent on TLS, and the policy may still change.
    Hello,
    /// The end of the handshake.
    Handshake,
}

/// The beginning of each TLS connection: a handshake record of version 3.x (RFC 8446, 5.1).
const RECORD_START: [u8; 2] = [22, 3];
/// The highest minor version that passes for TLS, "16 03 0x": it is for OpenSSL to refuse those that never were.
const HIGHEST_MINOR: u8 = 15;

/// The header of a record.
const HEADER: usize = 5;
/// The longest record in the clear (RFC 8446, 5.1).
const LONGEST: usize = 1 << 14;

/// The longest ClientHello that is read. It may offer a ticket, and that hold a certificate. OpenSSL would take up to 130 KB,
/// and makes room for what is claimed before it has come.
const LONGEST_HELLO: usize = 48 * 1024;

/// How many bytes have to be there before OpenSSL is asked what it makes of them: all of the first record, if it is one of a
/// handshake, and the length of the message. A peer that sends it slowly then holds those bytes, and not the 70 KB that OpenSSL
/// would take to wait for them. What is nothing of the kind is for OpenSSL to refuse.
fn enough(first: &[u8]) -> usize {
    match first {
        [22, _, _, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length <= LONGEST { (HEADER + length).max(claim(first).unwrap_or_else(|need| need)) } else { HEADER }
        }
        [22, ..] => HEADER,
        _ => 1,
    }
}

/// What a ClientHello says of its own length (RFC 8446, 4), which may stand in several records; 0 if it is none. The error is
/// how many bytes that takes.
fn claim(first: &[u8]) -> std::result::Result<usize, usize> {
    let (mut at, mut message, mut known) = (0, [0; 4], 0);
    while known < message.len() {
        let header = first.get(at..at + HEADER).ok_or(at + HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if header[0] != 22 || length == 0 {
            return Ok(0);
        }
        let part = length.min(message.len() - known);
        let wanted = at + HEADER + part;
        message[known..known + part].copy_from_slice(first.get(at + HEADER..wanted).ok_or(wanted)?);
        known += part;
        at += HEADER + length;
    }
    let [kind, length @ ..] = message;
    let is_hello = kind == 1;
    Ok(if is_hello { length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)) } else { 0 })
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Tls,
    Plain,
    Unclear,
}

/// The answer is the same however the bytes are cut: it depends on the first three alone.
fn detect(first: &[u8]) -> Spoken {
    let known = first.len().min(RECORD_START.len());
    match first {
        _ if first[..known] != RECORD_START[..known] => Spoken::Plain,
        [_, _, minor, ..] if *minor <= HIGHEST_MINOR => Spoken::Tls,
        [_, _, _, ..] => Spoken::Plain,
        _ => Spoken::Unclear,
    }
}

impl Conn {
    /// One step on the way up.
    pub(super) fn open(&mut self, tools: &mut Tools<'_>) -> News {
        match &self.opening {
            Opening::Dialing(_) => self.dial(tools),
            Opening::Introduction(..) => self.read_introduction(tools),
            Opening::Plain => self.connected(tools),
            Opening::Detection => self.look(tools),
            Opening::Hello if self.goes_out() => self.greet(),
            Opening::Hello => self.await_hello(tools),
            Opening::Handshake => self.shake_hands(tools),
        }
    }

    /// Whether another step would find something without a new event.
    pub(super) fn can_open(&self) -> bool {
        match &self.opening {
            Opening::Dialing(dial) => self.can_dial(dial),
            Opening::Plain => true,
            Opening::Hello if self.goes_out() => !self.has_plain_left(),
            // What was looked at stays where it is, so only the kernel can have news; its last may have come with what stood
            // before.
            Opening::Detection | Opening::Hello => {
                !self.has_plain_left() && (self.link.has_unread() || self.link.has_ended())
            }
            Opening::Introduction(..) | Opening::Handshake => self.link.has_more(),
        }
    }

    /// Whether its next step needs bytes of the peer's. Before a host has plain text in its hands, it may still decide that
    /// what comes is TLS: nothing is read for it.
    pub(super) fn awaits_bytes(&self) -> bool {
        match &self.opening {
            Opening::Dialing(_) | Opening::Plain => false,
            Opening::Introduction(_) | Opening::Detection | Opening::Hello | Opening::Handshake => true,
        }
    }

    fn read_introduction(&mut self, tools: &mut Tools<'_>) -> News {
        let Opening::Introduction(introduction) = &mut self.opening else { return News::Nothing };
        let mut wire = Wire::new(&mut self.link, tools.bufs);
        let progress = loop {
            let Some(bytes) = wire.peek(1) else { break Progress::NeedMore };
            let (used, progress) = introduction.0.feed(bytes);
            wire.consume(used);
            if !matches!(progress, Progress::NeedMore) {
                break progress;
            }
        };
        drop(wire);
        match progress {
            Progress::NeedMore => self.starve("before its PROXY header was complete"),
            Progress::Refused(why) => {
                tools.counters.refused_proxy.add(1);
                self.finish(Verdict::new(Reason::Protocol, Code::Tls, format!("PROXY header: {why}")));
            }
            Progress::Done(client) => {
                self.introduced(client.map(|ends| ends.source));
                return News::Introduced;
            }
        }
        News::Nothing
    }

    /// The header named the client, or said that the real peer counts.
    fn introduced(&mut self, client: Option<Address>) {
        let opening = std::mem::replace(&mut self.opening, Opening::Plain);
        if let Opening::Introduction(introduction) = opening {
            self.opening = introduction.1;
        }
        if let Some(client) = client {
            self.learn(|facts| facts.balancer = Some(Box::new(std::mem::replace(&mut facts.peer, client))));
        }
    }

    /// Looks at the first bytes, three of which decide, and leaves them where they are.
    fn look(&mut self, tools: &mut Tools<'_>) -> News {
        let mut wire = Wire::new(&mut self.link, tools.bufs);
        wire.peek(RECORD_START.len() + 1);
        let spoken = wire.unused().map(detect);
        drop(wire);
        match spoken {
            Some(Spoken::Tls) => {
                self.opening = Opening::Hello;
                return self.await_hello(tools);
            }
            // The peer's end stands behind bytes that no TLS begins with alone.
            Some(Spoken::Unclear) if !self.link.has_ended() => {}
            Some(Spoken::Plain | Spoken::Unclear) => return self.connected(tools),
            None => self.starve("before it had said anything"),
        }
        News::Nothing
    }

    /// Waits until the first record has come, or all that ever will, and leaves it where it is.
    fn await_hello(&mut self, tools: &mut Tools<'_>) -> News {
        contain::fault("conn: await_hello");
        if self.has_plain_left() {
            return News::Nothing;
        }
        let mut wire = Wire::new(&mut self.link, tools.bufs);
        let mut wanted = 1;
        let is_whole = loop {
            match wire.peek(wanted).map(enough) {
                Some(more) if more > wanted => wanted = more,
                whole => break whole.is_some(),
            }
        };
        let claimed = wire.unused().and_then(|first| claim(first).ok()).unwrap_or(0);
        let is_silent = wire.is_empty();
        drop(wire);
        if claimed > LONGEST_HELLO {
            let why = format!("the ClientHello is to have {claimed} bytes, and no more than {LONGEST_HELLO} are read");
            self.fail(&Failure::Protocol(Error::new(Code::Tls, why)));
            return News::Nothing;
        }
        if is_whole || (!is_silent && self.link.has_ended()) {
            return News::Hello;
        }
        if is_silent {
            self.starve("before it had said anything");
        }
        News::Nothing
    }

    /// Plain text that was accepted before TLS leaves first.
    pub(super) fn has_plain_left(&self) -> bool {
        matches!(self.stream, Stream::Plain) && (self.plain_left > 0 || !self.link.is_flushed())
    }

    /// This end speaks first.
    fn greet(&self) -> News {
        if self.has_plain_left() { News::Nothing } else { News::Hello }
    }

    /// Nothing came: unless the peer is gone, the deadline decides.
    fn starve(&mut self, when: &str) {
        if let Some(error) = self.link.recv_error() {
            self.fail(&Failure::socket(&error));
        } else if self.link.at_eof() {
            self.finish(Verdict::new(Reason::Truncated, Code::Truncated, format!("the peer left {when}")));
        }
    }

    /// The means for the handshake whose first byte has come.
    pub(crate) fn secure(&mut self, tls: Tls) {
        self.stream = Stream::Tls(tls);
        self.opening = Opening::Handshake;
    }

    fn shake_hands(&mut self, tools: &mut Tools<'_>) -> News {
        contain::fault("conn: shake_hands");
        let mut wire = Wire::new(&mut self.link, tools.bufs);
        let step = self.stream.handshake(&mut wire);
        if matches!(step, Step::Done(())) {
            // A ticket leaves with the first answer, if there is one at once.
            wire.hold();
        } else {
            drop(wire);
        }
        match (step, self.link.send_error()) {
            // If the peer said why it left, that counts; else that it cannot be written to.
            (Step::Failed(failure), _) => self.fail(&self.explained(failure)),
            (_, Some(error)) => self.fail(&Failure::socket(&error)),
            (Step::Done(()), None) => return self.connected(tools),
            (Step::WantRead | Step::WantWrite, None) => {}
            (Step::End(_), None) => {
                let why = "the peer left before the handshake ended";
                self.finish(Verdict::new(Reason::Truncated, Code::Truncated, why));
            }
        }
        News::Nothing
    }

    /// What is known of it, with what `change` adds.
    pub(crate) fn learn(&self, change: impl FnOnce(&mut Facts)) {
        self.cell.learn(change);
    }

    fn connected(&mut self, tools: &mut Tools<'_>) -> News {
        contain::fault("conn: connected");
        if let Stream::Tls(tls) = &self.stream {
            let facts = TlsFacts::of(tls.ssl());
            if let Some(failure) = self.refusal(tls.ssl()) {
                let _ = self.stream.end(&mut Wire::new(&mut self.link, tools.bufs));
                self.fail(&failure);
                return News::Nothing;
            }
            // The first question often comes close behind the handshake, which took its time: a look for it now lets
            // the answer leave together with the ticket.
            if !self.link.has_rest() {
                self.link.readable();
            }
            tools.counters.handshakes.add(1);
            tools.counters.handshakes_resumed.add(u64::from(facts.is_resumed));
            let facts = tools.usual.share(facts);
            self.learn(|known| known.tls = Some(facts));
        }
        self.phase = Phase::Open;
        self.moved_in = tools.now;
        if let Some(verdict) = self.verdict.take() {
            // The host closed while TLS was on its way up.
            self.close(*verdict, tools.now);
        }
        if self.is_announced { News::Secured } else { News::Connected }
    }

    /// Goes over to TLS: what is queued leaves first, in plain; what is sent from now on waits for TLS.
    pub(crate) fn start_tls(&mut self, now: u64) {
        if self.link.has_rest() {
            self.cell.gauge.seal(Mark::Closed);
            let why = "plain text had arrived behind the command that starts TLS";
            return self.finish(Verdict::new(Reason::Protocol, Code::Tls, why));
        }
        self.plain_left = self.queue.len();
        self.phase = Phase::Opening;
        self.opening = Opening::Hello;
        self.born = now;
    }

    /// Whether everything that is unsent was sent before TLS was started, and TLS has not begun.
    pub(super) fn is_all_plain(&self) -> bool {
        self.queue.len() == self.plain_left && matches!(self.stream, Stream::Plain)
    }

    /// Whether TLS can still be started.
    pub(crate) fn is_plain(&self) -> bool {
        self.phase == Phase::Open && self.outbound == Outbound::Open && matches!(self.stream, Stream::Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "in mode DETECT it decides on several bytes, gives the same answer for every cut".
    #[test]
    fn three_bytes_decide_and_no_fewer() {
        let cases: [(&[u8], Spoken); 9] = [
            (&[], Spoken::Unclear),
            (&[22], Spoken::Unclear),
            (&[22, 3], Spoken::Unclear),
            (&[22, 3, 1], Spoken::Tls),
            (&[22, 3, 15, 0], Spoken::Tls),
            (&[22, 3, 16], Spoken::Plain),
            (&[22, 4], Spoken::Plain),
            (b"E", Spoken::Plain),
            (b"EHLO", Spoken::Plain),
        ];
        for (first, spoken) in cases {
            assert_eq!(detect(first), spoken, "{first:?}");
        }
    }

    #[test]
    fn the_length_of_a_hello_is_found_in_one_record_or_several() {
        let cases: [(&[u8], std::result::Result<usize, usize>); 6] = [
            (&[22, 3, 1, 2, 0, 1, 2, 1, 36], Ok(131_364)),
            (&[22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 3, 0, 2, 0], Ok(512)),
            (&[22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 3, 0, 2], Err(14)),
            (&[22, 3, 1, 0, 1, 1, 22, 3], Err(11)),
            (&[22, 3, 1, 2, 0, 2, 2, 1, 36], Ok(0)),
            (b"GET / HTTP/1.1", Ok(0)),
        ];
        for (first, expected) in cases {
            assert_eq!(claim(first), expected, "{first:?}");
        }
    }

    #[test]
    fn the_first_record_is_awaited_whole_if_it_can_be_one_of_a_handshake() {
        let cases: [(&[u8], usize); 10] = [
            (&[], 1),
            (b"GET / HTTP/1.1", 1),
            (&[21, 3, 1, 0, 2], 1),
            (&[22], 5),
            (&[22, 3, 1, 2], 5),
            (&[22, 3, 1, 2, 0], 517),
            (&[22, 3, 1, 64, 0, 1], 16389),
            (&[22, 3, 1, 64, 1, 1], 5),
            (&[22, 3, 1, 0, 1, 1], 11),
            (&[22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 2], 13),
        ];
        for (first, wanted) in cases {
            assert_eq!(enough(first), wanted, "{first:?}");
        }
    }
}
