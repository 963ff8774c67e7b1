//! What files hold: certificates, keys, lists, responses; whole, damaged in their text or in what it stands for, mixed.
//!
//! The input says what is to be done with samples that are made when the harness begins, so no corpus holds a key.

use std::ffi::c_int;

use tlsloop::fuzzing::{PASSWORD, Samples, samples};

use crate::c::{self, *};
use crate::input::Input;
use crate::openssl;
use crate::reached::Reached;
use crate::world::World;

/// Each kind is taken once and refused once.
pub const MUST_REACH: &[&str] = &[
    "certificate 0",
    "certificate -4",
    "certificate files 0",
    "certificate files -4",
    "locked key 0",
    "trust 0",
    "trust -4",
    "trust file 0",
    "trust file -4",
    "list 0",
    "list -4",
    "response 0",
    "response -4",
    "response -11",
    "password 0",
    "started",
];

/// More steps than this make no new sense.
const MOST_STEPS: usize = 12;
/// No text needs more parts.
const MOST_PARTS: usize = 16;

thread_local! {
    static SAMPLES: Samples = {
        openssl::reseed();
        samples()
    };
}

fn sample(number: u8) -> Vec<u8> {
    SAMPLES.with(|samples| match number % 6 {
        0 => samples.chain.clone(),
        1 => samples.key.clone(),
        2 => samples.locked_key.clone(),
        3 => samples.authority.clone(),
        4 => samples.revoked.clone(),
        _ => samples.staple.clone(),
    })
}

/// One policy that things are loaded into; at the end a server starts with it.
pub fn run(bytes: &[u8]) -> Reached {
    let mut input = Input::new(bytes);
    let mut reached = Reached::default();
    sample(0);
    openssl::reseed();
    let tls = Tls::new();
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        let (what, code) = load(&tls, &mut input);
        let may_be = [TLSLOOP_OK, TLSLOOP_EINVAL, TLSLOOP_ETLS, TLSLOOP_ESTATE];
        assert!(may_be.contains(&code), "{what}: {code}: {}", c::last_error());
        assert!(code == TLSLOOP_OK || !c::last_error().is_empty());
        reached.mark(format!("{what} {code}"));
    }
    start(&tls, &mut reached);
    reached
}

fn load(tls: &Tls, input: &mut Input<'_>) -> (&'static str, c_int) {
    match input.byte() % 8 {
        0 => ("certificate", tls.add_certificate(&compose(input), &compose(input))),
        1 => {
            let (chain, key) = (c::file(&compose(input)), c::file(&compose(input)));
            ("certificate files", tls.add_certificate_file(&chain.1, &key.1))
        }
        2 => ("trust", tls.set_trust(&compose(input))),
        3 => ("trust file", tls.set_trust_file(Some(&c::file(&compose(input)).1))),
        4 => ("list", tls.set_crl_file(&c::file(&compose(input)).1)),
        5 => ("response", tls.set_ocsp_file(&c::file(&compose(input)).1)),
        6 => ("password", tls.set_key_password(Some(&c::text(input.short())))),
        _ => {
            assert_eq!(tls.set_key_password(Some(&c::text(PASSWORD.as_bytes()))), TLSLOOP_OK);
            ("locked key", tls.add_certificate(&sample(0), &compose(input)))
        }
    }
}

/// A text of parts: literal bytes and samples, each of which may be damaged.
fn compose(input: &mut Input<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..MOST_PARTS {
        let op = input.byte();
        let number = op >> 4;
        match op & 7 {
            0 => break,
            1 => text.extend_from_slice(input.short()),
            2 => text.extend(sample(number)),
            3 => text.extend(damaged(sample(number), input)),
            4 => text.extend(cut(&sample(number), input)),
            5 => text.extend(from_der(&damaged(to_der(&sample(number)), input), &sample(number))),
            6 => text.extend(from_der(&cut(&to_der(&sample(number)), input), &sample(number))),
            _ => text = damaged(text, input),
        }
    }
    text
}

/// Some bytes of it replaced.
fn damaged(mut bytes: Vec<u8>, input: &mut Input<'_>) -> Vec<u8> {
    let at = usize::from(input.word());
    let with = input.short();
    let at = at % bytes.len().max(1);
    let len = with.len().min(bytes.len() - at.min(bytes.len()));
    bytes[at..at + len].copy_from_slice(&with[..len]);
    bytes
}

/// A range of it.
fn cut(bytes: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let (from, len) = (usize::from(input.word()), usize::from(input.word()));
    bytes.iter().skip(from).take(len).copied().collect()
}

/// What the first block of a text in PEM stands for; what is no such text stands for itself.
fn to_der(pem: &[u8]) -> Vec<u8> {
    let Some(body) = body_of(pem) else { return pem.to_vec() };
    let (mut der, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for value in pem[body].iter().filter_map(|byte| ALPHABET.iter().position(|letter| letter == byte)) {
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            der.push((bits >> count) as u8);
        }
    }
    der
}

/// The same back, between the lines of `like`.
fn from_der(der: &[u8], like: &[u8]) -> Vec<u8> {
    let Some(body) = body_of(like) else { return der.to_vec() };
    let mut text = like[..body.start].to_vec();
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
            let letters = (0..4).map(|at| ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]);
            text.extend(letters.take(three.len() + 1));
            text.extend(std::iter::repeat_n(b'=', 3 - three.len()));
        }
        text.push(b'\n');
    }
    let end = like[body.end..].windows(6).position(|six| six == b"-----\n").map_or(0, |at| at + 6);
    text.extend_from_slice(&like[body.end..body.end + end]);
    text
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Where the letters of the first block stand.
fn body_of(pem: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = pem.windows(6).position(|six| six == b"-----\n")? + 6;
    let len = pem[start..].windows(5).position(|five| five == b"-----")?;
    Some(start..start + len)
}

/// Whatever was taken can be used, or the start says why not.
fn start(tls: &Tls, reached: &mut Reached) {
    let config = tlsloop_server_config { tls: tls.for_config(), listen_fd: TLSLOOP_NO_LISTENER, ..c::config() };
    match Server::start(config, Box::new(World::new(TLSLOOP_MODE_TLS, true, false, &[]))) {
        Ok(server) => {
            assert_eq!(server.stop().0, TLSLOOP_OK);
            reached.mark("started");
        }
        Err(code) => assert!([TLSLOOP_EINVAL, TLSLOOP_ETLS].contains(&code), "{code}: {}", c::last_error()),
    }
}
