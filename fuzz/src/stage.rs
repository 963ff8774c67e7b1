//! A server, its peers, and what must be true of all of them at the end.

use std::ffi::c_int;
use std::os::unix::net::UnixStream;

use crate::c::{self, *};
use crate::life::{Life, Phase, client_byte, host_byte, part};
use crate::openssl::{self, Wish};
use crate::peer::Peer;
use crate::reached::Reached;
use crate::world::World;

/// More peers than this say nothing new.
pub const MOST_PEERS: usize = 6;

thread_local! {
    /// A certificate, and the defaults.
    static USUAL: Tls = {
        let tls = Tls::new();
        assert_eq!(tls.add_self_signed(c"localhost,127.0.0.1"), TLSLOOP_OK, "{}", c::last_error());
        tls
    };
    /// The same with everything that can be asked of a client.
    static STRICT: Tls = {
        let tls = Tls::new();
        let samples = tlsloop::fuzzing::samples();
        assert_eq!(tls.add_certificate(&samples.chain, &samples.key), TLSLOOP_OK, "{}", c::last_error());
        assert_eq!(tls.set_trust(&samples.authority), TLSLOOP_OK);
        assert_eq!(tls.set_verify(TLSLOOP_VERIFY_OPTIONAL), TLSLOOP_OK);
        assert_eq!(tls.set_alpn(c"h2", true), TLSLOOP_OK);
        assert_eq!(tls.set_versions(TLSLOOP_TLS1_2, TLSLOOP_TLS1_2), TLSLOOP_OK);
        tls
    };
    /// A client that believes everybody.
    static TRUSTING: Tls = {
        let tls = Tls::new();
        assert_eq!(tls.set_verify(TLSLOOP_VERIFY_NONE), TLSLOOP_OK);
        tls
    };
}

/// What a server is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// TLSLOOP_MODE_*.
    pub mode: c_int,
    /// A PROXY header comes first.
    pub proxied: bool,
    /// The host has an `on_end`.
    pub has_on_end: bool,
    /// Little room in queues, and in sockets.
    pub is_narrow: bool,
    /// Much is asked of clients.
    pub is_strict: bool,
    /// There is a port to come to.
    pub listens: bool,
}

impl Plan {
    /// From one byte of the fuzzer's.
    pub fn of(byte: u8) -> Plan {
        Plan {
            mode: c_int::from(byte & 3),
            proxied: byte & 4 != 0,
            has_on_end: byte & 8 != 0,
            is_narrow: byte & 16 != 0,
            is_strict: byte & 32 != 0,
            listens: false,
        }
    }
}

/// A server with its peers.
pub struct Stage {
    plan: Plan,
    server: Server<World>,
    /// In the order of their coming.
    pub peers: Vec<Peer>,
}

impl Stage {
    /// Starts the server.
    pub fn set(plan: Plan, reactions: &[u8]) -> Stage {
        openssl::reseed();
        let world = Box::new(World::new(plan.mode, plan.has_on_end, plan.listens, reactions));
        let tls = if plan.is_strict { &STRICT } else { &USUAL };
        let config = tlsloop_server_config {
            address: c"127.0.0.1".as_ptr(),
            listen_fd: if plan.listens { 0 } else { TLSLOOP_NO_LISTENER },
            mode: plan.mode,
            tls: tls.with(Tls::for_config),
            handshake_timeout_ms: TLSLOOP_NONE,
            send_timeout_ms: TLSLOOP_NONE,
            close_timeout_ms: TLSLOOP_NONE,
            send_high_water: if plan.is_narrow { 6000 } else { 100_000 },
            proxy_protocol: if plan.proxied { TLSLOOP_PROXY_REQUIRED } else { TLSLOOP_PROXY_OFF },
            proxy_trusted: c"unix, 127.0.0.1".as_ptr(),
            log_level: TLSLOOP_LOG_DEBUG,
            ..c::config()
        };
        let server = Server::start(config, world).unwrap_or_else(|code| panic!("{code}: {}", c::last_error()));
        server.host().meet(server.handle());
        Stage { plan, server, peers: Vec::new() }
    }

    /// The host.
    pub fn world(&self) -> &World {
        self.server.host()
    }

    /// The server, for calls.
    pub fn handle(&self) -> Handle {
        self.server.handle()
    }

    /// Hands over one more connection. Its client goes on with the session of the one before, if it had one.
    pub fn invite(&mut self, wish: Wish, data: usize) {
        if self.peers.len() >= MOST_PEERS {
            return;
        }
        let (ours, theirs) = UnixStream::pair().expect("descriptors");
        if self.plan.is_narrow {
            c::shrink(&ours);
            c::shrink(&theirs);
        }
        match self.handle().adopt(theirs.into(), data) {
            Ok(conn) => {
                let life = Life { speaks: Some(client_byte), ..Life::new(self.plan.mode, data) };
                self.world().expect(conn, life);
                let session = self.peers.last().and_then(Peer::session);
                self.peers.push(Peer::new(conn, ours, wish, session));
            }
            Err((code, _)) => assert_eq!(code, TLSLOOP_ECLOSED, "{}", c::last_error()),
        }
    }

    /// Goes out to the server's own port: both ends are known to the host, and only one by its name.
    pub fn go_out(&self, mode: c_int, data: usize) {
        let port = u16::try_from(self.handle().look().0).unwrap_or(1);
        match TRUSTING.with(|tls| self.handle().connect(mode, port, tls, data)) {
            Ok(conn) => {
                let is_alike = mode == self.plan.mode && mode != TLSLOOP_MODE_STARTTLS;
                let speaks = is_alike.then_some(host_byte as fn(u64) -> u8);
                self.world().expect(conn, Life { speaks, ..Life::new(mode, data) });
            }
            Err(code) => assert!([TLSLOOP_ECLOSED, TLSLOOP_ESYS].contains(&code), "{code}: {}", c::last_error()),
        }
    }

    /// Uses another policy from now on.
    pub fn exchange_tls(&self, is_strict: bool) {
        let tls = if is_strict { &STRICT } else { &USUAL };
        let code = tls.with(|tls| self.handle().set_tls(tls));
        let expected = if self.plan.mode == TLSLOOP_MODE_PLAIN { TLSLOOP_ESTATE } else { TLSLOOP_OK };
        assert_eq!(code, expected, "{}", c::last_error());
    }

    /// One turn of the server's.
    pub fn turn(&self) {
        let code = self.handle().poll();
        assert!((0..=1).contains(&code), "poll: {code}: {}", c::last_error());
        self.world().judge();
    }

    /// Everything goes on until nothing moves, or for long enough.
    pub fn settle(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.turn();
            let mut moved = false;
            for peer in &mut self.peers {
                moved |= peer.flush(usize::MAX);
                moved |= peer.read(4);
            }
            if !moved {
                break;
            }
        }
        self.turn();
    }

    /// The peers read what there is and leave; the server is stopped; the books are balanced.
    pub fn finish(mut self) -> Reached {
        self.calm_down();
        for peer in &self.peers {
            self.world().with(peer.conn, |life| check_calm(self.plan, peer, life));
        }
        self.peers.iter_mut().for_each(Peer::leave);
        (0..8).for_each(|_| self.turn());
        self.check_counts();
        let Stage { plan, server, peers } = self;
        server.host().begin_to_stop();
        let (code, world) = server.stop();
        assert_eq!(code, TLSLOOP_OK, "{}", c::last_error());
        let mut names = Vec::new();
        world.each(|conn, life| {
            names.push(conn);
            assert_eq!(life.phase, Phase::Gone, "connection {conn} has no last callback: {life:?}");
        });
        names.into_iter().for_each(|conn| world.check_gone(conn));
        for peer in &peers {
            world.with(peer.conn, |life| check_bytes(plan, peer, life));
        }
        world.judge();
        world.reached()
    }

    /// Turns until nothing comes any more, while the peers read.
    fn calm_down(&mut self) {
        let mut still = 0;
        while still < 6 {
            let before = self.handle().stats();
            self.turn();
            let moved = self.peers.iter_mut().fold(false, |moved, peer| peer.read(64) | moved);
            let after = self.handle().stats();
            let counts = |stats: &tlsloop_stats| (stats.bytes_in, stats.bytes_out, stats.connects, stats.disconnects);
            still = if moved || counts(&before) != counts(&after) { 0 } else { still + 1 };
        }
    }

    /// Counters and gauges are what the host has seen.
    fn check_counts(&self) {
        let stats = self.handle().stats();
        let (mut connects, mut ends, mut failed, mut lives) = (0, 0, 0, 0);
        self.world().each(|_, life| {
            let was_up = life.phase == Phase::Open || life.reason.is_some();
            connects += u64::from(was_up);
            ends += u64::from(life.reason.is_some());
            failed += u64::from(life.phase == Phase::Gone && life.reason.is_none());
            lives += u64::from(life.lives());
        });
        assert_eq!((stats.connects, stats.disconnects), (connects, ends), "{stats:?}");
        assert_eq!(stats.open, stats.connects - stats.disconnects, "{stats:?}");
        assert_eq!(stats.disconnects_by_reason.iter().sum::<u64>(), stats.disconnects, "{stats:?}");
        assert_eq!(stats.handshakes_failed, failed, "{stats:?}");
        assert!(stats.handshakes_resumed <= stats.handshakes, "{stats:?}");
        if stats.handshakes_resumed > 0 {
            self.world().mark("resumed");
        }
        assert!(self.plan.listens || lives > 0 || (stats.queued_bytes, stats.handshaking) == (0, 0), "{stats:?}");
    }
}

/// How long the PROXY header at the front is, by the specification's own words.
fn header_len(wire: &[u8]) -> usize {
    match wire {
        [b'P', ..] => wire.windows(2).position(|two| two == b"\r\n").map_or(wire.len(), |at| at + 2),
        [0x0d, ..] if wire.len() >= 16 => 16 + usize::from(u16::from_be_bytes([wire[14], wire[15]])),
        _ => wire.len(),
    }
}

/// When nothing comes any more, everything has come: a host that waits for more would wait for ever.
fn check_calm(plan: Plan, peer: &Peer, life: &Life) {
    let what = || format!("connection {}: {life:?}", peer.conn);
    if life.phase == Phase::Open && life.takes_sends() {
        assert!(!life.full || c::queued(peer.conn) > 0, "on_drain is missing; {}", what());
    }
    let hears = life.phase == Phase::Open && !life.paused || life.reason == Some(TLSLOOP_REASON_PEER);
    if !hears || life.is_sealed() || peer.has_failed {
        return;
    }
    if life.is_tls {
        if let Some(said) = peer.surely_said() {
            assert_eq!(life.secure, said, "data is missing; {}", what());
        }
    } else if !life.tls_asked {
        let front = if plan.proxied { header_len(&peer.wire) } else { 0 };
        assert_eq!(life.plain.len(), peer.wire.len() - front, "data is missing; {}", what());
    }
}

/// Nothing lost, nothing added, in order, both ways.
fn check_bytes(plan: Plan, peer: &Peer, life: &Life) {
    let what = || format!("connection {}: {life:?}", peer.conn);
    let front = if plan.proxied { header_len(&peer.wire).min(peer.wire.len()) } else { 0 };
    assert!(peer.wire[front..].starts_with(&life.plain), "the peer has sent other bytes; {}", what());
    assert!(life.secure <= peer.said, "more than the client has said; {}", what());
    assert!(peer.heard_right, "the client has heard other bytes than were sent; {}", what());
    assert!(peer.heard() <= life.accepted, "the client has heard more than was sent; {}", what());
    let in_order = matches!(life.reason, Some(TLSLOOP_REASON_HOST | TLSLOOP_REASON_PEER));
    if in_order && peer.has_heard_goodbye() {
        assert!(peer.has_heard(life.accepted), "the end hides a loss; {}", what());
    }
    let was_up = life.reason.is_some();
    if was_up && !life.is_tls && !life.tls_asked && peer.is_raw() {
        let expected = part(host_byte, 0, peer.raw.len());
        assert!(peer.raw == expected, "the peer has received other bytes than were sent; {}", what());
        let received = peer.raw.len() as u64;
        assert!(received <= life.accepted, "the peer has received more than was sent; {}", what());
        if in_order && peer.at_eof && !peer.has_failed {
            assert_eq!(received, life.accepted, "the end hides a loss; {}", what());
        }
    }
}
