//! Version 2: 16 bytes of a fixed form, then the addresses, then any number of TLVs (type, length, value).
//!
//! TLVs are skipped as they come; only their framing is checked, and the checksum if there is one. The checksum covers the
//! whole header with its own value taken as zero, so it is summed up byte by byte and nothing has to be kept for it.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::crc32c::Crc32c;
use super::{ClientEnds, NO_HEADER, Progress};
use crate::address::Address;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// By this byte the version is known.
pub(super) const FIRST: u8 = SIGNATURE[0];
/// The signature, version and command, family and transport, length.
const FIXED: usize = 16;
/// Type and length of a TLV.
const TLV_HEAD: usize = 3;
/// The TLV that holds the checksum, and the length of its value.
const TYPE_CRC32C: u8 = 3;
const CHECKSUM: usize = 4;
/// A unix path fills its field, or ends at a zero byte; so does `sun_path` (unix(7)).
const PATH: usize = 108;
/// The largest part that is kept: two unix paths.
const KEPT: usize = 2 * PATH;

const NO_VERSION: &str = "of a version other than 1 and 2";
const NO_COMMAND: &str = "the command is neither LOCAL nor PROXY";
const NO_FAMILY: &str = "unknown address family or transport";
const DATAGRAM: &str = "it speaks of datagrams, and this is a stream";
const TOO_SHORT: &str = "too short for its addresses";
const BAD_TLV: &str = "a TLV does not fit into it";
const BAD_CRC32C: &str = "the checksum is malformed, or there are two";
const WRONG_CRC32C: &str = "the checksum is wrong";

/// A header as far as it has come.
pub(super) struct Block {
    part: Part,
    /// How much of the part has come; of those that are kept it lies in `kept`.
    have: usize,
    kept: [u8; KEPT],
    /// How many bytes of the header stand behind the part.
    left: usize,
    client: Option<ClientEnds>,
    crc: Crc32c,
    /// What the header says that its checksum is.
    checksum: Option<u32>,
}

/// What the next bytes are.
#[derive(Clone, Copy)]
enum Part {
    Fixed,
    Addresses(Family),
    TlvHead,
    Checksum,
    /// The value of a TLV that says nothing to us.
    Skipped(usize),
    /// All that is left of a header that speaks for no client.
    Discarded(usize),
}

/// What is to be done when something has come.
enum Verdict {
    Unfinished,
    Next(Part),
    Whole,
}

/// Whose addresses are read.
#[derive(Clone, Copy)]
enum Family {
    Inet,
    Inet6,
    Unix,
}

impl Default for Block {
    fn default() -> Block {
        let (part, kept, crc) = (Part::Fixed, [0; KEPT], Crc32c::new());
        Block { part, have: 0, kept, left: 0, client: None, crc, checksum: None }
    }
}

impl Block {
    /// As [`super::Reader::feed`].
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let mut taken = 0;
        loop {
            taken += self.take(&bytes[taken..]);
            match self.judge() {
                Ok(Verdict::Unfinished) => return (taken, Progress::NeedMore),
                Ok(Verdict::Next(part)) => (self.part, self.have) = (part, 0),
                Ok(Verdict::Whole) => return (taken, Progress::Done(self.client.take())),
                Err(why) => return (taken, Progress::Refused(why)),
            }
        }
    }

    /// Takes what belongs to the part, and says how much that was.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let bytes = &bytes[..bytes.len().min(self.part.size() - self.have)];
        if let Part::Fixed | Part::Addresses(_) | Part::TlvHead | Part::Checksum = self.part {
            self.kept[self.have..][..bytes.len()].copy_from_slice(bytes);
        }
        match self.part {
            Part::Checksum => self.crc.add(&[0; CHECKSUM][..bytes.len()]),
            Part::Discarded(_) => {}
            _ => self.crc.add(bytes),
        }
        self.have += bytes.len();
        bytes.len()
    }

    /// Judges what has come of the part.
    fn judge(&mut self) -> Result<Verdict, &'static str> {
        if self.have < self.part.size() {
            // Half a beginning can be wrong already, and then the rest is not waited for.
            if let Part::Fixed = self.part {
                family(&self.kept[..self.have])?;
            }
            return Ok(Verdict::Unfinished);
        }
        match self.part {
            Part::Fixed => return self.begin(),
            Part::TlvHead => return self.tlv(),
            Part::Addresses(family) => self.client = Some(family.ends(&self.kept)),
            Part::Checksum => self.checksum = Some(u32::from_be_bytes(field(&self.kept))),
            Part::Skipped(_) | Part::Discarded(_) => {}
        }
        self.behind()
    }

    /// The fixed part is whole and says what follows.
    fn begin(&mut self) -> Result<Verdict, &'static str> {
        let family = family(&self.kept[..FIXED])?;
        let len = usize::from(u16::from_be_bytes(field(&self.kept[FIXED - 2..])));
        match family {
            // What LOCAL and UNSPEC bring is not even looked at: nothing says where their addresses would end, so what
            // looks like a checksum may be none.
            None => Ok(Verdict::Next(Part::Discarded(len))),
            Some(family) => {
                self.left = len.checked_sub(family.size()).ok_or(TOO_SHORT)?;
                Ok(Verdict::Next(Part::Addresses(family)))
            }
        }
    }

    /// Behind addresses and TLVs stands a TLV, or the end; at the end the checksum has to agree.
    fn behind(&mut self) -> Result<Verdict, &'static str> {
        if self.left > 0 {
            self.left = self.left.checked_sub(TLV_HEAD).ok_or(BAD_TLV)?;
            return Ok(Verdict::Next(Part::TlvHead));
        }
        match self.checksum {
            Some(checksum) if checksum != self.crc.value() => Err(WRONG_CRC32C),
            _ => Ok(Verdict::Whole),
        }
    }

    /// Judges a TLV by its type and length.
    fn tlv(&mut self) -> Result<Verdict, &'static str> {
        let [kind, high, low] = field(&self.kept);
        let len = usize::from(u16::from_be_bytes([high, low]));
        self.left = self.left.checked_sub(len).ok_or(BAD_TLV)?;
        match kind {
            TYPE_CRC32C if len != CHECKSUM || self.checksum.is_some() => Err(BAD_CRC32C),
            TYPE_CRC32C => Ok(Verdict::Next(Part::Checksum)),
            _ => Ok(Verdict::Next(Part::Skipped(len))),
        }
    }
}

/// Judges the beginning as far as it has come, each byte as soon as it is there. `None`: the header speaks for no client,
/// or it is too early to tell.
fn family(start: &[u8]) -> Result<Option<Family>, &'static str> {
    if start.iter().zip(SIGNATURE).any(|(byte, expected)| *byte != expected) {
        return Err(NO_HEADER);
    }
    let is_local = match start.get(SIGNATURE.len()) {
        None | Some(0x20) => true,
        Some(0x21) => false,
        Some(0x22..=0x2F) => return Err(NO_COMMAND),
        Some(_) => return Err(NO_VERSION),
    };
    match start.get(SIGNATURE.len() + 1) {
        Some(&byte) if !is_local => Family::of(byte),
        _ => Ok(None),
    }
}

impl Part {
    fn size(self) -> usize {
        match self {
            Part::Fixed => FIXED,
            Part::Addresses(family) => family.size(),
            Part::TlvHead => TLV_HEAD,
            Part::Checksum => CHECKSUM,
            Part::Skipped(len) | Part::Discarded(len) => len,
        }
    }
}

impl Family {
    /// From the byte of the command PROXY; `None` is UNSPEC in either half, for which the real peer counts.
    fn of(byte: u8) -> Result<Option<Family>, &'static str> {
        match (byte >> 4, byte & 0xF) {
            (4.., _) | (_, 3..) => Err(NO_FAMILY),
            (_, 2) => Err(DATAGRAM),
            (0, _) | (_, 0) => Ok(None),
            (1, _) => Ok(Some(Family::Inet)),
            (2, _) => Ok(Some(Family::Inet6)),
            (3, _) => Ok(Some(Family::Unix)),
        }
    }

    fn size(self) -> usize {
        match self {
            Family::Inet => 2 * (4 + 2),
            Family::Inet6 => 2 * (16 + 2),
            Family::Unix => 2 * PATH,
        }
    }

    /// Both addresses come first, then both ports.
    fn ends(self, kept: &[u8; KEPT]) -> ClientEnds {
        let port = |at: usize| u16::from_be_bytes(field(&kept[at..]));
        let inet = |at: usize, port| Address::inet(SocketAddr::new(Ipv4Addr::from(field(&kept[at..])).into(), port));
        let inet6 = |at: usize, port| {
            let ip = Ipv6Addr::from(field::<16>(&kept[at..]));
            Address::inet(SocketAddr::new(ip.into(), port))
        };
        let (source, destination) = match self {
            Family::Inet => (inet(0, port(8)), inet(4, port(10))),
            Family::Inet6 => (inet6(0, port(32)), inet6(16, port(34))),
            Family::Unix => (unix(&kept[..PATH]), unix(&kept[PATH..])),
        };
        ClientEnds { source, destination }
    }
}

/// The first `N` bytes; all callers read within `kept`.
fn field<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

/// A name that begins with a zero byte is of no file, and is shown as none (unix(7), "abstract").
fn unix(path: &[u8]) -> Address {
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    Address::unix(Path::new(OsStr::from_bytes(path)))
}
