//! Which certificate answers which client.

use super::*;
use crate::tls::raw::KeyKind;

/// The common name of the certificate that a client is shown.
fn shown(pair: &Pair) -> String {
    pair.handshake().unwrap();
    let subject = pair.client.peer_certificate().unwrap().subject();
    subject.strip_prefix("CN=").unwrap().to_owned()
}

fn leaf(root: &Issued, common_name: &str, kind: KeyKind, dns: &[&str]) -> Issued {
    root.issue(Wish { common_name, kind, dns, ..Wish::default() })
}

#[test]
fn names_decide_exact_before_wildcard_and_the_first_is_the_default() {
    let root = Issued::root("root");
    let kind = KeyKind::Ecdsa;
    let server = serving(&[
        &leaf(&root, "first", kind, &["first.example"]),
        &leaf(&root, "wild", kind, &["*.a.example"]),
        &leaf(&root, "exact", kind, &["www.a.example", "other.example"]),
        &leaf(&root, "only.common.name", kind, &[]),
    ]);
    for (name, expected) in [
        ("first.example", "first"),
        ("www.a.example", "exact"),
        ("WWW.A.EXAMPLE", "exact"),
        ("x.a.example", "wild"),
        ("other.example", "exact"),
        ("only.common.name", "only.common.name"),
        ("a.example", "first"),
        ("nobody.example", "first"),
        ("127.0.0.1", "first"),
    ] {
        assert_eq!(shown(&pair(&server, &trusting_anybody(), name)), expected, "{name}");
    }
}

#[test]
fn ecdsa_comes_before_rsa_where_the_client_takes_both() {
    let root = Issued::root("root");
    let server = serving(&[
        &leaf(&root, "first", KeyKind::Ecdsa, &["first.example"]),
        &leaf(&root, "rsa", KeyKind::Rsa, &["a.example"]),
        &leaf(&root, "ecdsa", KeyKind::Ecdsa, &["a.example"]),
    ]);
    let client = |version: Version| {
        let client = trusting_anybody();
        client.set_versions(version, version).unwrap();
        client
    };
    for version in [Version::Tls12, Version::Tls13] {
        assert_eq!(shown(&pair(&server, &client(version), "a.example")), "ecdsa", "{version:?}");
        let prefers_rsa = pair(&server, &client(version), "a.example");
        prefers_rsa.limit_signatures("RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256");
        assert_eq!(shown(&prefers_rsa), "ecdsa", "{version:?}");
        let limited = pair(&server, &client(version), "a.example");
        limited.limit_signatures("RSA-PSS+SHA256:RSA+SHA256");
        assert_eq!(shown(&limited), "rsa", "{version:?}");
    }
    let old = client(Version::Tls12);
    old.set_ciphers(Some("ECDHE-RSA-AES128-GCM-SHA256"), None).unwrap();
    assert_eq!(shown(&pair(&server, &old, "a.example")), "rsa");
}

#[test]
fn a_client_that_cannot_take_the_first_gets_its_sibling() {
    let root = Issued::root("root");
    let server = serving(&[
        &leaf(&root, "ecdsa", KeyKind::Ecdsa, &["a.example"]),
        &leaf(&root, "stranger", KeyKind::Rsa, &["b.example"]),
        &leaf(&root, "rsa", KeyKind::Rsa, &["a.example"]),
    ]);
    assert_eq!(shown(&pair(&server, &trusting_anybody(), "127.0.0.1")), "ecdsa");
    let limited = pair(&server, &trusting_anybody(), "127.0.0.1");
    limited.limit_signatures("RSA-PSS+SHA256");
    assert_eq!(shown(&limited), "rsa");
    let old = trusting_anybody();
    old.set_versions(Version::Tls12, Version::Tls12).unwrap();
    old.set_ciphers(Some("ECDHE-RSA-AES128-GCM-SHA256"), None).unwrap();
    assert_eq!(shown(&pair(&server, &old, "127.0.0.1")), "rsa");
}

/// Suites of TLS 1.2 do not tell Ed25519 from ECDSA; the list of signatures does (RFC 8422 5.1.1).
#[test]
fn a_client_without_ed25519_gets_another() {
    let root = Issued::root("root");
    let server = serving(&[
        &leaf(&root, "ed25519", KeyKind::EdDsa, &["a.example"]),
        &leaf(&root, "ecdsa", KeyKind::Ecdsa, &["*.example"]),
    ]);
    for version in [Version::Tls12, Version::Tls13] {
        for (signatures, expected) in [("ECDSA+SHA256", "ecdsa"), ("ECDSA+SHA256:ed25519", "ed25519")] {
            let client = trusting_anybody();
            client.set_versions(version, version).unwrap();
            let pair = pair(&server, &client, "a.example");
            pair.limit_signatures(signatures);
            assert_eq!(shown(&pair), expected, "{version:?}");
        }
    }
}

#[test]
fn the_first_is_the_default_also_if_it_is_rsa() {
    let root = Issued::root("root");
    let server = serving(&[
        &leaf(&root, "rsa", KeyKind::Rsa, &["a.example"]),
        &leaf(&root, "ecdsa", KeyKind::Ecdsa, &["a.example"]),
    ]);
    assert_eq!(shown(&pair(&server, &trusting_anybody(), "127.0.0.1")), "rsa");
    assert_eq!(shown(&pair(&server, &trusting_anybody(), "a.example")), "ecdsa");
}

#[test]
fn a_client_that_takes_nothing_is_refused() {
    let root = Issued::root("root");
    let server = serving(&[
        &leaf(&root, "first", KeyKind::Ecdsa, &["a.example"]),
        &leaf(&root, "other", KeyKind::Ecdsa, &["b.example"]),
    ]);
    for name in ["a.example", "b.example", "127.0.0.1"] {
        let pair = pair(&server, &trusting_anybody(), name);
        pair.limit_signatures("RSA-PSS+SHA256");
        let refused = pair.handshake().unwrap_err();
        assert!(refused.contains("no suitable signature algorithm"), "{refused}");
    }
}

#[test]
fn hundreds_of_names_have_their_own_certificates() {
    let root = Issued::root("root");
    let names: Vec<String> = (0..300).map(|i| format!("host{i}.example")).collect();
    let issued: Vec<Issued> = names.iter().map(|name| leaf(&root, name, KeyKind::Ecdsa, &[name])).collect();
    let server = serving(&issued.iter().collect::<Vec<_>>());
    for name in names.iter().step_by(37) {
        assert_eq!(&shown(&pair(&server, &trusting(&root), name)), name);
    }
}

#[test]
fn a_second_client_hello_is_answered_like_the_first() {
    let root = Issued::root("root");
    let server = serving(&[
        &leaf(&root, "first", KeyKind::Ecdsa, &["first.example"]),
        &leaf(&root, "other", KeyKind::Ecdsa, &["a.example"]),
    ]);
    server.set_groups("P-384").unwrap();
    let client = trusting(&root);
    client.set_groups("X25519:P-384").unwrap();
    let pair = pair(&server, &client, "a.example");
    assert_eq!(shown(&pair), "other");
    assert_eq!(pair.client.group_name(), "secp384r1");
}

#[test]
fn several_threads_make_connections_at_once() {
    let root = Issued::root("root");
    let server = serving(&[
        &leaf(&root, "first", KeyKind::Ecdsa, &["first.example"]),
        &leaf(&root, "other", KeyKind::Ecdsa, &["a.example"]),
    ]);
    server.set_alpn("x", false).unwrap();
    let client = trusting(&root);
    client.set_alpn("x", true).unwrap();
    std::thread::scope(|scope| {
        for name in ["first.example", "a.example", "first.example", "a.example"] {
            let (server, client) = (&server, &client);
            scope.spawn(move || {
                for _ in 0..25 {
                    let pair = talk(server, client, name);
                    let subject = pair.client.peer_certificate().unwrap().subject();
                    assert_eq!(subject == "CN=first", name == "first.example");
                }
            });
        }
    });
}
