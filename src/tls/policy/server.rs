//! What all connections of the servers of one policy have in common.

use super::settings::{NoHooks, Settings, Trust, Verify};
use crate::error::{Error, Result};
use crate::tls::raw::{Demand, Side, Ssl, SslCtx};

/// Makes the server's end of connections. Shared by all workers of all servers that use the policy.
pub struct ServerContext {
    ctx: SslCtx,
    warnings: Vec<String>,
}

impl ServerContext {
    /// Builds it, or says what is missing.
    pub(super) fn new(settings: &Settings) -> Result<ServerContext> {
        if settings.identities.is_empty() {
            return Err(Error::invalid("tls: a server needs a certificate, and none was added"));
        }
        let demand = demand(settings)?;
        let mut ctx = SslCtx::new(Side::Server, Box::new(NoHooks))?;
        // Later ones of the same kind would replace the first, which is the default.
        for identity in settings.identities.iter().rev() {
            identity.install(&mut ctx)?;
        }
        ctx.set_demand(demand);
        if demand != Demand::Nothing {
            ctx.set_store(settings.store()?);
            if let Trust::These(certs) = &settings.trust {
                certs.iter().try_for_each(|cert| ctx.add_client_ca(cert))?;
            }
        }
        ctx.set_session_context(&session_facts(settings, demand))?;
        let warnings = settings.identities.iter().filter_map(|identity| identity.warning()).collect();
        Ok(ServerContext { ctx, warnings })
    }

    /// The server's end of a new connection, before its handshake.
    pub(crate) fn ssl(&self) -> Result<Ssl> {
        let mut ssl = Ssl::new(&self.ctx)?;
        ssl.be_server();
        Ok(ssl)
    }

    /// What a person should know although the policy is used, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// What is asked of clients.
fn demand(settings: &Settings) -> Result<Demand> {
    let demand = match settings.verify {
        Verify::Default | Verify::None => return Ok(Demand::Nothing),
        Verify::Optional => Demand::IfGiven,
        Verify::Required => Demand::Required,
    };
    match settings.trust {
        Trust::Unset => {
            Err(Error::invalid("tls: clients are to be verified, and no trust was set (tlsloop_tls_set_trust_file)"))
        }
        _ => Ok(demand),
    }
}

/// Everything that decides whether a client is let in: a ticket is good only where all of it is the
/// same, also if two policies have the keys of their tickets from the same files.
fn session_facts(settings: &Settings, demand: Demand) -> Vec<u8> {
    let mut facts = format!("tlsloop server, {demand:?}").into_bytes();
    let trusted: &[_] = match (&settings.trust, demand) {
        (_, Demand::Nothing) | (Trust::Unset, _) => &[],
        (Trust::System, _) => {
            facts.extend_from_slice(b", system");
            &[]
        }
        (Trust::These(certs), _) => certs,
    };
    for cert in trusted {
        let der = cert.der();
        facts.extend_from_slice(&(der.len() as u64).to_be_bytes());
        facts.extend_from_slice(&der);
    }
    facts
}
