//! Where a connection that this end begins goes, and what it speaks there.

use std::sync::Arc;

use crate::error::{Code, Error, Result};
use crate::tls::policy::{ClientContext, Policy, check_server_name};
use crate::tls::raw::{PeerKey, Ssl};

/// What this end speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// TLS from the first byte.
    Tls,
    /// Plain text.
    Plain,
    /// Plain text, until the host starts TLS.
    StartTls,
}

/// Where to connect to and how. Times are in milliseconds; `None`: never.
#[derive(Clone)]
pub struct Config {
    /// A name, an address (IPv6 also in brackets), or "unix:" and a path.
    pub host: String,
    /// The name to ask for and to find in the certificate, if it is another.
    pub server_name: Option<String>,
    /// Trust and policy; `None`: the system's trust, verified.
    pub policy: Option<Arc<Policy>>,
    /// What this end speaks.
    pub mode: Mode,
    /// The server's port; not looked at for unix sockets.
    pub port: u16,
    /// From the look-up of the name to the end of the handshake, in all.
    pub connect_timeout: Option<u64>,
    /// For one blocking send or receive.
    pub io_timeout: Option<u64>,
}

/// What is needed of a configuration once the address is known.
pub(crate) struct Target {
    mode: Mode,
    /// `None` in plain text.
    context: Option<Arc<ClientContext>>,
    peer: PeerKey,
}

impl Target {
    /// Makes the context of the policy, which freezes it; so it comes last of all that can be wrong with a configuration.
    pub(crate) fn of(config: &Config) -> Result<Target> {
        if let (Some(name), Mode::Tls | Mode::StartTls) = (&config.server_name, config.mode) {
            check_server_name(name)?;
        }
        let server_name = match &config.server_name {
            Some(name) => name,
            // Whoever listens at a path is this machine.
            None if config.host.starts_with("unix:") => "localhost",
            None => &config.host,
        };
        let context = match (config.mode, &config.policy) {
            (Mode::Plain, _) => None,
            (Mode::Tls | Mode::StartTls, Some(policy)) => Some(policy.client_context()?),
            (Mode::Tls | Mode::StartTls, None) => Some(ClientContext::system()?),
        };
        let (host, server_name) = (config.host.clone(), server_name.to_owned());
        Ok(Target { mode: config.mode, context, peer: PeerKey { host, server_name, port: config.port } })
    }

    /// What this end speaks.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// This end of TLS, before its handshake. A session of an earlier connection is resumed, if there is one.
    pub(crate) fn ssl(&self) -> Result<Ssl> {
        let context = self.context.as_ref().ok_or_else(|| Error::state("plain text has no handshake"))?;
        context.ssl(&self.peer)
    }

    /// To be asked once, when the handshake is done: whether what came out is acceptable.
    pub(crate) fn confirm(&self, ssl: &Ssl) -> Result<()> {
        self.context.as_ref().map_or(Ok(()), |context| context.confirm(ssl))
    }

    /// Says of a handshake that has failed what this end expected.
    pub(crate) fn explain(&self, error: &Error) -> Error {
        let is_pinned = self.context.as_ref().is_some_and(|context| context.is_pinned());
        let why = match error.code() {
            Code::Verify if is_pinned => "the server's certificate is not the one of the pin",
            _ => error.sentence(),
        };
        Error::new(error.code(), format!("server name \"{}\": {why}", self.peer.server_name))
    }
}
