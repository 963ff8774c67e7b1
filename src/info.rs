//! What is known of a connection, gathered when it comes up and then only read.

use std::ffi::CStr;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::address::Address;
use crate::log::Line;
use crate::tls::raw::{PeerCertificate, Ssl};

/// Facts about one connection.
#[derive(Clone)]
pub(crate) struct Facts {
    /// The other end; behind a balancer the client that it names.
    pub(crate) peer: Address,
    /// Until the other end is known, what its name is.
    pub(crate) name: Option<Box<str>>,
    /// The balancer that sent a PROXY header.
    pub(crate) balancer: Option<Box<Address>>,
    /// The address that it counts for at the limit per address.
    pub(crate) admitted_as: Option<IpAddr>,
    /// The host handed it in itself, so it is not asked whether to take it.
    pub(crate) is_invited: bool,
    /// What the handshake settled. Most connections of a server have this in common.
    pub(crate) tls: Option<Arc<TlsFacts>>,
    /// When it was accepted or begun.
    pub(crate) born: Instant,
}

impl Facts {
    /// What is known before the first byte.
    pub(crate) fn new(peer: Address, admitted_as: Option<IpAddr>) -> Facts {
        Facts { peer, name: None, balancer: None, admitted_as, is_invited: false, tls: None, born: Instant::now() }
    }
}

impl Facts {
    /// How the other end is called.
    pub(crate) fn peer_text(&self) -> String {
        self.name.as_ref().map_or_else(|| self.peer.to_string(), ToString::to_string)
    }

    /// Milliseconds since it was accepted or begun.
    pub(crate) fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What a handshake settled. Texts are empty where there is nothing.
pub(crate) struct TlsFacts {
    pub(crate) version: &'static CStr,
    pub(crate) cipher: &'static CStr,
    pub(crate) group: String,
    pub(crate) alpn: Vec<u8>,
    pub(crate) sni: String,
    pub(crate) is_resumed: bool,
    /// OpenSSL's X509_V_… number.
    pub(crate) verify_result: i32,
    pub(crate) certificate: Option<PeerCertificate>,
}

impl TlsFacts {
    /// Asks a connection whose handshake is done.
    pub(crate) fn of(ssl: &Ssl) -> TlsFacts {
        TlsFacts {
            version: ssl.version_name(),
            cipher: ssl.cipher_name(),
            group: ssl.group_name(),
            alpn: ssl.alpn(),
            sni: ssl.sni(),
            is_resumed: ssl.is_resumed(),
            verify_result: ssl.verify_result(),
            certificate: ssl.peer_certificate(),
        }
    }

    /// Certificates differ from each other.
    fn equals(&self, other: &TlsFacts) -> bool {
        self.certificate.is_none()
            && other.certificate.is_none()
            && (self.version, self.cipher, &self.group) == (other.version, other.cipher, &other.group)
            && (&self.alpn, &self.sni, self.is_resumed) == (&other.alpn, &other.sni, other.is_resumed)
            && self.verify_result == other.verify_result
    }
}

/// What the last handshake of a worker settled, for the next connection that has the same.
#[derive(Default)]
pub(crate) struct Usual(Option<Arc<TlsFacts>>);

impl Usual {
    /// The same facts, shared with the connection before if they are its own too.
    pub(crate) fn share(&mut self, facts: TlsFacts) -> Arc<TlsFacts> {
        match &self.0 {
            Some(usual) if usual.equals(&facts) => usual.clone(),
            _ => self.0.insert(Arc::new(facts)).clone(),
        }
    }
}

/// What a connection speaks, for the log: the same keys with TLS and without.
pub(crate) fn add_tls(line: Line, tls: Option<&TlsFacts>) -> Line {
    let text = |of: fn(&TlsFacts) -> String| tls.map(of).unwrap_or_default();
    line.with("tls", tls.map_or("none".into(), |tls| tls.version.to_string_lossy()))
        .with("cipher", text(|tls| tls.cipher.to_string_lossy().into_owned()))
        .with("resumed", u8::from(tls.is_some_and(|tls| tls.is_resumed)))
        .with("alpn", text(|tls| String::from_utf8_lossy(&tls.alpn).into_owned()))
        .with("sni", text(|tls| tls.sni.clone()))
}
