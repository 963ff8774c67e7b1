//! Any sequence of calls, on several connections with their peers, from outside and from inside callbacks.

use crate::c::{self, TLSLOOP_ESTATE, TLSLOOP_OK};
use crate::input::Input;
use crate::openssl::Wish;
use crate::reached::Reached;
use crate::stage::{Plan, Stage};
use crate::world::split;

/// Every kind of callback, and every end that needs no deadline.
pub const MUST_REACH: &[&str] = &[
    "tls on_data by TLS",
    "tls a posted function",
    "tls on_drain",
    "tls on_end",
    "tls on_disconnect 0",
    "tls on_disconnect 1",
    "tls on_disconnect 2",
    "tls on_disconnect 7",
    "tls on_disconnect 8",
    "plain on_data in plain",
    "plain on_drain",
    "plain on_disconnect 1",
    "plain on_disconnect 3",
    "plain on_disconnect 7",
    "starttls on_tls",
    "starttls on_disconnect 1",
    "detect on_data by TLS",
    "detect on_data in plain",
    "tls went out",
];

/// More steps than this make no new sense.
const MOST_STEPS: usize = 300;

/// One life of a server with up to [`crate::stage::MOST_PEERS`] peers.
pub fn run(bytes: &[u8]) -> Reached {
    let mut input = Input::new(bytes);
    let plan = input.byte();
    let reactions = input.short();
    let mut stage = Stage::set(Plan { proxied: false, listens: plan & 64 != 0, ..Plan::of(plan) }, reactions);
    stage.invite(Wish::default(), 1);
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        step(&mut stage, &mut input);
        stage.world().judge();
    }
    stage.finish()
}

fn step(stage: &mut Stage, input: &mut Input<'_>) {
    let (op, arg) = split(input.byte());
    let at = usize::from(arg) % stage.peers.len().max(1);
    match op {
        0 => (0..=arg).for_each(|_| stage.turn()),
        1 => stage.invite(Wish { is_old: arg & 1 != 0, sni: arg & 2 != 0, alpn: arg & 4 != 0 }, arg.into()),
        2 => stage.settle(usize::from(arg) * 2 + 2),
        3 => peer_step(stage, at, input),
        4 => server_step(stage, arg),
        5 => invented(stage, input),
        _ => {
            let (call, how) = split(input.byte());
            if let Some(conn) = stage.world().name(arg.into()) {
                stage.world().call(conn, call, how);
            }
        }
    }
}

fn peer_step(stage: &mut Stage, at: usize, input: &mut Input<'_>) {
    let Some(peer) = stage.peers.get_mut(at) else { return };
    let (op, arg) = split(input.byte());
    match op {
        0 => peer.shake(),
        1 => peer.say(usize::from(arg) * 300 + 1),
        2 => peer.say_goodbye(),
        3 => peer.renew(arg & 1 != 0),
        4 => peer.put(input.take(usize::from(arg) + 1)),
        5 => {
            peer.flush(usize::from(arg) * 16 + 1);
        }
        6 => {
            peer.flush(usize::MAX);
        }
        7 => {
            peer.read(usize::from(arg) + 1);
        }
        8 => peer.shut(),
        9 => peer.leave(),
        _ => peer.damage(input.byte().into(), 1 << (arg & 7)),
    }
}

fn server_step(stage: &mut Stage, arg: u8) {
    let server = stage.handle();
    match arg {
        0 => assert_eq!(server.drain(), TLSLOOP_OK),
        1 => assert_eq!(server.request_stop(), TLSLOOP_OK),
        2 => {
            let (port, copy) = server.look();
            assert!(port > 0 || port == TLSLOOP_ESTATE, "{port}");
            assert!(copy >= 0 || copy == TLSLOOP_ESTATE, "{copy}");
        }
        3..=5 => stage.exchange_tls(arg == 3),
        6..=9 => {
            stage.world().mark("went out");
            stage.go_out(i32::from(arg % 3), arg.into());
        }
        _ => {
            let stats = server.stats();
            assert_eq!(stats.open, stats.connects - stats.disconnects, "{stats:?}");
        }
    }
}

/// A number that no connection has: far from all, or a neighbour of one. The neighbour may be somebody on the way up, of
/// whom nobody has been told yet, so then no number is tried.
fn invented(stage: &Stage, input: &mut Input<'_>) {
    if stage.handle().stats().handshaking > 0 {
        return;
    }
    let number = input.take(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let neighbour = stage.world().name(usize::from(input.byte())).map_or(0, |conn| conn ^ (1 << (number & 63)));
    for conn in [number, neighbour] {
        if stage.world().with(conn, |_| ()).is_none() {
            let code = c::send(conn, b"x");
            assert_eq!(code, c::TLSLOOP_ECLOSED, "{conn}: {}", c::last_error());
            assert!(c::info(conn).code == c::TLSLOOP_ECLOSED && c::data(conn) == 0 && c::queued(conn) == 0);
        }
    }
}
