//! What is out of date is not let in by a ticket either.

use std::thread::sleep;
use std::time::Duration;

use super::*;
use crate::tls::raw::verdict_words;

/// How long what is short-lived here is good, in seconds, and when it is certainly over.
const SHORT: i64 = 3;
const OVER: Duration = Duration::from_secs(5);

/// Two policies, and what the side that judges finds at last.
struct Case {
    what: &'static str,
    server: Policy,
    client: Policy,
    verdict: &'static str,
}

fn cases(version: Version, dir: &Dir) -> Vec<Case> {
    let root = Issued::root("root");
    let leaf = |ends_in| root.issue(Wish { dns: &["a.example"], ends_in, ..Wish::default() });
    let alice = |ends_in| root.issue(Wish { common_name: "alice", ends_in, ..Wish::default() });
    let lists = |until| dir.file("crl.pem", &root.crl_pem_until(&[], until));
    let server = |leaf: &Issued, is_asking: bool| {
        let server = serving(&[leaf]);
        server.set_versions(version, version).unwrap();
        if is_asking {
            server.set_trust(&root.cert_pem()).unwrap();
            server.set_verify(Verify::Required).unwrap();
        }
        server
    };
    let client = |own: Option<&Issued>| {
        let client = trusting(&root);
        own.map_or(Ok(()), |own| client.add_certificate(&own.chain_pem(), &own.key_pem(None))).unwrap();
        client
    };
    let with_lists = |policy: Policy| {
        policy.set_crl_file(&lists(SHORT)).unwrap();
        policy
    };
    let (old, gone) = ("certificate has expired", "CRL has expired");
    let case = |what, server, client, verdict| Case { what, server, client, verdict };
    vec![
        case("a client's certificate", server(&leaf(None), true), client(Some(&alice(Some(SHORT)))), old),
        case("a server's certificate", server(&leaf(Some(SHORT)), false), client(None), old),
        case("a server's list", with_lists(server(&leaf(None), true)), client(Some(&alice(None))), gone),
        case("a client's list", server(&leaf(None), false), with_lists(client(None)), gone),
    ]
}

/// TLS 1.3 gives each session that continues another a new life, so one that is used again and again must not live for ever.
#[test]
fn l36_a_ticket_ends_with_what_was_believed() {
    let dir = Dir::new();
    let cases: Vec<Case> =
        [Version::Tls12, Version::Tls13].into_iter().flat_map(|version| cases(version, &dir)).collect();
    for Case { what, server, client, .. } in &cases {
        talk(server, client, "a.example");
        assert!(talk(server, client, "a.example").server.is_resumed(), "{what}");
        assert!(talk(server, client, "a.example").server.is_resumed(), "{what}, again");
    }
    sleep(OVER);
    for Case { what, server, client, verdict } in &cases {
        let pair = pair(server, client, "a.example");
        let refused = pair.handshake().expect_err(what);
        assert!(refused.contains("certificate verify failed"), "{what}: {refused}");
        let found = [&pair.server, &pair.client].map(|side| verdict_words(side.verify_result()));
        assert!(found.iter().any(|words| words == verdict), "{what}: {found:?}");
    }
}

/// What is not verified has nothing to do with dates.
#[test]
fn a_client_that_verifies_nothing_goes_on_to_resume() {
    let root = Issued::root("root");
    let expired = root.issue(Wish { dns: &["a.example"], days: (-9, -2), ..Wish::default() });
    let (server, client) = (serving(&[&expired]), trusting_anybody());
    talk(&server, &client, "a.example");
    assert!(talk(&server, &client, "a.example").client.is_resumed());
}
