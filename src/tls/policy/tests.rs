//! A policy, seen from outside: which handshakes it lets happen, and what it says when it refuses.

use std::path::PathBuf;

use super::*;
use crate::error::Code;
use crate::tls::raw::{Pair, hex, verdict_words};

fn self_signed(names: &str) -> Policy {
    let policy = Policy::new();
    policy.add_self_signed(names).unwrap();
    policy
}

fn pair(server: &Policy, client: &Policy, name: &str) -> Pair {
    let server = server.server_context().unwrap().ssl().unwrap();
    Pair::new(server, client.client_context().unwrap().ssl(name, 443).unwrap())
}

/// The SHA-256 that a client would pin.
fn pin_of(server: &Policy, name: &str) -> String {
    let anybody = Policy::new();
    anybody.set_verify(Verify::None).unwrap();
    let pair = pair(server, &anybody, name);
    pair.handshake().unwrap();
    pair.client.peer_certificate().unwrap().sha256_hex()
}

#[test]
fn a_self_signed_server_is_pinned() {
    let server = self_signed("localhost,127.0.0.1");
    let client = Policy::new();
    client.set_pin(&pin_of(&server, "localhost")).unwrap();
    for name in ["localhost", "127.0.0.1", "other.example"] {
        let pair = pair(&server, &client, name);
        pair.handshake().unwrap();
        assert_eq!(pair.say(b"hello"), b"hello");
        assert_eq!(pair.client.verify_result(), 0);
    }
}

#[test]
fn another_certificate_than_the_pinned_is_refused() {
    let client = Policy::new();
    client.set_pin(&hex(&[7; 32])).unwrap();
    let pair = pair(&self_signed("localhost"), &client, "localhost");
    let refused = pair.handshake().unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");
    assert_eq!(verdict_words(pair.client.verify_result()), "certificate rejected");
}

#[test]
fn without_a_policy_an_unknown_issuer_is_refused() {
    let server = self_signed("localhost").server_context().unwrap().ssl().unwrap();
    let client = ClientContext::system().unwrap().ssl("localhost", 443).unwrap();
    let pair = Pair::new(server, client);
    pair.handshake().unwrap_err();
    assert_eq!(verdict_words(pair.client.verify_result()), "self-signed certificate");
}

#[test]
fn defaults_are_the_newest_of_everything() {
    let server = self_signed("localhost");
    let client = Policy::new();
    client.set_verify(Verify::None).unwrap();
    let pair = pair(&server, &client, "localhost");
    pair.handshake().unwrap();
    assert_eq!(pair.server.version_name(), c"TLSv1.3");
    assert_eq!(pair.server.cipher_name(), c"TLS_AES_256_GCM_SHA384");
    assert!(pair.server.group_name().to_lowercase().contains("x25519"), "{}", pair.server.group_name());
    assert_eq!(pair.server.sni(), "localhost");
    assert_eq!(pair.server.alpn(), b"");
    assert!(!pair.server.is_resumed());
    assert!(pair.server.peer_certificate().is_none());
    let shown = pair.client.peer_certificate().unwrap();
    assert_eq!((shown.subject(), shown.issuer()), ("CN=localhost".into(), "CN=localhost".into()));
}

#[test]
fn entries_that_do_not_fit_are_left_out_whole() {
    let server = self_signed("a.example,::1,127.0.0.1,b.example");
    let client = Policy::new();
    client.set_verify(Verify::None).unwrap();
    let pair = pair(&server, &client, "a.example");
    pair.handshake().unwrap();
    let shown = pair.client.peer_certificate().unwrap();
    let all = "DNS:a.example,IP:::1,IP:127.0.0.1,DNS:b.example";
    assert_eq!(shown.alt_names(all.len()), (all.to_owned(), false));
    assert_eq!(shown.alt_names(all.len() - 1), ("DNS:a.example,IP:::1,IP:127.0.0.1".to_owned(), true));
    assert_eq!(shown.alt_names(3), (String::new(), true));
}

#[test]
fn a_policy_in_use_is_frozen() {
    let policy = self_signed("localhost");
    let context = policy.server_context().unwrap();
    assert!(Arc::ptr_eq(&context, &policy.server_context().unwrap()));
    for refused in [
        policy.add_self_signed("a.example"),
        policy.set_verify(Verify::None),
        policy.set_trust_file(None),
        policy.set_pin(&hex(&[0; 32])),
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::State);
    }
}

#[test]
fn a_server_that_cannot_work_is_refused_and_not_frozen() {
    let policy = Policy::new();
    assert_eq!(policy.server_context().err().unwrap().code(), Code::Invalid);
    policy.add_self_signed("localhost").unwrap();
    for verify in [Verify::Optional, Verify::Required] {
        policy.set_verify(verify).unwrap();
        let refused = policy.server_context().err().unwrap();
        assert_eq!(refused.code(), Code::Invalid);
        assert!(refused.sentence().contains("trust"), "{refused}");
    }
    assert_eq!(policy.client_context().err(), None, "REQUIRED suits a client");
}

#[test]
fn a_missing_file_is_named_with_the_words_of_errno() {
    let missing = PathBuf::from("/nonexistent/server.crt");
    for refused in
        [Policy::new().add_certificate_file(&missing, &missing), Policy::new().set_trust_file(Some(&missing))]
    {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::System);
        assert!(refused.sentence().contains("/nonexistent/server.crt: No such file"), "{refused}");
    }
}
