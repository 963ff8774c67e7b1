//! What all connections of the clients of one policy have in common.

use std::fs::File;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use super::Policy;
use super::server::append_line;
use super::sessions::Sessions;
use super::settings::{Settings, Verify};
use crate::error::{Error, Result};
use crate::tls::raw::{Demand, Hooks, PeerKey, Session, Side, Ssl, SslCtx};

/// The longest host name of DNS (RFC 1035 2.3.4).
const MAX_NAME: usize = 253;

/// Makes the client's end of connections, and remembers the sessions that servers let it resume.
pub struct ClientContext {
    ctx: SslCtx,
    /// A pinned certificate is taken whatever name it carries.
    checks_name: bool,
    needs_alpn: bool,
    sessions: Arc<Sessions>,
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
        let sessions = Arc::new(Sessions::default());
        let hooks = ClientHooks {
            pin: settings.pin,
            sessions: Arc::clone(&sessions),
            // A certificate that is known by its digest has no dates.
            verdicts_end: settings.verdicts_end(demand).filter(|_| settings.pin.is_none()),
            key_log: settings.key_log.clone(),
        };
        let mut ctx = settings.context(Side::Client, Box::new(hooks))?;
        // One of each kind of key; of several the first, which is installed last.
        for identity in settings.identities.iter().rev() {
            identity.install(&mut ctx)?;
        }
        ctx.set_demand(demand);
        ctx.keep_sessions();
        match settings.pin {
            Some(_) => ctx.verify_by_pin(),
            // The system's certificates are many, and reading them for a verdict that nobody asks for takes its time.
            None if demand == Demand::Nothing && settings.trust.is_unset() => {}
            None => ctx.set_store(settings.store()?),
        }
        if let Some(protocols) = &settings.alpn {
            ctx.offer_alpn(protocols.wire())?;
        }
        let needs_alpn = settings.alpn.as_ref().is_some_and(|protocols| protocols.required);
        Ok(ClientContext { ctx, checks_name: settings.pin.is_none(), needs_alpn, sessions })
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

    /// The client's end of a new connection.
    pub(crate) fn ssl(&self, peer: &PeerKey) -> Result<Ssl> {
        let mut ssl = Ssl::new(&self.ctx)?;
        ssl.be_client();
        match peer_name(&peer.server_name)? {
            PeerName::Ip(ip) if self.checks_name => ssl.expect_ip(ip)?,
            PeerName::Ip(_) => {}
            PeerName::Dns(host) => {
                ssl.set_sni(host)?;
                if self.checks_name {
                    ssl.expect_host(host)?;
                }
            }
        }
        if let Some(session) = self.sessions.take(peer) {
            ssl.resume(&session);
        }
        ssl.set_peer_key(peer.clone())?;
        Ok(ssl)
    }

    /// To be asked once, when the handshake of a connection is done: whether what came out is acceptable.
    pub(crate) fn confirm(&self, ssl: &Ssl) -> Result<()> {
        if self.needs_alpn && ssl.alpn().is_empty() {
            return Err(Error::tls("ALPN", "the server takes none of the protocols that are required"));
        }
        if ssl.is_resumed()
            && let (Some(key), Some(session)) = (ssl.peer_key(), ssl.session())
        {
            self.sessions.put_back(key, session);
        }
        Ok(())
    }
}

/// What OpenSSL asks while handshakes run.
struct ClientHooks {
    pin: Option<[u8; 32]>,
    sessions: Arc<Sessions>,
    verdicts_end: Option<i64>,
    key_log: Option<Arc<File>>,
}

impl Hooks for ClientHooks {
    fn accepts_leaf(&self, sha256: &[u8; 32]) -> bool {
        self.pin.as_ref() == Some(sha256)
    }

    fn keep_session(&self, peer: &PeerKey, session: Session) {
        self.sessions.put(peer, session);
    }

    fn verdicts_end(&self) -> Option<i64> {
        self.verdicts_end
    }

    fn key_log(&self, line: &[u8]) {
        append_line(self.key_log.as_deref(), line);
    }
}

/// Refuses what is neither a host name nor an address.
pub(crate) fn check_server_name(text: &str) -> Result<()> {
    peer_name(text).map(drop)
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
        // An address of IPv4 in the clothes of IPv6 is connected to as the former, and certified as such.
        return Ok(PeerName::Ip(ip.to_canonical()));
    }
    let host = text.strip_suffix('.').unwrap_or(text);
    // One that begins with a dot would stand for every host below it (X509_check_host(3)).
    let has_labels = !host.split('.').any(str::is_empty);
    if has_labels && host.len() <= MAX_NAME && host.bytes().all(|byte| byte.is_ascii_graphic()) {
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
            ("::ffff:192.0.2.7", ip("192.0.2.7")),
        ] {
            assert_eq!(peer_name(text), Ok(name), "{text}");
        }
        for bad in ["", ".", "a b", ".example", "a..example", "ü.example", &"a".repeat(254)] {
            assert!(peer_name(bad).is_err(), "{bad}");
        }
    }
}
