//! Which session is continued, and under whose policy.

use super::*;

const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

fn client_of(root: &Issued, version: Version) -> Policy {
    let client = trusting(root);
    client.set_versions(version, version).unwrap();
    client
}

fn leaf(root: &Issued) -> Issued {
    root.issue(Wish { dns: &["a.example", "b.example"], ..Wish::default() })
}

/// Two ticket keys of this many bytes, in files.
fn key_files(dir: &Dir, len: usize) -> [PathBuf; 2] {
    let bytes = |seed: usize| (0..len).map(|i| (i * 7 + seed) as u8).collect::<Vec<_>>();
    [dir.file("old.key", &bytes(1)), dir.file("new.key", &bytes(2))]
}

/// A server's policy with ticket keys from files.
fn with_keys(leaf: &Issued, paths: &[&PathBuf]) -> Policy {
    let server = serving(&[leaf]);
    let paths: Vec<&Path> = paths.iter().map(|path| path.as_path()).collect();
    server.set_ticket_key_files(&paths).unwrap();
    server
}

#[test]
fn a_client_resumes_by_itself_again_and_again() {
    let root = Issued::root("root");
    for version in VERSIONS {
        let (server, client) = (serving(&[&leaf(&root)]), client_of(&root, version));
        for round in 0..20 {
            let pair = talk(&server, &client, "a.example");
            let resumed = (pair.client.is_resumed(), pair.server.is_resumed());
            assert_eq!(resumed, (round > 0, round > 0), "{version:?}, round {round}");
            assert_eq!(pair.server.sni(), "a.example");
            assert!(pair.client.peer_certificate().is_some());
        }
    }
}

#[test]
fn a_session_that_was_tried_in_vain_is_not_tried_again() {
    let root = Issued::root("root");
    for version in VERSIONS {
        let (server, client) = (serving(&[&leaf(&root)]), client_of(&root, version));
        talk(&server, &client, "a.example");
        drop(pair(&server, &client, "a.example"));
        assert!(!talk(&server, &client, "a.example").client.is_resumed());
        assert!(talk(&server, &client, "a.example").client.is_resumed());
    }
}

#[test]
fn sessions_are_kept_by_host_and_port() {
    let root = Issued::root("root");
    let (server, client) = (serving(&[&leaf(&root)]), client_of(&root, Version::Tls13));
    talk(&server, &client, "a.example");
    assert!(!talk(&server, &client, "b.example").client.is_resumed());
    for other in [peer("a.example", "a.example", 444), peer("192.0.2.7", "a.example", 443)] {
        let ssl = client.client_context().unwrap().ssl(&other).unwrap();
        let pair = Pair::new(server.server_context().unwrap().ssl().unwrap(), ssl);
        pair.handshake().unwrap();
        assert!(!pair.client.is_resumed());
    }
    assert!(talk(&server, &client, "a.example").client.is_resumed());
}

#[test]
fn a_session_of_tls_1_2_is_bound_to_its_server_name() {
    let root = Issued::root("root");
    for version in VERSIONS {
        // AWS-LC gives sessions of TLS 1.3 to its callback alone.
        if cfg!(feature = "aws-lc") && version == Version::Tls13 {
            continue;
        }
        let (server, client) = (serving(&[&leaf(&root)]), client_of(&root, version));
        let session = talk(&server, &client, "a.example").client.session().unwrap();
        let pair = pair(&server, &client_of(&root, version), "b.example");
        let Pair { server: one, client: mut two } = pair;
        two.resume(&session);
        let pair = Pair::new(one, two);
        pair.handshake().unwrap();
        assert_eq!(pair.server.is_resumed(), version == Version::Tls13, "{version:?}");
    }
}

#[test]
fn l36_a_session_is_not_resumed_under_another_policy() {
    let (root, other) = (Issued::root("root"), Issued::root("other"));
    let (cert, alice) = (leaf(&root), root.issue(Wish { common_name: "alice", ..Wish::default() }));
    let dir = Dir::new();
    let keys = key_files(&dir, 80);
    let crl = dir.file("crl.pem", &[root.crl_pem(&[]), other.crl_pem(&[])].concat());
    let server = |trust: &[&Issued], verify: Verify, crl: Option<&Path>| {
        let server = with_keys(&cert, &[&keys[0]]);
        let pem: Vec<Vec<u8>> = trust.iter().map(|root| root.cert_pem()).collect();
        server.set_trust(&pem.concat()).unwrap();
        server.set_verify(verify).unwrap();
        crl.map_or(Ok(()), |path| server.set_crl_file(path)).unwrap();
        server
    };
    let policies = || {
        [
            server(&[&root], Verify::Required, None),
            server(&[&root], Verify::Optional, None),
            server(&[&root], Verify::None, None),
            server(&[&root, &other], Verify::Required, None),
            server(&[&root], Verify::Required, Some(&crl)),
        ]
    };
    for version in VERSIONS {
        for (i, first) in policies().iter().enumerate() {
            for (j, second) in policies().iter().enumerate() {
                let client = client_of(&root, version);
                client.add_certificate(&alice.chain_pem(), &alice.key_pem(None)).unwrap();
                talk(first, &client, "a.example");
                let again = talk(second, &client, "a.example");
                assert_eq!(again.server.is_resumed(), i == j, "{version:?}: {i} then {j}");
                let known = again.server.peer_certificate().map(|cert| cert.subject());
                let asked = j != 2;
                assert_eq!(known, asked.then(|| "CN=alice".to_owned()), "{version:?}: {i} then {j}");
            }
        }
    }
}

/// What the system believes may have changed between two policies, which only says "the system's".
#[test]
fn a_session_of_the_systems_trust_stays_with_its_policy() {
    let root = Issued::root("root");
    let (cert, dir) = (leaf(&root), Dir::new());
    let keys = key_files(&dir, 80);
    let server = || {
        let server = with_keys(&cert, &[&keys[0]]);
        server.set_trust_file(None).unwrap();
        server.set_verify(Verify::Optional).unwrap();
        server
    };
    for version in VERSIONS {
        let (client, one) = (client_of(&root, version), server());
        talk(&one, &client, "a.example");
        assert!(talk(&one, &client, "a.example").server.is_resumed());
        assert!(!talk(&server(), &client, "a.example").server.is_resumed(), "{version:?}");
    }
}

#[test]
fn a_session_is_not_resumed_under_other_suites() {
    let root = Issued::root("root");
    let (cert, dir) = (leaf(&root), Dir::new());
    let keys = key_files(&dir, 80);
    let server = |suite: &str| {
        let server = with_keys(&cert, &[&keys[0]]);
        server.set_ciphers(Some(suite), None).unwrap();
        server
    };
    let client = client_of(&root, Version::Tls12);
    let (old, new) = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384");
    talk(&server(old), &client, "a.example");
    assert!(talk(&server(old), &client, "a.example").server.is_resumed());
    let pair = talk(&server(new), &client, "a.example");
    assert!(!pair.server.is_resumed());
}

#[test]
fn without_files_two_policies_share_no_ticket() {
    let root = Issued::root("root");
    let cert = leaf(&root);
    for version in VERSIONS {
        let client = client_of(&root, version);
        talk(&serving(&[&cert]), &client, "a.example");
        assert!(!talk(&serving(&[&cert]), &client, "a.example").server.is_resumed());
    }
}

#[test]
fn l37_a_ticket_of_the_previous_key_resumes_and_is_renewed() {
    let root = Issued::root("root");
    let cert = leaf(&root);
    for len in [48, 80] {
        let dir = Dir::new();
        let [old, new] = key_files(&dir, len);
        for version in VERSIONS {
            let client = client_of(&root, version);
            let resumed = |paths: &[&PathBuf]| talk(&with_keys(&cert, paths), &client, "a.example").server.is_resumed();
            assert!(!resumed(&[&old]));
            assert!(resumed(&[&old]), "another process with the same file");
            assert!(resumed(&[&new, &old]), "after a rotation");
            assert!(resumed(&[&new]), "the ticket was renewed under the first key");
            assert!(!resumed(&[&old]), "a key that is gone");
        }
    }
}

#[test]
fn l37_a_wrong_file_is_named_and_the_keys_in_use_stay() {
    let root = Issued::root("root");
    let (cert, dir) = (leaf(&root), Dir::new());
    let [old, _] = key_files(&dir, 80);
    let server = with_keys(&cert, &[&old]);
    let short = dir.file("short.key", &[1; 79]);
    let other = dir.file("other.key", &[1; 48]);
    for (paths, culprit) in [
        (vec![short.as_path()], "short.key: a ticket key has 48 or 80 bytes, not 79"),
        (vec![&old, &other], "other.key: 48 and 80 bytes cannot be mixed"),
        (vec![&old, Path::new("/nonexistent.key")], "/nonexistent.key: No such file"),
        (vec![], "at least one"),
    ] {
        let refused = server.set_ticket_key_files(&paths).unwrap_err();
        assert!(refused.sentence().contains(culprit), "{refused}");
    }
    let client = client_of(&root, Version::Tls13);
    talk(&with_keys(&cert, &[&old]), &client, "a.example");
    assert!(talk(&server, &client, "a.example").server.is_resumed());
}
