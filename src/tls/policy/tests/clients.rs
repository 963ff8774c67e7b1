//! Clients that show a certificate, or should.

use super::*;
use crate::tls::raw::verdict_words;

/// A server's policy that looks at the certificates of clients.
fn asking(root: &Issued, verify: Verify) -> Policy {
    let server = serving(&[&root.issue(Wish { dns: &["a.example"], ..Wish::default() })]);
    server.set_trust(&root.cert_pem()).unwrap();
    server.set_verify(verify).unwrap();
    server
}

/// A client's policy with a certificate.
fn showing(root: &Issued, own: &Issued) -> Policy {
    let client = trusting(root);
    client.add_certificate(&own.chain_pem(), &own.key_pem(None)).unwrap();
    client
}

const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

#[test]
fn a_trusted_client_is_known_by_its_certificate() {
    let root = Issued::root("root");
    let alice = root.issue(Wish { common_name: "alice", dns: &["alice.example"], ..Wish::default() });
    for verify in [Verify::Optional, Verify::Required] {
        for version in VERSIONS {
            let client = showing(&root, &alice);
            client.set_versions(version, version).unwrap();
            let pair = talk(&asking(&root, verify), &client, "a.example");
            let shown = pair.server.peer_certificate().unwrap();
            assert_eq!((shown.subject(), shown.issuer()), ("CN=alice".into(), "CN=root".into()));
            assert_eq!(shown.alt_names(100), ("DNS:alice.example".into(), false));
            assert_eq!(shown.der(), alice.cert.der());
            assert_eq!(pair.server.verify_result(), 0);
        }
    }
}

#[test]
fn a_client_without_a_certificate_is_taken_unless_one_is_required() {
    let root = Issued::root("root");
    let pair_ = talk(&asking(&root, Verify::Optional), &trusting(&root), "a.example");
    assert!(pair_.server.peer_certificate().is_none());
    let pair_ = pair(&asking(&root, Verify::Required), &trusting(&root), "a.example");
    let refused = pair_.handshake().unwrap_err();
    assert!(refused.contains("peer did not return a certificate"), "{refused}");
}

#[test]
fn l38_a_refused_client_hears_the_alert_and_the_server_knows_the_reason() {
    let (root, stranger) = (Issued::root("root"), Issued::root("stranger"));
    let mallory = stranger.issue(Wish { common_name: "mallory", ..Wish::default() });
    let expired = root.issue(Wish { days: (-9, -2), ..Wish::default() });
    for verify in [Verify::Optional, Verify::Required] {
        for (own, verdict, alert) in [
            (&mallory, "self-signed certificate in certificate chain", "alert unknown ca"),
            (&expired, "certificate has expired", "alert certificate expired"),
        ] {
            let pair = pair(&asking(&root, verify), &showing(&root, own), "a.example");
            let refused = pair.handshake().unwrap_err();
            assert!(refused.contains("certificate verify failed"), "{refused}");
            assert_eq!(verdict_words(pair.server.verify_result()), verdict);
            let heard = pair.client_hears().unwrap_err();
            assert!(heard.contains(alert), "{heard}");
        }
    }
}

#[test]
fn a_revoked_client_is_refused() {
    let root = Issued::root("root");
    let (alice, mallory) = (root.issue(Wish::default()), root.issue(Wish::default()));
    let dir = Dir::new();
    let crl = dir.file("crl.pem", &root.crl_pem(&[&mallory]));
    let server = || {
        let server = asking(&root, Verify::Required);
        server.set_crl_file(&crl).unwrap();
        server
    };
    talk(&server(), &showing(&root, &alice), "a.example");
    let pair = pair(&server(), &showing(&root, &mallory), "a.example");
    pair.handshake().unwrap_err();
    assert_eq!(verdict_words(pair.server.verify_result()), "certificate revoked");
    let empty = Policy::new().set_crl_file(&dir.file("none.pem", &root.cert_pem())).unwrap_err();
    assert!(empty.sentence().contains("none.pem: there is no certificate revocation list"), "{empty}");
}

#[test]
fn a_revoked_server_is_refused_by_a_client() {
    let root = Issued::root("root");
    let leaf = root.issue(Wish { dns: &["a.example"], ..Wish::default() });
    let dir = Dir::new();
    for (revoked, verdict) in [(vec![], "ok"), (vec![&leaf], "certificate revoked")] {
        let client = trusting(&root);
        client.set_crl_file(&dir.file("crl.pem", &root.crl_pem(&revoked))).unwrap();
        let pair = pair(&serving(&[&leaf]), &client, "a.example");
        assert_eq!(pair.handshake().is_ok(), revoked.is_empty());
        assert_eq!(verdict_words(pair.client.verify_result()), verdict);
    }
}

/// What the host believes by name ends the chain: whether it was revoked by its own issuer, no list can tell.
#[test]
fn a_list_serves_an_issuer_that_is_no_root() {
    let root = Issued::root("root");
    let middle = root.issue_issuer("middle");
    let (alice, mallory) = (middle.issue(Wish::default()), middle.issue(Wish::default()));
    let dir = Dir::new();
    let of_middle = middle.crl_pem(&[&mallory]);
    let both = [of_middle.clone(), root.crl_pem(&[])].concat();
    for lists in [&of_middle, &both] {
        let asking = || {
            let server = serving(&[&root.issue(Wish { dns: &["a.example"], ..Wish::default() })]);
            server.set_trust(&middle.cert_pem()).unwrap();
            server.set_verify(Verify::Required).unwrap();
            server.set_crl_file(&dir.file("crl.pem", lists)).unwrap();
            server
        };
        for version in VERSIONS {
            let client = showing(&root, &alice);
            client.set_versions(version, version).unwrap();
            talk(&asking(), &client, "a.example");
        }
        let revoked = pair(&asking(), &showing(&root, &mallory), "a.example");
        revoked.handshake().unwrap_err();
        assert_eq!(verdict_words(revoked.server.verify_result()), "certificate revoked");
        // The leaf is what is believed.
        let client = trusting(&alice);
        client.set_crl_file(&dir.file("crl.pem", lists)).unwrap();
        pair(&serving(&[&alice]), &client, "somebody").handshake().unwrap();
    }
    // Without a list of the issuer, nobody is let in.
    let server = asking(&root, Verify::Required);
    server.set_crl_file(&dir.file("crl.pem", &of_middle)).unwrap();
    pair(&server, &showing(&root, &root.issue(Wish::default())), "a.example").handshake().unwrap_err();
}

#[test]
fn a_trust_of_many_issuers_still_fits_into_a_handshake() {
    let root = Issued::root("root");
    let alice = root.issue(Wish::default());
    let more: Vec<u8> = (0..900)
        .flat_map(|i| root.issue(Wish { common_name: &format!("{i:064}"), ..Wish::default() }).cert_pem())
        .collect();
    for version in VERSIONS {
        let server = asking(&root, Verify::Required);
        server.set_trust(&[root.cert_pem(), more.clone()].concat()).unwrap();
        let client = showing(&root, &alice);
        client.set_versions(version, version).unwrap();
        talk(&server, &client, "a.example");
    }
}
