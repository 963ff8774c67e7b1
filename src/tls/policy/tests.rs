//! A policy, seen from outside: which handshakes it lets happen, and what it says when it refuses.

mod certificates;
mod choice;
mod clients;
mod dates;
mod defaults;
mod resumption;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::tls::raw::{Issued, Pair, PeerKey, Wish};

/// A directory of one test, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tlsloop-policy-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A policy with one certificate of its own making.
fn self_signed(names: &str) -> Policy {
    let policy = Policy::new();
    policy.add_self_signed(names).unwrap();
    policy
}

/// A policy with these certificates, in this order.
fn serving(certs: &[&Issued]) -> Policy {
    let policy = Policy::new();
    for cert in certs {
        policy.add_certificate(&cert.chain_pem(), &cert.key_pem(None)).unwrap();
    }
    policy
}

/// A client's policy that believes one issuer.
fn trusting(root: &Issued) -> Policy {
    let policy = Policy::new();
    policy.set_trust(&root.cert_pem()).unwrap();
    policy
}

/// A client's policy that believes everybody.
fn trusting_anybody() -> Policy {
    let policy = Policy::new();
    policy.set_verify(Verify::None).unwrap();
    policy
}

/// Two ends before their handshake.
fn pair(server: &Policy, client: &Policy, name: &str) -> Pair {
    let server = server.server_context().unwrap().ssl().unwrap();
    Pair::new(server, client.client_context().unwrap().ssl(&peer(name, name, 443)).unwrap())
}

/// Where a client connects to, and under which name.
fn peer(host: &str, name: &str, port: u16) -> PeerKey {
    PeerKey { host: host.to_owned(), server_name: name.to_owned(), port }
}

/// One whole conversation, after which a client has the tickets of the server.
fn talk(server: &Policy, client: &Policy, name: &str) -> Pair {
    let pair = pair(server, client, name);
    pair.handshake().unwrap();
    client.client_context().unwrap().confirm(&pair.client).unwrap();
    assert_eq!(pair.say(b"hello"), b"hello");
    pair
}
