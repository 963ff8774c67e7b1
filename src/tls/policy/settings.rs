//! What has been set so far.

use std::fs::File;
use std::sync::Arc;

use super::alpn::Protocols;
use super::identity::Identity;
use crate::error::{Error, Result};
use crate::tls::raw::{self, Cert, Crl, Demand, Hooks, Secret, Side, SslCtx, Store, TicketKey};

/// What is asked of the peer's certificate. The discriminants are the numbers of the C header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i32)]
pub enum Verify {
    /// A server asks for none, a client requires one.
    #[default]
    Default = 0,
    /// Any certificate, or none, will do.
    None = 1,
    /// A server asks for one, takes none, and refuses one that does not verify.
    Optional = 2,
    /// One that verifies.
    Required = 3,
}

impl Verify {
    /// Reads a number of the C header.
    pub fn from_number(number: i32) -> Option<Verify> {
        [Verify::Default, Verify::None, Verify::Optional, Verify::Required]
            .into_iter()
            .find(|verify| *verify as i32 == number)
    }
}

/// A version of TLS. The discriminants are the numbers of the C header, which are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Version {
    /// TLS 1.2.
    Tls12 = 0x0303,
    /// TLS 1.3.
    Tls13 = 0x0304,
}

impl Version {
    /// Reads a number of the C header.
    pub fn from_number(number: i32) -> Option<Version> {
        [Version::Tls12, Version::Tls13].into_iter().find(|version| *version as i32 == number)
    }
}

/// Whose signature is believed.
#[derive(Default)]
pub(super) enum Trust {
    /// Nothing was said: a client takes the system's, a server has none.
    #[default]
    Unset,
    /// The store of the system, asked for by name.
    System,
    /// These, and no others.
    These(Vec<Cert>),
}

impl Trust {
    /// Whether the host has said nothing about it.
    pub(super) fn is_unset(&self) -> bool {
        matches!(self, Trust::Unset)
    }
}

/// Everything that the host has set.
#[derive(Default)]
pub(super) struct Settings {
    /// Opens the keys that are added from now on.
    pub(super) password: Option<Secret>,
    /// The first is the default.
    pub(super) identities: Vec<Arc<Identity>>,
    pub(super) trust: Trust,
    pub(super) crls: Vec<Crl>,
    pub(super) verify: Verify,
    pub(super) pin: Option<[u8; 32]>,
    /// The oldest and the newest, if not the defaults.
    pub(super) versions: Option<(Version, Version)>,
    pub(super) ciphers: Option<String>,
    pub(super) suites: Option<String>,
    pub(super) groups: Option<String>,
    pub(super) alpn: Option<Protocols>,
    /// From files. Without any, each policy makes its own.
    pub(super) ticket_keys: Arc<Vec<TicketKey>>,
    pub(super) key_log: Option<Arc<File>>,
}

impl Settings {
    /// Adds a certificate from two PEM texts, whose names stand in errors.
    pub(super) fn add(&mut self, chain: &[u8], key: &Secret, chain_name: &str, key_name: &str) -> Result<()> {
        let chain = raw::chain_from_pem(chain, chain_name)?;
        let key = raw::key_from_pem(key.bytes(), self.password.as_ref(), key_name)?;
        self.identities.push(Arc::new(Identity::new(chain, key, chain_name, key_name)?));
        Ok(())
    }

    /// What verifies a peer's certificate.
    pub(super) fn store(&self) -> Result<Store> {
        let mut store = Store::new()?;
        match &self.trust {
            Trust::Unset | Trust::System => store.add_system()?,
            Trust::These(certs) => certs.iter().try_for_each(|cert| store.add(cert))?,
        }
        self.crls.iter().try_for_each(|crl| store.add_crl(crl))?;
        Ok(store)
    }

    /// Until when what is found out about peers may stand, as far as the lists go; `None`: nothing is found out.
    pub(super) fn verdicts_end(&self, demand: Demand) -> Option<i64> {
        (demand != Demand::Nothing).then(|| self.crls.iter().map(Crl::ends_at).min().unwrap_or(i64::MAX))
    }

    /// A context with what servers and clients have in common.
    pub(super) fn context(&self, side: Side, hooks: Box<dyn Hooks>) -> Result<SslCtx> {
        let mut ctx = SslCtx::new(side, hooks)?;
        if let Some((min, max)) = self.versions {
            ctx.set_versions(min as i32, max as i32)?;
        }
        self.ciphers.as_deref().map_or(Ok(()), |list| ctx.set_cipher_list(list))?;
        self.suites.as_deref().map_or(Ok(()), |list| ctx.set_suites(list))?;
        self.groups.as_deref().map_or(Ok(()), |list| ctx.set_groups(list))?;
        if self.key_log.is_some() {
            ctx.log_keys();
        }
        Ok(ctx)
    }
}

/// Answers nothing: for contexts that only try a setting out.
pub(super) struct NoHooks;

impl Hooks for NoHooks {}

/// Reads 64 hexadecimal digits, "ab12…" or as OpenSSL prints them, "AB:12:…".
pub(super) fn pin_from_hex(text: &str) -> Result<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b':').collect();
    let mut pin = [0; 32];
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    if digits.len() != 2 * pin.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Error::invalid("sha256_hex: not the 64 hexadecimal digits of a SHA-256"));
    }
    for (byte, pair) in pin.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0]).unwrap_or(0) << 4 | nibble(pair[1]).unwrap_or(0);
    }
    Ok(pin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::raw::hex;

    #[test]
    fn a_pin_is_64_digits() {
        let digits = "0123456789abcdef".repeat(4);
        assert_eq!(pin_from_hex(&digits).map(|pin| hex(&pin)), Ok(digits.clone()));
        let colons: Vec<String> =
            digits.to_uppercase().as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into()).collect();
        assert_eq!(pin_from_hex(&colons.join(":")).map(|pin| hex(&pin)), Ok(digits.clone()));
        for bad in ["", "ab", &digits[1..], &format!("{}g", &digits[1..]), &format!("{digits}00")] {
            assert!(pin_from_hex(bad).is_err(), "{bad}");
        }
    }
}
