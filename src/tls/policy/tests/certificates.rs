//! Certificates and keys, good and bad: a bad one is named and changes nothing.

use super::*;
use crate::error::Code;
use crate::tls::raw::KeyKind;

/// The sentence of a call that must fail.
fn refused(outcome: Result<()>, code: Code) -> String {
    let error = outcome.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    error.sentence().to_owned()
}

#[test]
fn every_kind_of_key_serves() {
    let root = Issued::root("root");
    let dir = Dir::new();
    for kind in [KeyKind::Rsa, KeyKind::Ecdsa, KeyKind::EdDsa] {
        let leaf = root.issue(Wish { dns: &["a.example"], kind, ..Wish::default() });
        let chain = dir.file("chain.pem", &leaf.chain_pem());
        let key = dir.file("key.pem", &leaf.key_pem(None));
        let server = Policy::new();
        server.add_certificate_file(&chain, &key).unwrap();
        let pair = talk(&server, &trusting(&root), "a.example");
        assert_eq!(pair.client.peer_certificate().unwrap().der(), leaf.cert.der());
    }
}

#[test]
fn a_missing_file_is_named_with_the_words_of_errno() {
    let missing = Path::new("/nonexistent/x.pem");
    for outcome in [
        Policy::new().add_certificate_file(missing, missing),
        Policy::new().set_trust_file(Some(missing)),
        Policy::new().set_crl_file(missing),
        Policy::new().set_ticket_key_files(&[missing]),
        self_signed("localhost").set_ocsp_file(missing),
    ] {
        let sentence = refused(outcome, Code::System);
        assert!(sentence.starts_with("/nonexistent/x.pem: No such file"), "{sentence}");
    }
    let directory = Dir::new();
    let sentence = refused(Policy::new().set_trust_file(Some(&directory.0)), Code::System);
    assert!(sentence.contains("Is a directory"), "{sentence}");
    let endless = refused(Policy::new().set_trust_file(Some(Path::new("/dev/zero"))), Code::System);
    assert!(endless.starts_with("/dev/zero: File too large"), "{endless}");
}

#[test]
fn l34_a_damaged_part_is_named_and_changes_nothing() {
    let root = Issued::root("root");
    let old = root.issue(Wish { dns: &["a.example"], ..Wish::default() });
    let new = root.issue(Wish { dns: &["a.example"], ..Wish::default() });
    let server = serving(&[&old]);
    let dir = Dir::new();
    let (chain, key) = (new.chain_pem(), new.key_pem(None));
    let half = |bytes: &[u8]| bytes[..bytes.len() * 3 / 4].to_vec();
    let mut flipped = chain.clone();
    let middle = new.cert_pem().len() + 200;
    flipped[middle] ^= 1;
    for (name, chain, key, culprit) in [
        ("empty chain", Vec::new(), key.clone(), "chain.pem"),
        ("empty key", chain.clone(), Vec::new(), "key.pem"),
        ("half a chain", half(&chain), key.clone(), "chain.pem"),
        ("half a key", chain.clone(), half(&key), "key.pem"),
        ("noise in the second certificate", flipped, key.clone(), "chain.pem"),
        ("a key for a chain", key.clone(), key.clone(), "chain.pem"),
        ("a chain for a key", chain.clone(), chain.clone(), "key.pem"),
        ("garbage", vec![0xff; 5000], key.clone(), "chain.pem"),
        ("the key of another", chain.clone(), old.key_pem(None), "key.pem"),
    ] {
        let (chain, key) = (dir.file("chain.pem", &chain), dir.file("key.pem", &key));
        let sentence = refused(server.add_certificate_file(&chain, &key), Code::Tls);
        assert!(sentence.contains(dir.0.join(culprit).to_str().unwrap()), "{name}: {sentence}");
    }
    let mismatch = refused(server.add_certificate(&chain, &old.key_pem(None)), Code::Tls);
    assert!(mismatch.contains("do not belong together: key values mismatch"), "{mismatch}");
    let pair = talk(&server, &trusting(&root), "a.example");
    assert_eq!(pair.client.peer_certificate().unwrap().der(), old.cert.der());
}

#[test]
fn a_damaged_list_keeps_the_old_trust() {
    let root = Issued::root("root");
    let server = serving(&[&root.issue(Wish { dns: &["a.example"], ..Wish::default() })]);
    let client = trusting(&root);
    refused(client.set_trust(b""), Code::Invalid);
    for bad in [&b"garbage"[..], &root.cert_pem()[..200], &root.crl_pem(&[])] {
        let sentence = refused(client.set_trust(bad), Code::Tls);
        assert!(sentence.starts_with("ca_pem: "), "{sentence}");
    }
    talk(&server, &client, "a.example");
}

#[test]
fn l38_an_encrypted_key_needs_its_password_and_asks_nobody() {
    let root = Issued::root("root");
    let leaf = root.issue(Wish { dns: &["a.example"], ..Wish::default() });
    let (chain, key) = (leaf.chain_pem(), leaf.key_pem(Some("open sesame")));
    let server = Policy::new();
    let sentence = refused(server.add_certificate(&chain, &key), Code::Tls);
    assert!(sentence.starts_with("key: the key is encrypted and no password was set"), "{sentence}");
    server.set_key_password(Some(b"wrong")).unwrap();
    let sentence = refused(server.add_certificate(&chain, &key), Code::Tls);
    assert!(sentence.starts_with("key: the password does not open the key"), "{sentence}");
    refused(server.set_key_password(Some(&[b'x'; 1025])), Code::Invalid);
    server.set_key_password(Some(b"open sesame")).unwrap();
    server.add_certificate(&chain, &key).unwrap();
    talk(&server, &trusting(&root), "a.example");
}

#[test]
fn l34_an_expired_certificate_serves_with_a_warning() {
    let root = Issued::root("root");
    let expired = root.issue(Wish { common_name: "old", dns: &["a.example"], days: (-9, -2), ..Wish::default() });
    let future = root.issue(Wish { common_name: "young", days: (2, 9), ..Wish::default() });
    let good = root.issue(Wish::default());
    let server = serving(&[&expired, &good, &future]);
    assert_eq!(
        server.server_context().unwrap().warnings(),
        ["chain: the certificate of CN=old has expired", "chain: the certificate of CN=young is not valid yet"]
    );
    talk(&server, &trusting_anybody(), "a.example");
    let pair = pair(&server, &trusting(&root), "a.example");
    pair.handshake().unwrap_err();
    assert_eq!(raw::verdict_words(pair.client.verify_result()), "certificate has expired");
}

#[test]
fn a_weak_key_is_refused_by_the_call_that_names_it() {
    let root = Issued::root("root");
    let weak = root.issue_weak();
    let sentence = refused(Policy::new().add_certificate(&weak.chain_pem(), &weak.key_pem(None)), Code::Tls);
    assert!(sentence.contains("key too small"), "{sentence}");
}

#[test]
fn an_ocsp_response_goes_with_its_certificate() {
    let root = Issued::root("root");
    let (a, b) = (
        root.issue(Wish { dns: &["a.example"], ..Wish::default() }),
        root.issue(Wish { dns: &["b.example"], ..Wish::default() }),
    );
    let dir = Dir::new();
    let fresh = root.ocsp_der(&b, 1000);
    let server = serving(&[&a, &b]);
    let wrong = refused(server.set_ocsp_file(&dir.file("a.der", &root.ocsp_der(&a, 1000))), Code::Tls);
    assert!(wrong.contains("a.der") && wrong.contains("added last"), "{wrong}");
    // Numbers are an issuer's own.
    let other = Issued::root("other");
    let namesake = other.issue(Wish { dns: &["b.example"], ..Wish::default() }).numbered_like(&b);
    let strange = other.ocsp_der(&namesake, 1000);
    for bad in [&b""[..], b"garbage", &fresh[..fresh.len() - 1], &[&fresh[..], b"x"].concat(), &strange] {
        refused(server.set_ocsp_file(&dir.file("bad.der", bad)), Code::Tls);
    }
    server.set_ocsp_file(&dir.file("b.der", &fresh)).unwrap();
    for (name, staple) in [("a.example", None), ("b.example", Some(fresh))] {
        let pair = pair(&server, &trusting(&root), name);
        pair.ask_for_staple();
        pair.handshake().unwrap();
        assert_eq!(pair.staple(), staple, "{name}");
    }
    assert_eq!(server.server_context().unwrap().warnings(), [""; 0]);
    refused(Policy::new().set_ocsp_file(&dir.file("b.der", b"")), Code::State);
}

#[test]
fn an_ocsp_response_that_is_out_of_date_is_kept_back() {
    let root = Issued::root("root");
    let leaf = root.issue(Wish { dns: &["a.example"], ..Wish::default() });
    let dir = Dir::new();
    let server = serving(&[&leaf]);
    let path = dir.file("old.der", &root.ocsp_der(&leaf, -10));
    server.set_ocsp_file(&path).unwrap();
    let pair = pair(&server, &trusting(&root), "a.example");
    pair.ask_for_staple();
    pair.handshake().unwrap();
    assert_eq!(pair.staple(), None);
    let warning = format!("{}: the OCSP response is out of date and not sent", path.display());
    assert_eq!(server.server_context().unwrap().warnings(), [warning]);
}

#[test]
fn entries_that_do_not_fit_are_left_out_whole() {
    let server = self_signed("a.example,::1,127.0.0.1,b.example");
    let shown = talk(&server, &trusting_anybody(), "a.example").client.peer_certificate().unwrap();
    let all = "DNS:a.example,IP:::1,IP:127.0.0.1,DNS:b.example";
    assert_eq!(shown.alt_names(all.len()), (all.to_owned(), false));
    let less = "DNS:a.example,IP:::1,IP:127.0.0.1";
    assert_eq!(shown.alt_names(all.len() - 1), (less.to_owned(), true));
    assert_eq!(shown.alt_names(3), (String::new(), true));
}
