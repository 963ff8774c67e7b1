//! The PROXY protocol once more, by its specification (HAProxy, doc/proxy-protocol.txt) and in the simplest way: only for
//! headers that are there from end to end.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use tlsloop::address::Address;

/// What a whole header says: its length and both ends of the client's connection, if it speaks for one; or that it is wrong.
#[derive(Debug, PartialEq, Eq)]
pub enum Whole {
    /// It is right.
    Right(usize, Option<(Address, Address)>),
    /// It is wrong.
    Wrong,
}

/// `None`: it is not there from end to end.
pub fn read(stream: &[u8]) -> Option<Whole> {
    match stream {
        [b'P', ..] => line(stream),
        [b'\r', ..] => block(stream),
        _ => None,
    }
}

/// "The receiver must wait for the CRLF sequence"; "a 108-byte buffer is always enough".
fn line(stream: &[u8]) -> Option<Whole> {
    let end = stream.windows(2).position(|two| two == b"\r\n")?;
    if end + 2 > 107 || !stream.starts_with(b"PROXY ") || stream[..end].iter().any(|byte| matches!(byte, b'\r' | b'\n'))
    {
        return Some(Whole::Wrong);
    }
    let words: Vec<&[u8]> = stream[6..end].split(|byte| *byte == b' ').collect();
    let ends = match words[..] {
        [b"UNKNOWN", ..] => return Some(Whole::Right(end + 2, None)),
        [b"TCP4", from, to, out, into] => both(ip::<Ipv4Addr>(from), ip::<Ipv4Addr>(to), port(out), port(into)),
        [b"TCP6", from, to, out, into] => both(ip::<Ipv6Addr>(from), ip::<Ipv6Addr>(to), port(out), port(into)),
        _ => None,
    };
    Some(ends.map_or(Whole::Wrong, |ends| Whole::Right(end + 2, Some(ends))))
}

fn ip<Ip: std::str::FromStr + Into<IpAddr>>(word: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(word).ok()?.parse::<Ip>().ok().map(Into::into)
}

/// "In the decimal form, in the range [0..65535]": no sign, no zeros in front.
fn port(word: &[u8]) -> Option<u16> {
    let number: u16 = std::str::from_utf8(word).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == word).then_some(number)
}

fn both(from: Option<IpAddr>, to: Option<IpAddr>, out: Option<u16>, into: Option<u16>) -> Option<(Address, Address)> {
    let end = |ip, port| Address::inet(SocketAddr::new(ip, port));
    Some((end(from?, out?), end(to?, into?)))
}

fn block(stream: &[u8]) -> Option<Whole> {
    let len = usize::from(u16::from_be_bytes(*stream.get(14..)?.first_chunk()?));
    let header = stream.get(..16 + len)?;
    let rest = &header[16..];
    if !header.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        return Some(Whole::Wrong);
    }
    // "0x20: LOCAL"; "0x21: PROXY"; "receivers must drop connections presenting unexpected values".
    let size = match (header[12], header[13]) {
        (0x20, _) => return Some(Whole::Right(16 + len, None)),
        (0x21, 0x00 | 0x01 | 0x10 | 0x20 | 0x30) => return Some(Whole::Right(16 + len, None)),
        (0x21, 0x11) => 12,
        (0x21, 0x21) => 36,
        (0x21, 0x31) => 216,
        _ => return Some(Whole::Wrong),
    };
    if rest.len() < size || !agrees(header, 16 + size) {
        return Some(Whole::Wrong);
    }
    Some(Whole::Right(16 + len, Some(addresses(&rest[..size]))))
}

fn addresses(of: &[u8]) -> (Address, Address) {
    let port = |at: usize| u16::from_be_bytes([of[at], of[at + 1]]);
    let unix = |path: &[u8]| {
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
        Address::unix(OsStr::from_bytes(&path[..end]))
    };
    let inet = |ip: &[u8], port| {
        let ip = match <[u8; 4]>::try_from(ip) {
            Ok(four) => IpAddr::from(four),
            Err(_) => IpAddr::from(<[u8; 16]>::try_from(ip).expect("sixteen bytes")),
        };
        Address::inet(SocketAddr::new(ip, port))
    };
    match of.len() {
        12 => (inet(&of[..4], port(8)), inet(&of[4..8], port(10))),
        36 => (inet(&of[..16], port(32)), inet(&of[16..32], port(34))),
        _ => (unix(&of[..108]), unix(&of[108..])),
    }
}

/// Whether the TLVs fill the header to its end, with at most one checksum, which is right.
fn agrees(header: &[u8], mut at: usize) -> bool {
    let mut sum = None;
    while at < header.len() {
        let Some([kind, high, low]) = header.get(at..at + 3) else { return false };
        let (value, len) = (at + 3, usize::from(u16::from_be_bytes([*high, *low])));
        if value + len > header.len() || (*kind == 3 && (len != 4 || sum.replace(value).is_some())) {
            return false;
        }
        at = value + len;
    }
    sum.is_none_or(|at| {
        let mut zeroed = header.to_vec();
        zeroed[at..at + 4].fill(0);
        crc32c(&zeroed).to_be_bytes() == header[at..at + 4]
    })
}

/// RFC 3720, appendix B.4, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0x82F6_3B78 * (crc & 1)));
    !bytes.iter().fold(u32::MAX, byte)
}
