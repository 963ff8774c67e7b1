//! What all connections of the clients of one policy have in common.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use super::Policy;
use super::settings::{Settings, Verify};
use crate::error::{Error, Result};
use crate::tls::raw::{Demand, Hooks, Side, Ssl, SslCtx};

/// The longest host name of DNS (RFC 1035 2.3.4).
const MAX_NAME: usize = 253;

/// Makes the client's end of connections.
pub struct ClientContext {
    ctx: SslCtx,
    /// A pinned certificate is taken whatever name it carries.
    checks_name: bool,
}

impl ClientContext {
    /// Builds it, or says what is wrong.
    pub(super) fn new(settings: &Settings) -> Result<ClientContext> {
        let demand = match (settings.pin, settings.verify) {
            (_, Verify::Optional) => {
                return Err(Error::invalid("tls: TLSLOOP_VERIFY_OPTIONAL is for servers only"));
            }
            (None, Verify::None) => Demand::Nothing,
            _ => Demand::Required,
        };
        let mut ctx = SslCtx::new(Side::Client, Box::new(ClientHooks { pin: settings.pin }))?;
        for identity in settings.identities.iter().rev() {
            identity.install(&mut ctx)?;
        }
        ctx.set_demand(demand);
        match settings.pin {
            Some(_) => ctx.verify_by_pin(),
            None => ctx.set_store(settings.store()?),
        }
        Ok(ClientContext { ctx, checks_name: settings.pin.is_none() })
    }

    /// The context of clients that name no policy: the system's trust, verified.
    pub fn system() -> Result<Arc<ClientContext>> {
        static SYSTEM: OnceLock<Policy> = OnceLock::new();
        SYSTEM.get_or_init(Policy::new).client_context()
    }

    /// Whether one certificate is taken and no other.
    pub(crate) fn is_pinned(&self) -> bool {
        !self.checks_name
    }

    /// The client's end of a new connection to `server_name`, a host name or an address.
    pub(crate) fn ssl(&self, server_name: &str, _port: u16) -> Result<Ssl> {
        let mut ssl = Ssl::new(&self.ctx)?;
        ssl.be_client();
        match peer_name(server_name)? {
            PeerName::Ip(ip) if self.checks_name => ssl.expect_ip(ip)?,
            PeerName::Ip(_) => {}
            PeerName::Dns(host) => {
                ssl.set_sni(host)?;
                if self.checks_name {
                    ssl.expect_host(host)?;
                }
            }
        }
        Ok(ssl)
    }
}

struct ClientHooks {
    pin: Option<[u8; 32]>,
}

impl Hooks for ClientHooks {
    fn accepts_leaf(&self, sha256: &[u8; 32]) -> bool {
        self.pin.as_ref() == Some(sha256)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum PeerName<'a> {
    Dns(&'a str),
    Ip(IpAddr),
}

/// Tells an address, which is never sent as SNI (RFC 6066 3), from a host name, which is sent without
/// its last dot.
fn peer_name(text: &str) -> Result<PeerName<'_>> {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    // "fe80::1%eth0": the zone is this machine's business, no certificate has it.
    let address = bare.split_once('%').map_or(bare, |(address, _)| address);
    if let Ok(ip) = address.parse::<IpAddr>() {
        return Ok(PeerName::Ip(ip));
    }
    let host = text.strip_suffix('.').unwrap_or(text);
    if (1..=MAX_NAME).contains(&host.len()) && host.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(PeerName::Dns(host))
    } else {
        Err(Error::invalid(format!("server_name: \"{text}\" is neither a host name nor an address")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_no_host_name() {
        let ip = |text: &str| PeerName::Ip(text.parse().unwrap());
        for (text, name) in [
            ("a.example.", PeerName::Dns("a.example")),
            ("localhost", PeerName::Dns("localhost")),
            ("127.0.0.1", ip("127.0.0.1")),
            ("[::1]", ip("::1")),
            ("fe80::1%eth0", ip("fe80::1")),
        ] {
            assert_eq!(peer_name(text), Ok(name), "{text}");
        }
        for bad in ["", ".", "a b", "ü.example", &"a".repeat(254)] {
            assert!(peer_name(bad).is_err(), "{bad}");
        }
    }
}
