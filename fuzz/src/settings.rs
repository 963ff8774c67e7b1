//! Texts and structs of the host's: any of them is taken, or refused with a code and a sentence that fit.

use std::ffi::{CStr, c_int};
use std::os::unix::net::UnixStream;

use crate::c::{self, *};
use crate::input::Input;
use crate::life::Life;
use crate::openssl;
use crate::reached::Reached;
use crate::world::World;

/// One good value of each kind, and a bad one.
pub const MUST_REACH: &[&str] = &[
    "ciphers 0",
    "ciphers -1",
    "suites 0",
    "suites -1",
    "groups 0",
    "groups -1",
    "alpn 0",
    "alpn -1",
    "pin 0",
    "pin -1",
    "names 0",
    "names -1",
    "versions 0",
    "versions -1",
    "verify 0",
    "verify -1",
    "ticket keys 0",
    "ticket keys -1",
    "address 0",
    "address -3",
    "trusted 0",
    "trusted -1",
    "struct 0",
    "struct -1",
    "stats 0",
    "stats -1",
    "info 0",
    "info -1",
    "callbacks 0",
    "callbacks -1",
    "client 0",
    "client -1",
    "frozen",
];

/// More steps than this make no new sense.
const MOST_STEPS: usize = 24;

/// Settings of one policy, and servers that use it.
pub fn run(bytes: &[u8]) -> Reached {
    openssl::reseed();
    let mut input = Input::new(bytes);
    let tls = Tls::new();
    let mut reached = Reached::default();
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        let op = input.byte();
        let (what, code) = match op % 16 {
            op @ 0..=9 => set(&tls, op, &mut input),
            10 => ("address", start_at(&text(input.short()))),
            11 => ("trusted", start_behind(&text(input.short()))),
            12 => ("struct", start_sized(&mut input)),
            13 => use_sized(&mut input),
            14 => ("versions", tls.set_versions(version(input.byte()), version(input.byte()))),
            _ => {
                freeze(&tls, &mut reached);
                continue;
            }
        };
        assert!(code == TLSLOOP_OK || !c::last_error().is_empty());
        assert!((-4..=0).contains(&code) || code == TLSLOOP_ESTATE, "{what}: {code}: {}", c::last_error());
        reached.mark(format!("{what} {code}"));
    }
    reached
}

fn version(byte: u8) -> c_int {
    match byte {
        12 => TLSLOOP_TLS1_2,
        13 => TLSLOOP_TLS1_3,
        other => other.into(),
    }
}

fn set(tls: &Tls, op: u8, input: &mut Input<'_>) -> (&'static str, c_int) {
    let flag = if op == 3 { input.byte() } else { 0 };
    if op == 7 {
        return ("verify", tls.set_verify(input.byte().into()));
    }
    if op >= 8 {
        return ("ticket keys", ticket_keys(tls, input));
    }
    let words = text(input.short());
    match op {
        0 => ("ciphers", tls.set_ciphers(Some(&words), None)),
        1 => ("suites", tls.set_ciphers(None, Some(&words))),
        2 => ("groups", tls.set_groups(&words)),
        3 => ("alpn", tls.set_alpn(&words, flag & 1 != 0)),
        4 => ("pin", tls.set_pin(&words)),
        5 => ("names", tls.add_self_signed(&words)),
        _ => ("password", tls.set_key_password(Some(&words))),
    }
}

/// Up to four files of a size that the input says, all together.
fn ticket_keys(tls: &Tls, input: &mut Input<'_>) -> c_int {
    let count = usize::from(input.byte() % 5);
    let sizes: Vec<usize> = (0..count).map(|_| input.byte().into()).collect();
    let files: Vec<_> = sizes.iter().map(|size| c::file(&vec![7; *size])).collect();
    let paths: Vec<&CStr> = files.iter().map(|(_, path)| path.as_c_str()).collect();
    let code = tls.set_ticket_key_files(&paths);
    let fits = matches!(sizes.first(), Some(48 | 80)) && sizes.iter().all(|size| *size == sizes[0]);
    assert!(fits == (code == TLSLOOP_OK) || code == TLSLOOP_ESTATE, "{sizes:?}: {code}: {}", c::last_error());
    code
}

/// A policy that a server uses is not changed any more.
fn freeze(tls: &Tls, reached: &mut Reached) {
    let config = tlsloop_server_config { tls: tls.for_config(), listen_fd: TLSLOOP_NO_LISTENER, ..c::config() };
    let world = Box::new(World::new(TLSLOOP_MODE_TLS, true, false, &[]));
    match Server::start(config, world) {
        Ok(server) => {
            assert_eq!(tls.set_groups(c"P-256"), TLSLOOP_ESTATE);
            assert_eq!(server.stop().0, TLSLOOP_OK);
            reached.mark("frozen");
        }
        Err(code) => assert!([TLSLOOP_EINVAL, TLSLOOP_ETLS].contains(&code), "{code}: {}", c::last_error()),
    }
}

fn start(config: tlsloop_server_config) -> c_int {
    let config = tlsloop_server_config { mode: TLSLOOP_MODE_PLAIN, ..config };
    match Server::start(config, Box::new(World::new(TLSLOOP_MODE_PLAIN, true, false, &[]))) {
        Ok(server) => {
            let (port, copy) = server.handle().look();
            assert!(config.listen_fd != 0 || (port >= 0 && copy >= 0), "{port} {copy}");
            server.stop().0
        }
        Err(code) => code,
    }
}

/// Where it listens: at the loopback, or where nobody can. Names are left out: they would be asked of a name server.
fn start_at(address: &CStr) -> c_int {
    let Ok(words) = address.to_str() else {
        assert_eq!(start(tlsloop_server_config { address: address.as_ptr(), ..c::config() }), TLSLOOP_EINVAL);
        return TLSLOOP_EINVAL;
    };
    let bare = words.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(words);
    let is_literal = bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()) || words == "192.0.2.7";
    // A path that cannot be, however long: there is no such directory.
    let path = words.strip_prefix("unix:").map(|path| text(format!("unix:/proc/none/{path}").as_bytes()));
    let address = match &path {
        Some(path) => path.as_ptr(),
        None if is_literal => address.as_ptr(),
        None => c"127.0.0.1".as_ptr(),
    };
    start(tlsloop_server_config { address, ..c::config() })
}

/// Whose PROXY headers are believed.
fn start_behind(trusted: &CStr) -> c_int {
    let listen_fd = TLSLOOP_NO_LISTENER;
    let (proxy_protocol, proxy_trusted) = (TLSLOOP_PROXY_REQUIRED, trusted.as_ptr());
    start(tlsloop_server_config { listen_fd, proxy_protocol, proxy_trusted, ..c::config() })
}

fn size(input: &mut Input<'_>) -> usize {
    match input.word() {
        0xffff => usize::MAX,
        0xfffe => SANE_SIZE + 1,
        0xfffd => SANE_SIZE,
        size => usize::from(size) & 8191,
    }
}

/// A configuration of any size, with any numbers. Whether it is taken follows from the header.
fn start_sized(input: &mut Input<'_>) -> c_int {
    let (size, filling) = (size(input), input.long());
    let trusted = c"::1";
    let (code, given) = c::start_with(size, filling, |config| {
        if config.proxy_protocol & 2 == 0 {
            config.proxy_trusted = trusted.as_ptr();
        }
        // Numbers that the fuzzer would have to guess.
        config.mode &= 7;
        config.log_level &= 7;
        config.proxy_protocol &= 3;
    });
    let whole = size_of::<tlsloop_server_config>();
    let excess = filling.iter().take(size).skip(whole).any(|byte| *byte != 0);
    let is_good = |config: tlsloop_server_config| {
        let high = if config.send_high_water == 0 { 1 << 20 } else { config.send_high_water };
        let balancer = config.proxy_protocol == 0 || (config.proxy_protocol == 1 && !config.proxy_trusted.is_null());
        config.mode == TLSLOOP_MODE_PLAIN
            && (0..=4).contains(&config.log_level)
            && config.backlog >= 0
            && config.send_low_water <= high
            && balancer
    };
    let fits = (whole..=SANE_SIZE).contains(&size) && !excess && given.is_some_and(is_good);
    let expected = if fits { TLSLOOP_OK } else { TLSLOOP_EINVAL };
    assert_eq!(code, expected, "size {size}: {given:?}: {}", c::last_error());
    code
}

/// The other structs in any size, each where it is used.
fn use_sized(input: &mut Input<'_>) -> (&'static str, c_int) {
    let (kind, size, filling) = (input.byte(), size(input), input.short());
    let config = tlsloop_server_config { mode: TLSLOOP_MODE_PLAIN, listen_fd: TLSLOOP_NO_LISTENER, ..c::config() };
    let server = Server::start(config, Box::new(World::new(TLSLOOP_MODE_PLAIN, true, false, &[])));
    let server = server.unwrap_or_else(|code| panic!("{code}: {}", c::last_error()));
    // Those that are filled may be of any sane size; those that are read may hold nothing that nobody knows.
    let least = 8;
    let is_readable = |whole: usize| {
        let excess = filling.iter().take(size.saturating_sub(whole)).any(|byte| *byte != 0);
        (whole..=SANE_SIZE).contains(&size) && !excess
    };
    let (what, code, fits) = match kind % 4 {
        0 => ("stats", c::fill_stats(server.handle(), size), (least..=SANE_SIZE).contains(&size)),
        1 => ("info", info_sized(&server, size), (least..=SANE_SIZE).contains(&size)),
        2 => ("callbacks", c::start_with_callbacks(size, filling), is_readable(size_of::<tlsloop_callbacks>())),
        _ => {
            let code = c::connect_with(server.handle(), size, filling);
            ("client", code, is_readable(size_of::<tlsloop_client_config>()))
        }
    };
    let expected = if fits { TLSLOOP_OK } else { TLSLOOP_EINVAL };
    assert_eq!(code, expected, "{what}, size {size}: {}", c::last_error());
    server.host().begin_to_stop();
    assert_eq!(server.stop().0, TLSLOOP_OK);
    (what, code)
}

fn info_sized(server: &Server<World>, size: usize) -> c_int {
    let (_ours, theirs) = UnixStream::pair().expect("descriptors");
    let conn = server.handle().adopt(theirs.into(), 0).expect("a connection");
    server.host().expect(conn, Life::new(TLSLOOP_MODE_PLAIN, 0));
    c::fill_info(conn, size)
}
