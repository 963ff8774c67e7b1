//! Where a connection comes from or a server listens, and how that is written.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// An end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4 or IPv6 with a port. IPv4 behind a dual-stack listener is kept as IPv4.
    Inet(SocketAddr),
    /// A unix socket; the path is empty for a peer that bound none.
    Unix(Box<Path>),
}

impl Address {
    /// An internet address, with an IPv4-mapped IPv6 address taken back to IPv4 (RFC 4291, 2.5.5.2).
    pub fn inet(address: SocketAddr) -> Address {
        match address.ip().to_canonical() {
            IpAddr::V4(v4) => Address::Inet(SocketAddr::new(v4.into(), address.port())),
            // As it came: a link-local address is nothing without its interface.
            IpAddr::V6(_) => Address::Inet(address),
        }
    }

    /// A unix socket at `path`.
    pub fn unix(path: impl Into<PathBuf>) -> Address {
        Address::Unix(path.into().into_boxed_path())
    }

    /// The internet address without its port; unix sockets have none.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Inet(address) => Some(address.ip()),
            Address::Unix(_) => None,
        }
    }

    /// The port; 0 for unix sockets.
    pub fn port(&self) -> u16 {
        match self {
            Address::Inet(address) => address.port(),
            Address::Unix(_) => 0,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_the_header_shows() {
        let cases = [
            ("192.0.2.7:5123", "192.0.2.7:5123"),
            ("[2001:db8::7]:5123", "[2001:db8::7]:5123"),
            ("[::ffff:192.0.2.7]:5123", "192.0.2.7:5123"),
        ];
        for (given, shown) in cases {
            let address: SocketAddr = given.parse().expect("a literal address");
            assert_eq!(Address::inet(address).to_string(), shown);
        }
        assert_eq!(Address::unix("/run/x.sock").to_string(), "unix:/run/x.sock");
    }
}
