//! Version 1: one line of text, such as `PROXY TCP4 192.0.2.7 198.51.100.1 5123 443`, ended by CR LF.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{ClientEnds, NO_HEADER, Progress};
use crate::address::Address;

const PREFIX: &[u8] = b"PROXY ";
/// By this byte the version is known.
pub(super) const FIRST: u8 = PREFIX[0];
/// The longest line that the specification knows, its CR LF included.
const LONGEST: usize = 107;

const TOO_LONG: &str = "the line is longer than 107 bytes";
const NO_CRLF: &str = "the line does not end in CR LF";
const NO_FAMILY: &str = "neither TCP4, TCP6 nor UNKNOWN";
const NO_ENDS: &str = "not two addresses of the family and two ports";

/// The line as far as it has come.
pub(super) struct Line {
    text: [u8; LONGEST],
    len: usize,
}

impl Default for Line {
    fn default() -> Line {
        Line { text: [0; LONGEST], len: 0 }
    }
}

impl Line {
    /// As [`super::Reader::feed`].
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Progress) {
        for (at, &byte) in bytes.iter().enumerate() {
            match self.push(byte) {
                Ok(false) => {}
                Ok(true) => return (at + 1, decode(&self.text[..self.len - 2])),
                Err(why) => return (at + 1, Progress::Refused(why)),
            }
        }
        (bytes.len(), Progress::NeedMore)
    }

    /// Takes one byte; true: the line is whole.
    fn push(&mut self, byte: u8) -> Result<bool, &'static str> {
        let before = if self.len == 0 { 0 } else { self.text[self.len - 1] };
        self.text[self.len] = byte;
        self.len += 1;
        if let Some(&expected) = PREFIX.get(self.len - 1) {
            return if byte == expected { Ok(false) } else { Err(NO_HEADER) };
        }
        // Neither may stand alone, also where everything else is to be ignored: others take either for the line's end.
        match (before == b'\r', byte == b'\n') {
            (true, true) => Ok(true),
            (false, false) if self.len < LONGEST => Ok(false),
            (false, false) => Err(TOO_LONG),
            _ => Err(NO_CRLF),
        }
    }
}

/// Reads the line without its CR LF.
fn decode(line: &[u8]) -> Progress {
    // A byte beyond ASCII fits no field; what follows UNKNOWN is ignored whatever it is.
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ').skip(1);
    let ends = match words.next() {
        Some("UNKNOWN") => return Progress::Done(None),
        Some("TCP4") => ends::<Ipv4Addr>(words),
        Some("TCP6") => ends::<Ipv6Addr>(words),
        _ => return Progress::Refused(NO_FAMILY),
    };
    match ends {
        Some(ends) => Progress::Done(Some(ends)),
        None => Progress::Refused(NO_ENDS),
    }
}

/// Two spaces in a row make an empty word, which is neither an address nor a port.
fn ends<'a, Ip: FromStr + Into<IpAddr>>(mut words: impl Iterator<Item = &'a str>) -> Option<ClientEnds> {
    let source_ip: Ip = words.next()?.parse().ok()?;
    let destination_ip: Ip = words.next()?.parse().ok()?;
    let source_port = port(words.next()?)?;
    let destination_port = port(words.next()?)?;
    words.next().is_none().then(|| ClientEnds {
        source: Address::inet(SocketAddr::new(source_ip.into(), source_port)),
        destination: Address::inet(SocketAddr::new(destination_ip.into(), destination_port)),
    })
}

/// Decimal, without a sign and without leading zeros.
fn port(word: &str) -> Option<u16> {
    let begins_well = word == "0" || word.starts_with(|first: char| matches!(first, '1'..='9'));
    if begins_well { word.parse().ok() } else { None }
}
