//! What a host decides about TLS: certificates, trust, versions, tickets. From it come the contexts that
//! servers and clients make their connections with.
//!
//! Invariant: a call that fails has changed nothing, and once a context was made nothing changes.

mod alpn;
mod client;
mod files;
mod identity;
mod names;
mod server;
mod sessions;
mod settings;
mod suites;
mod tickets;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::tls::raw::{self, Secret};

use alpn::Protocols;
pub use client::ClientContext;
pub(crate) use client::check_server_name;
use files::{open_log, read_file, read_secret};
use identity::Identity;
pub use server::ServerContext;
use settings::{Settings, Trust};
pub use settings::{Verify, Version};

/// Certificates, trust and TLS policy. Any thread may use it; a server or client that uses it freezes it.
#[derive(Default)]
pub struct Policy {
    /// Guards the settings until they are frozen, and the contexts made from them.
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    settings: Settings,
    server: Option<Arc<ServerContext>>,
    client: Option<Arc<ClientContext>>,
}

impl Policy {
    /// No certificate, the defaults for everything else.
    pub fn new() -> Policy {
        Policy::default()
    }

    /// Runs `change` on the settings unless they are frozen. It must fail before it changes anything.
    fn change(&self, change: impl FnOnce(&mut Settings) -> Result<()>) -> Result<()> {
        let mut inner = self.inner.lock();
        if inner.server.is_some() || inner.client.is_some() {
            return Err(Error::state("this tlsloop_tls is in use by a server or client: make a new one"));
        }
        change(&mut inner.settings)
    }

    /// The password of encrypted keys that are added after this call; `None`: there is none.
    pub fn set_key_password(&self, password: Option<&[u8]>) -> Result<()> {
        self.change(|settings| {
            if password.is_some_and(|password| password.len() > raw::MAX_PASSWORD) {
                return Err(Error::invalid("password: longer than the 1024 bytes that OpenSSL takes"));
            }
            settings.password = password.map(|password| Secret::new(password.to_vec()));
            Ok(())
        })
    }

    /// Adds a certificate: `chain` is a PEM file with the leaf first, `key` one with its private key.
    pub fn add_certificate_file(&self, chain: &Path, key: &Path) -> Result<()> {
        self.change(|settings| {
            let (chain_name, key_name) = (chain.display().to_string(), key.display().to_string());
            let (chain, key) = (read_file(chain)?, read_secret(key)?);
            settings.add(&chain, &key, &chain_name, &key_name)
        })
    }

    /// Adds a certificate from PEM text in memory, the leaf first.
    pub fn add_certificate(&self, chain: &[u8], key: &[u8]) -> Result<()> {
        self.change(|settings| {
            some("chain", chain)?;
            some("key", key)?;
            settings.add(chain, &Secret::new(key.to_vec()), "chain", "key")
        })
    }

    /// Adds a certificate for `names` ("localhost,127.0.0.1") that nobody vouches for, with a new key.
    pub fn add_self_signed(&self, names: &str) -> Result<()> {
        self.change(|settings| {
            settings.identities.push(Arc::new(Identity::self_signed(names)?));
            Ok(())
        })
    }

    /// Sends this OCSP response, a file in DER, with the certificate that was added last.
    pub fn set_ocsp_file(&self, der: &Path) -> Result<()> {
        self.change(|settings| {
            // Contexts share certificates, and there is none before the policy is frozen.
            let last = settings.identities.last_mut().and_then(Arc::get_mut).ok_or_else(|| {
                Error::state("an OCSP response belongs to the certificate added last, and there is none")
            })?;
            last.set_staple(read_file(der)?, &der.display().to_string())
        })
    }

    /// Believes the certificates of a PEM file and no others; without a file, those of the system.
    pub fn set_trust_file(&self, ca_pem: Option<&Path>) -> Result<()> {
        self.change(|settings| {
            settings.trust = match ca_pem {
                None => Trust::System,
                Some(path) => {
                    let pem = read_file(path)?;
                    Trust::These(raw::certs_from_pem(&pem, &path.display().to_string())?)
                }
            };
            Ok(())
        })
    }

    /// Believes the certificates of a PEM text and no others.
    pub fn set_trust(&self, ca_pem: &[u8]) -> Result<()> {
        self.change(|settings| {
            some("ca_pem", ca_pem)?;
            settings.trust = Trust::These(raw::certs_from_pem(ca_pem, "ca_pem")?);
            Ok(())
        })
    }

    /// Refuses what the lists of a PEM file revoke. Every issuer of a chain must then have a list in it
    /// that is up to date.
    pub fn set_crl_file(&self, crl_pem: &Path) -> Result<()> {
        self.change(|settings| {
            let pem = read_file(crl_pem)?;
            settings.crls = raw::crls_from_pem(&pem, &crl_pem.display().to_string())?;
            Ok(())
        })
    }

    /// What is asked of the peer's certificate.
    pub fn set_verify(&self, verify: Verify) -> Result<()> {
        self.change(|settings| {
            settings.verify = verify;
            Ok(())
        })
    }

    /// A client takes exactly the certificate with this SHA-256 (64 hexadecimal digits; colons between
    /// them are allowed), instead of verifying chain, name and dates. Servers do not look at it.
    pub fn set_pin(&self, sha256_hex: &str) -> Result<()> {
        self.change(|settings| {
            settings.pin = Some(settings::pin_from_hex(sha256_hex)?);
            Ok(())
        })
    }

    /// The oldest and the newest version.
    pub fn set_versions(&self, min: Version, max: Version) -> Result<()> {
        self.change(|settings| {
            if min > max {
                return Err(Error::invalid("min: newer than max"));
            }
            settings.versions = Some((min, max));
            Ok(())
        })
    }

    /// The suites of TLS 1.2 and of TLS 1.3, in OpenSSL's notation; `None`: as they are.
    pub fn set_ciphers(&self, tls12_list: Option<&str>, tls13_suites: Option<&str>) -> Result<()> {
        self.change(|settings| {
            tls12_list.map_or(Ok(()), suites::check_ciphers)?;
            tls13_suites.map_or(Ok(()), suites::check_suites)?;
            let own = |list: &str| list.to_owned();
            settings.ciphers = tls12_list.map(own).or(settings.ciphers.take());
            settings.suites = tls13_suites.map(own).or(settings.suites.take());
            Ok(())
        })
    }

    /// The groups of the key exchange, the preferred first, in OpenSSL's notation.
    pub fn set_groups(&self, groups: &str) -> Result<()> {
        self.change(|settings| {
            suites::check_groups(groups)?;
            settings.groups = Some(groups.to_owned());
            Ok(())
        })
    }

    /// The application protocols, "h2,http/1.1", the preferred first. `required`: a connection on which
    /// none is agreed is refused.
    pub fn set_alpn(&self, comma_separated: &str, required: bool) -> Result<()> {
        self.change(|settings| {
            settings.alpn = Some(Protocols::parse(comma_separated, required)?);
            Ok(())
        })
    }

    /// The keys of tickets: the first file encrypts, all decrypt.
    pub fn set_ticket_key_files(&self, paths: &[&Path]) -> Result<()> {
        self.change(|settings| {
            settings.ticket_keys = Arc::new(tickets::read_ticket_keys(paths)?);
            Ok(())
        })
    }

    /// Appends the secrets of all connections to a file, for Wireshark.
    pub fn set_keylog_file(&self, path: &Path) -> Result<()> {
        self.change(|settings| {
            settings.key_log = Some(Arc::new(open_log(path)?));
            Ok(())
        })
    }

    /// The context of all servers that use this policy; made, and the policy frozen, at the first call.
    pub fn server_context(&self) -> Result<Arc<ServerContext>> {
        let mut inner = self.inner.lock();
        if let Some(made) = &inner.server {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(ServerContext::new(&inner.settings)?);
        inner.server = Some(Arc::clone(&made));
        Ok(made)
    }

    /// The context of all clients that use this policy; made, and the policy frozen, at the first call.
    pub fn client_context(&self) -> Result<Arc<ClientContext>> {
        let mut inner = self.inner.lock();
        if let Some(made) = &inner.client {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(ClientContext::new(&inner.settings)?);
        inner.client = Some(Arc::clone(&made));
        Ok(made)
    }
}

/// A text that was forgotten is a wrong argument, not a damaged one.
fn some(name: &str, text: &[u8]) -> Result<()> {
    if text.is_empty() { Err(Error::invalid(format!("{name} is empty"))) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
