//! What a host decides about TLS: certificates, trust, verification. From it come the contexts that
//! servers and clients make their connections with.
//!
//! Invariant: a call that fails has changed nothing, and once a context was made nothing changes.

mod client;
mod files;
mod identity;
mod server;
mod settings;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::tls::raw;

pub use client::ClientContext;
use files::{read_file, read_secret};
use identity::Identity;
pub use server::ServerContext;
pub use settings::Verify;
use settings::{Settings, Trust};

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

    /// Adds a certificate: `chain` is a PEM file with the leaf first, `key` one with its private key.
    pub fn add_certificate_file(&self, chain: &Path, key: &Path) -> Result<()> {
        self.change(|settings| {
            let (chain_name, key_name) = (chain.display().to_string(), key.display().to_string());
            let chain = raw::chain_from_pem(&read_file(chain)?, &chain_name)?;
            let key = raw::key_from_pem(read_secret(key)?.bytes(), None, &key_name)?;
            settings.identities.push(Identity::new(chain, key, &chain_name, &key_name)?);
            Ok(())
        })
    }

    /// Adds a certificate for `names` ("localhost,127.0.0.1") that nobody vouches for, with a new key.
    pub fn add_self_signed(&self, names: &str) -> Result<()> {
        self.change(|settings| {
            settings.identities.push(Identity::self_signed(names)?);
            Ok(())
        })
    }

    /// Believes the certificates of a PEM file and no others; without a file, those of the system.
    pub fn set_trust_file(&self, ca_pem: Option<&Path>) -> Result<()> {
        self.change(|settings| {
            settings.trust = match ca_pem {
                None => Trust::System,
                Some(path) => {
                    let certs = raw::certs_from_pem(&read_file(path)?, &path.display().to_string())?;
                    Trust::These(certs)
                }
            };
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

#[cfg(test)]
mod tests;
