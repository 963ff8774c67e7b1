//! What all connections of the servers of one policy have in common.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use super::alpn::Protocols;
use super::identity::Identity;
use super::names::{Names, names_of};
use super::settings::{Settings, Trust, Verify};
use super::tickets::TicketKeys;
use crate::error::{Error, Result};
use crate::sys::pipe::without_signals;
use crate::tls::raw::{Alpn, Cert, Demand, Hello, Hooks, Side, Ssl, SslCtx, TicketKey, nonce};

/// The request for a client's certificate names the trusted issuers, if their names are no more bytes than these; else it
/// names none, and the client picks for itself. TLS has room for 64 KiB (RFC 8446 4.2.4), many clients for less.
const MAX_ISSUER_NAMES: usize = 16 * 1024;

/// Makes the server's end of connections. Shared by all workers of all servers that use the policy.
pub struct ServerContext {
    ctx: SslCtx,
    identities: Vec<Arc<Identity>>,
}

impl ServerContext {
    /// Builds it, or says what is missing.
    pub(super) fn new(settings: &Settings) -> Result<ServerContext> {
        let identities = settings.identities.clone();
        let [first, others @ ..] = &identities[..] else {
            return Err(Error::invalid("tls: a server needs a certificate, and none was added"));
        };
        let demand = demand(settings)?;
        let mut ctx = settings.context(Side::Server, Box::new(ServerHooks::new(settings, demand)?))?;
        if !others.is_empty() {
            ctx.choose_by_hello();
        }
        first.install(&mut ctx)?;
        ctx.acknowledge_names();
        ctx.bind_tickets();
        ctx.staple();
        verify_clients(&mut ctx, settings, demand)?;
        if settings.alpn.is_some() {
            ctx.choose_alpn();
        }
        ctx.look_at_hello(settings.alpn.as_ref().is_some_and(|protocols| protocols.required));
        ctx.use_ticket_keys();
        Ok(ServerContext { ctx, identities })
    }

    /// The server's end of a new connection, before its handshake.
    pub(crate) fn ssl(&self) -> Result<Ssl> {
        let mut ssl = Ssl::new(&self.ctx)?;
        ssl.be_server();
        Ok(ssl)
    }

    /// What a person should know although the policy is used, one sentence each, as of now.
    pub fn warnings(&self) -> Vec<String> {
        self.identities.iter().flat_map(|identity| identity.warnings()).collect()
    }
}

/// Sets what is asked of clients, and who may resume what.
fn verify_clients(ctx: &mut SslCtx, settings: &Settings, demand: Demand) -> Result<()> {
    ctx.set_demand(demand);
    ctx.set_session_context(&session_facts(settings, demand)?)?;
    if demand == Demand::Nothing {
        return Ok(());
    }
    ctx.set_store(settings.store()?);
    match &settings.trust {
        Trust::These(certs) if certs.iter().map(Cert::name_len).sum::<usize>() <= MAX_ISSUER_NAMES => {
            certs.iter().try_for_each(|cert| ctx.add_client_ca(cert))
        }
        Trust::These(_) | Trust::Unset | Trust::System => Ok(()),
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
        Trust::System | Trust::These(_) => Ok(demand),
    }
}

/// Everything that decides whether a client is let in, and by which suites: a ticket is good only where all of it is the
/// same, also if two policies have the keys of their tickets from the same files.
fn session_facts(settings: &Settings, demand: Demand) -> Result<Vec<u8>> {
    let suites = (&settings.ciphers, &settings.suites);
    let mut facts = format!("tlsloop server {demand:?} {suites:?}").into_bytes();
    if demand == Demand::Nothing {
        return Ok(facts);
    }
    let mut add = |kind: u8, der: &[u8]| {
        facts.push(kind);
        facts.extend_from_slice(&(der.len() as u64).to_be_bytes());
        facts.extend_from_slice(der);
    };
    match &settings.trust {
        // What the system believes may have changed before the next policy reads it.
        Trust::Unset | Trust::System => add(b's', nonce()?.bytes()),
        Trust::These(certs) => certs.iter().for_each(|cert| add(b'c', &cert.der())),
    }
    settings.crls.iter().for_each(|crl| add(b'r', &crl.der()));
    Ok(facts)
}

/// What OpenSSL asks while handshakes run.
struct ServerHooks {
    identities: Vec<Arc<Identity>>,
    names: Names,
    /// Which certificates stand in for the first where a client cannot take its kind of key.
    siblings: Vec<usize>,
    /// The place of a certificate by the address of its object.
    places: HashMap<usize, usize>,
    alpn: Option<Protocols>,
    ticket_keys: TicketKeys,
    verdicts_end: Option<i64>,
    key_log: Option<Arc<File>>,
}

impl ServerHooks {
    fn new(settings: &Settings, demand: Demand) -> Result<ServerHooks> {
        let identities = settings.identities.clone();
        let names = Names::new(identities.iter().map(|own| (own.kind, names_of(&own.leaf))));
        let places = identities.iter().enumerate().map(|(i, own)| (own.leaf.address(), i)).collect();
        Ok(ServerHooks {
            siblings: names.siblings(0),
            names,
            places,
            identities,
            alpn: settings.alpn.clone(),
            ticket_keys: TicketKeys::new(&settings.ticket_keys)?,
            verdicts_end: settings.verdicts_end(demand),
            key_log: settings.key_log.clone(),
        })
    }

    fn takes(&self, hello: &Hello, place: usize) -> bool {
        let own = &self.identities[place];
        hello.takes(&own.leaf, &own.rest, &own.key, own.kind)
    }
}

impl Hooks for ServerHooks {
    fn choose(&self, hello: &Hello) -> bool {
        let [exact, wildcard] = hello.server_name().map_or([&[][..]; 2], |asked| self.names.find(asked));
        let sets = [exact, wildcard, &[0], &self.siblings];
        let mut sets = sets.into_iter().filter(|set| !set.is_empty());
        let best = sets.clone().next().unwrap_or(&[0]);
        let fitting = |set: &[usize]| {
            let fit: Vec<usize> = set.iter().copied().filter(|&place| self.takes(hello, place)).collect();
            (!fit.is_empty()).then_some(fit)
        };
        // If the client takes none, the handshake fails with the best, in OpenSSL's words.
        let set = sets.find_map(fitting).unwrap_or_else(|| best.to_vec());
        if set == [0] && hello.shows(&self.identities[0].leaf) {
            return true;
        }
        // Of several kinds OpenSSL picks by the order of signatures and suites: ECDSA before RSA.
        hello.show_none();
        set.iter().map(|&place| &self.identities[place]).all(|own| hello.show(&own.leaf, &own.rest, &own.key))
    }

    fn staple(&self, leaf: usize) -> Option<&[u8]> {
        self.identities[*self.places.get(&leaf)?].staple()
    }

    fn alpn(&self, offered: &[u8]) -> Alpn<'_> {
        self.alpn.as_ref().map_or(Alpn::Nothing, |protocols| protocols.choose(offered))
    }

    fn ticket_keys(&self) -> Arc<Vec<TicketKey>> {
        self.ticket_keys.current()
    }

    fn verdicts_end(&self) -> Option<i64> {
        self.verdicts_end
    }

    fn key_log(&self, line: &[u8]) {
        append_line(self.key_log.as_deref(), line);
    }
}

/// Appends one line in one write, so that lines of several threads do not mix. A full disk must not end
/// connections, nor a pipe that nobody reads the program, so what fails is lost.
pub(super) fn append_line(file: Option<&File>, line: &[u8]) {
    if let Some(mut file) = file {
        let _lost = without_signals(|| file.write_all(&[line, b"\n"].concat()));
    }
}
