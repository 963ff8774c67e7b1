//! The list of application protocols (RFC 7301).

use crate::error::{Error, Result};
use crate::tls::raw::Alpn;

/// What is offered or taken, and whether a connection without is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protocols {
    /// One byte of length before each name, the preferred first.
    wire: Vec<u8>,
    pub(super) required: bool,
}

impl Protocols {
    /// Reads "h2,http/1.1".
    pub(super) fn parse(list: &str, required: bool) -> Result<Protocols> {
        let mut wire = Vec::new();
        for name in list.split(',').map(str::trim) {
            match u8::try_from(name.len()) {
                Ok(len @ 1..) => wire.push(len),
                _ => {
                    let what = format!("alpn: \"{name}\" in \"{list}\" is not 1 to 255 bytes long");
                    return Err(Error::invalid(what));
                }
            }
            wire.extend_from_slice(name.as_bytes());
        }
        // RFC 7301 3.1: the list has two bytes for its length.
        if u16::try_from(wire.len()).is_err() {
            return Err(Error::invalid("alpn: the list is longer than TLS can send"));
        }
        Ok(Protocols { wire, required })
    }

    /// As it goes over the wire.
    pub(super) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The first of ours that the client offers, too.
    pub(super) fn choose(&self, offered: &[u8]) -> Alpn<'_> {
        let found = names(&self.wire).find(|own| names(offered).any(|other| other == *own));
        match found {
            Some(name) => Alpn::Chosen(name),
            None if self.required => Alpn::Refused,
            None => Alpn::Nothing,
        }
    }
}

/// The names of a list in wire format; ends early where the list is damaged.
fn names(mut wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&len, rest) = wire.split_first()?;
        let (name, rest) = rest.split_at_checked(len.into())?;
        wire = rest;
        Some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_order_decides() {
        let protocols = Protocols::parse("h2, http/1.1", true).unwrap();
        assert_eq!(protocols.wire(), b"\x02h2\x08http/1.1");
        assert_eq!(protocols.choose(b"\x08http/1.1\x02h2"), Alpn::Chosen(b"h2"));
        assert_eq!(protocols.choose(b"\x01x\x08http/1.1"), Alpn::Chosen(b"http/1.1"));
        assert_eq!(protocols.choose(b"\x01x"), Alpn::Refused);
        assert_eq!(protocols.choose(b"\x09h2"), Alpn::Refused, "a damaged list");
        assert_eq!(Protocols::parse("h2", false).unwrap().choose(b"\x01x"), Alpn::Nothing);
    }

    #[test]
    fn a_name_has_1_to_255_bytes() {
        let longest = "x".repeat(255);
        assert!(Protocols::parse(&longest, false).is_ok());
        let many = vec![longest.as_str(); 256].join(",");
        for bad in ["", "h2,", ",h2", &"x".repeat(256), &many] {
            assert!(Protocols::parse(bad, false).is_err());
        }
    }
}
