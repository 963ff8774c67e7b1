//! What a policy does when little was said.

use super::*;
use crate::error::Code;
use crate::tls::raw::{hex, verdict_words};

/// The SHA-256 that a client would pin.
fn pin_of(server: &Policy, name: &str) -> String {
    talk(server, &trusting_anybody(), name).client.peer_certificate().unwrap().sha256_hex()
}

#[test]
fn a_self_signed_server_is_pinned() {
    let server = self_signed("localhost,127.0.0.1");
    let client = Policy::new();
    client.set_pin(&pin_of(&server, "localhost")).unwrap();
    for name in ["localhost", "127.0.0.1", "other.example"] {
        assert_eq!(talk(&server, &client, name).client.verify_result(), 0);
    }
}

#[test]
fn another_certificate_than_the_pinned_is_refused() {
    let client = Policy::new();
    client.set_pin(&hex(&[7; 32])).unwrap();
    client.set_verify(Verify::None).unwrap();
    let pair = pair(&self_signed("localhost"), &client, "localhost");
    let refused = pair.handshake().unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");
    assert_eq!(verdict_words(pair.client.verify_result()), "certificate rejected");
    let heard = pair.server_hears().unwrap_err();
    assert!(heard.contains("alert bad certificate"), "{heard}");
}

#[test]
fn l38_without_a_policy_an_unknown_issuer_is_refused() {
    let server = self_signed("localhost").server_context().unwrap().ssl().unwrap();
    let client = ClientContext::system().unwrap().ssl(&peer("localhost", "localhost", 443)).unwrap();
    let pair = Pair::new(server, client);
    pair.handshake().unwrap_err();
    assert_eq!(verdict_words(pair.client.verify_result()), "self-signed certificate");
}

#[test]
fn l38_a_wrong_name_is_refused() {
    let root = Issued::root("root");
    let leaf = root.issue(Wish { dns: &["a.example", "*.b.example"], ..Wish::default() });
    let server = serving(&[&leaf]);
    for name in ["a.example", "A.Example.", "x.b.example"] {
        talk(&server, &trusting(&root), name);
    }
    for (name, words) in [
        ("b.example", "hostname mismatch"),
        ("x.y.b.example", "hostname mismatch"),
        ("127.0.0.1", "IP address mismatch"),
    ] {
        let pair = pair(&server, &trusting(&root), name);
        let refused = pair.handshake().unwrap_err();
        assert!(refused.contains("certificate verify failed"), "{refused}");
        assert_eq!(verdict_words(pair.client.verify_result()), words, "{name}");
    }
}

#[test]
fn the_trust_of_a_file_is_all_the_trust() {
    let (root, other) = (Issued::root("root"), Issued::root("other"));
    let server = serving(&[&root.issue(Wish { dns: &["a.example"], ..Wish::default() })]);
    let dir = Dir::new();
    let both = dir.file("both.pem", &[other.cert_pem(), root.cert_pem()].concat());
    let client = Policy::new();
    client.set_trust_file(Some(&both)).unwrap();
    talk(&server, &client, "a.example");
    pair(&server, &trusting(&other), "a.example").handshake().unwrap_err();
}

#[test]
fn a_trusted_leaf_needs_no_root() {
    let root = Issued::root("root");
    let leaf = root.issue(Wish { dns: &["a.example"], ..Wish::default() });
    let client = Policy::new();
    client.set_trust(&leaf.cert_pem()).unwrap();
    talk(&serving(&[&leaf]), &client, "a.example");
}

#[test]
fn the_newest_of_everything_is_agreed_on() {
    let pair = talk(&self_signed("localhost"), &trusting_anybody(), "localhost");
    assert_eq!(pair.server.version_name(), c"TLSv1.3");
    assert_eq!(pair.server.cipher_name(), c"TLS_AES_128_GCM_SHA256");
    let group = pair.server.group_name().to_lowercase();
    assert!(group.contains("x25519"), "{group}");
    assert_eq!(pair.server.sni(), "localhost");
    assert_eq!(pair.server.alpn(), b"");
    assert!(!pair.server.is_resumed());
    assert!(pair.server.peer_certificate().is_none());
    let shown = pair.client.peer_certificate().unwrap();
    assert_eq!((shown.subject(), shown.issuer()), ("CN=localhost".into(), "CN=localhost".into()));
}

#[test]
fn tls_1_2_is_forward_secret_and_authenticated() {
    let client = trusting_anybody();
    client.set_versions(Version::Tls12, Version::Tls12).unwrap();
    let pair = talk(&self_signed("localhost"), &client, "localhost");
    assert_eq!(pair.server.version_name(), c"TLSv1.2");
    assert_eq!(pair.server.cipher_name(), c"ECDHE-ECDSA-AES128-GCM-SHA256");
}

/// A client on AWS-LC has no means to ask for one.
#[cfg(not(feature = "aws-lc"))]
#[test]
fn a_second_handshake_is_refused() {
    let client = trusting_anybody();
    client.set_versions(Version::Tls12, Version::Tls12).unwrap();
    let pair = talk(&self_signed("localhost"), &client, "localhost");
    let refused = pair.renegotiate().unwrap_err();
    assert!(refused.contains("no renegotiation"), "{refused}");
}

#[test]
fn a_suite_without_forward_secrecy_is_not_taken() {
    let root = Issued::root("root");
    let rsa = root.issue(Wish { kind: raw::KeyKind::Rsa, ..Wish::default() });
    for suite in ["AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA"] {
        let client = trusting_anybody();
        client.set_versions(Version::Tls12, Version::Tls12).unwrap();
        client.set_ciphers(Some(suite), None).unwrap();
        let refused = pair(&serving(&[&rsa]), &client, "a.example").handshake().unwrap_err();
        assert!(refused.contains("no shared cipher"), "{suite}: {refused}");
    }
}

#[test]
fn versions_suites_and_groups_are_what_was_set() {
    let server = self_signed("localhost");
    server.set_versions(Version::Tls13, Version::Tls13).unwrap();
    server.set_ciphers(None, Some("TLS_CHACHA20_POLY1305_SHA256")).unwrap();
    server.set_groups("P-384").unwrap();
    let pair_ = talk(&server, &trusting_anybody(), "localhost");
    assert_eq!(pair_.client.cipher_name(), c"TLS_CHACHA20_POLY1305_SHA256");
    assert_eq!(pair_.client.group_name(), "secp384r1");
    let old = trusting_anybody();
    old.set_versions(Version::Tls12, Version::Tls12).unwrap();
    let refused = pair(&server, &old, "localhost").handshake().unwrap_err();
    assert!(refused.contains("unsupported protocol"), "{refused}");
    let wrong_order = Policy::new().set_versions(Version::Tls13, Version::Tls12);
    assert_eq!(wrong_order.unwrap_err().code(), Code::Invalid);
}

#[test]
fn protocols_are_agreed_on() {
    let offering = |list: &str| {
        let client = trusting_anybody();
        client.set_alpn(list, false).unwrap();
        client
    };
    for required in [false, true] {
        let server = self_signed("localhost");
        server.set_alpn("h2,http/1.1", required).unwrap();
        let both = talk(&server, &offering("http/1.1,h2"), "localhost");
        assert_eq!((both.server.alpn(), both.client.alpn()), (b"h2".to_vec(), b"h2".to_vec()));
        for client in [offering("other"), trusting_anybody()] {
            let pair = pair(&server, &client, "localhost");
            let outcome = pair.handshake();
            assert_eq!(outcome.is_err(), required, "{outcome:?}");
            assert_eq!(pair.server.alpn(), b"");
        }
    }
}

#[test]
fn the_alert_without_a_protocol_is_no_application_protocol() {
    let server = self_signed("localhost");
    server.set_alpn("h2", true).unwrap();
    for list in [Some("other"), None] {
        let client = trusting_anybody();
        list.map_or(Ok(()), |list| client.set_alpn(list, false)).unwrap();
        let pair = pair(&server, &client, "localhost");
        let refused = pair.handshake().unwrap_err();
        assert!(refused.contains("no application protocol"), "{list:?}: {refused}");
        let heard = pair.client_hears().unwrap_err();
        assert!(heard.contains("alert no application protocol"), "{list:?}: {heard}");
    }
}

#[test]
fn a_client_that_requires_a_protocol_does_not_go_on_without() {
    let client = trusting_anybody();
    client.set_alpn("h2", true).unwrap();
    let pair = pair(&self_signed("localhost"), &client, "localhost");
    pair.handshake().unwrap();
    let refused = client.client_context().unwrap().confirm(&pair.client).unwrap_err();
    assert!(refused.sentence().contains("ALPN"), "{refused}");
}

#[test]
fn a_key_log_has_the_secrets_of_both_sides() {
    let dir = Dir::new();
    let path = dir.file("keys.log", b"# before\n");
    let server = self_signed("localhost");
    server.set_keylog_file(&path).unwrap();
    talk(&server, &trusting_anybody(), "localhost");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# before\n"), "{text}");
    for label in ["CLIENT_HANDSHAKE_TRAFFIC_SECRET ", "SERVER_TRAFFIC_SECRET_0 "] {
        assert!(text.lines().any(|line| line.starts_with(label)), "{label}: {text}");
    }
    let nowhere = server_less().set_keylog_file(Path::new("/nonexistent/keys.log"));
    assert!(nowhere.unwrap_err().sentence().starts_with("/nonexistent/keys.log: No such file"));
}

fn server_less() -> Policy {
    Policy::new()
}

#[test]
fn a_policy_in_use_is_frozen() {
    let policy = self_signed("localhost");
    let context = policy.server_context().unwrap();
    assert!(Arc::ptr_eq(&context, &policy.server_context().unwrap()));
    let root = Issued::root("root");
    let path = Path::new("/nonexistent");
    for refused in [
        policy.set_key_password(None),
        policy.add_certificate_file(path, path),
        policy.add_certificate(&root.cert_pem(), &root.key_pem(None)),
        policy.add_self_signed("a.example"),
        policy.set_ocsp_file(path),
        policy.set_trust_file(None),
        policy.set_trust(&root.cert_pem()),
        policy.set_crl_file(path),
        policy.set_verify(Verify::None),
        policy.set_pin(&hex(&[0; 32])),
        policy.set_versions(Version::Tls12, Version::Tls13),
        policy.set_ciphers(None, None),
        policy.set_groups("P-256"),
        policy.set_alpn("h2", false),
        policy.set_ticket_key_files(&[path]),
        policy.set_keylog_file(path),
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
    policy.set_trust_file(None).unwrap();
    assert!(policy.server_context().is_ok(), "the system's trust, asked for by name");
}

#[test]
fn optional_is_no_client_policy() {
    let policy = Policy::new();
    policy.set_verify(Verify::Optional).unwrap();
    assert_eq!(policy.client_context().err().unwrap().code(), Code::Invalid);
    policy.set_verify(Verify::Required).unwrap();
    assert!(policy.client_context().is_ok());
}

#[test]
fn a_client_that_prefers_chacha20_gets_it() {
    let client = trusting_anybody();
    client.set_ciphers(None, Some("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256")).unwrap();
    let pair = talk(&self_signed("localhost"), &client, "localhost");
    assert_eq!(pair.server.cipher_name(), c"TLS_CHACHA20_POLY1305_SHA256");
}

#[test]
fn the_order_of_the_server_counts() {
    let client = trusting_anybody();
    client
        .set_ciphers(None, Some("TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"))
        .unwrap();
    assert_eq!(talk(&self_signed("localhost"), &client, "localhost").server.cipher_name(), c"TLS_AES_128_GCM_SHA256");
    let server = self_signed("localhost");
    server.set_ciphers(None, Some("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384")).unwrap();
    assert_eq!(talk(&server, &client, "localhost").server.cipher_name(), c"TLS_CHACHA20_POLY1305_SHA256");
}
