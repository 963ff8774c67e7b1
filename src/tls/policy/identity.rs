//! Who the host claims to be: a certificate, its chain and its key.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::settings::NoHooks;
use crate::error::{Error, Result};
use crate::tls::raw::{self, Cert, CertChain, Chain, Freshness, Key, KeyKind, Side, SslCtx, SubjectName, Validity};

/// One certificate that the host can show, with all that belongs to it.
pub(super) struct Identity {
    pub(super) leaf: Cert,
    pub(super) rest: Chain,
    pub(super) key: Key,
    pub(super) kind: KeyKind,
    /// The file or argument that it came from, for warnings.
    source: String,
    staple: Option<Staple>,
}

/// An OCSP response that goes with a certificate.
struct Staple {
    der: Vec<u8>,
    /// Clients refuse it afterwards.
    until: Option<SystemTime>,
    source: String,
}

impl Staple {
    fn is_fresh(&self) -> bool {
        self.until.is_none_or(|until| SystemTime::now() <= until)
    }
}

impl Identity {
    /// Joins what was read from two places; the key must be that of the leaf, and OpenSSL must take both.
    pub(super) fn new(chain: CertChain, key: Key, chain_name: &str, key_name: &str) -> Result<Identity> {
        let CertChain { leaf, rest } = chain;
        let kind = key.kind(key_name)?;
        leaf.check_key(&key).map_err(|words| {
            let what = format!("{chain_name}: certificate and key ({key_name}) do not belong together");
            Error::tls(what, words)
        })?;
        let identity = Identity { leaf, rest, key, kind, source: chain_name.to_owned(), staple: None };
        let mut trial = SslCtx::new(Side::Server, Box::new(NoHooks))?;
        identity.install(&mut trial)?;
        Ok(identity)
    }

    /// Makes a key and a certificate for "localhost,127.0.0.1".
    pub(super) fn self_signed(names: &str) -> Result<Identity> {
        let names = names.split(',').map(subject_name).collect::<Result<Vec<_>>>()?;
        let (leaf, key) = raw::self_signed(&names)?;
        let rest = Chain::new()?;
        let source = "self-signed".to_owned();
        Ok(Identity { leaf, rest, key, kind: KeyKind::Ecdsa, source, staple: None })
    }

    /// Gives it to a context.
    pub(super) fn install(&self, ctx: &mut SslCtx) -> Result<()> {
        ctx.use_certificate(&self.leaf, &self.rest, &self.key)
            .map_err(|cause| Error::new(cause.code(), format!("{}: {}", self.source, cause.sentence())))
    }

    /// Sends an OCSP response along, which must speak of this certificate.
    pub(super) fn set_staple(&mut self, der: Vec<u8>, source: &str) -> Result<()> {
        let until = match raw::check_ocsp(&der, &self.leaf, source)? {
            Freshness::Always => None,
            Freshness::Seconds(left) => {
                let (now, span) = (SystemTime::now(), Duration::from_secs(left.unsigned_abs()));
                // A moment that the clock cannot express is as good as none.
                if left < 0 { now.checked_sub(span) } else { now.checked_add(span) }
            }
        };
        self.staple = Some(Staple { der, until, source: source.to_owned() });
        Ok(())
    }

    /// The OCSP response, unless it is out of date: a client would refuse the connection for it.
    pub(super) fn staple(&self) -> Option<&[u8]> {
        self.staple.as_ref().filter(|staple| staple.is_fresh()).map(|staple| &staple.der[..])
    }

    /// What a person should know although it is used.
    pub(super) fn warnings(&self) -> Vec<String> {
        let dates = match self.leaf.validity() {
            Validity::Now => None,
            Validity::NotYet => Some("is not valid yet"),
            Validity::Expired => Some("has expired"),
        };
        let stale = self.staple.as_ref().filter(|staple| !staple.is_fresh());
        let of_dates = dates.map(|what| format!("{}: the certificate of {} {what}", self.source, self.leaf.subject()));
        let of_staple = stale.map(|staple| format!("{}: the OCSP response is out of date and not sent", staple.source));
        of_dates.into_iter().chain(of_staple).collect()
    }
}

/// Reads one name; what is no address must be a host name as DNS has them (RFC 1123 2.1), of which the
/// first label may be a wildcard.
fn subject_name(text: &str) -> Result<SubjectName> {
    let text = text.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SubjectName::Ip(ip));
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label_is_fine = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if text.len() <= 253 && name.split('.').all(label_is_fine) {
        Ok(SubjectName::Dns(text.to_ascii_lowercase()))
    } else {
        Err(Error::invalid(format!("names: \"{text}\" is neither a host name nor an address")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn names_are_hosts_or_addresses() {
        for good in ["localhost", " a.example ", "*.a.example", "::1", "127.0.0.1", "A_b-c.d"] {
            assert!(subject_name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "a,b", "a..b", ".", "*", "a.*", "a b", "é", "a:b", long.as_str()] {
            let refused = subject_name(bad).err().map(|error| error.code());
            assert_eq!(refused, Some(Code::Invalid), "{bad}");
        }
    }
}
