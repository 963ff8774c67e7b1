//! A server and peers, one after the other, that send anything, cut anywhere: raw bytes, or the records of OpenSSL's client, which the input
//! lets pass, cuts, changes, repeats and loses.

use crate::input::Input;
use crate::openssl::Wish;
use crate::reached::Reached;
use crate::stage::{Plan, Stage};
use crate::world::split;

/// All modes come up, hear data and end.
pub const MUST_REACH: &[&str] = &[
    "tls on_connect by TLS",
    "tls on_data by TLS",
    "tls on_end",
    "tls on_disconnect 0",
    "tls on_disconnect 1",
    "tls on_disconnect 2",
    "tls on_disconnect 4",
    "tls on_handshake_failed -4",
    "plain on_data in plain",
    "plain on_end",
    "plain on_drain",
    "plain EFULL",
    "plain on_disconnect 0",
    "plain on_disconnect 8",
    "plain behind a balancer",
    "starttls on_data in plain",
    "starttls on_tls",
    "starttls on_data by TLS",
    "starttls on_disconnect 0",
    "starttls on_disconnect 4",
    "detect on_data in plain",
    "detect on_data by TLS",
    "detect on_disconnect 0",
    "tls on_drain",
    "tls on_disconnect 8",
    "tls a posted function",
    "plain on_disconnect 1",
    "plain on_disconnect 3",
    "tls behind a balancer",
    "starttls behind a balancer",
    "detect behind a balancer",
    "tls resumed",
];

/// More steps than this make no new sense.
const MOST_STEPS: usize = 200;

/// How the two versions of the PROXY header begin well: a unix socket's peer may name anybody.
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.9 5123 443\r\n";
const BLOCK: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x09\x14\x03\x01\xbb";

/// One life of a server: how it is, what the host does in callbacks, what the peer does.
pub fn run(bytes: &[u8]) -> Reached {
    let mut input = Input::new(bytes);
    let plan = Plan::of(input.byte());
    let flags = input.byte();
    let reactions = input.short();
    let mut stage = Stage::set(plan, reactions);
    stage.invite(wish(flags), flags.into());
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        step(&mut stage, &mut input);
    }
    stage.finish()
}

fn wish(flags: u8) -> Wish {
    Wish { is_old: flags & 1 != 0, sni: flags & 2 != 0, alpn: flags & 4 != 0 }
}

fn step(stage: &mut Stage, input: &mut Input<'_>) {
    let (op, arg) = split(input.byte());
    let amount = usize::from(arg);
    let Some(peer) = stage.peers.last_mut() else { return };
    match op {
        0 => (0..=amount).for_each(|_| stage.turn()),
        1 => peer.put(input.take(amount + 1)),
        2 => {
            let many = input.word();
            peer.flush(if arg == 15 { many.into() } else { amount + 1 });
        }
        3 => stage.settle(2 * amount + 2),
        4 => peer.shake(),
        5 => peer.say(amount * amount * 40 + 1),
        6 => peer.say_goodbye(),
        7 => peer.damage(input.word().into(), 1 << (arg & 7)),
        8 => peer.lose(input.word().into(), amount + 1),
        9 if arg < 8 => peer.repeat(),
        9 => peer.renew(arg & 1 != 0),
        10 => peer.put(if arg & 1 == 0 { LINE } else { BLOCK }),
        11 => {
            peer.read(amount + 1);
        }
        12 => peer.shut(),
        13 if arg > 11 => peer.leave(),
        13 => peer.put(input.long()),
        15 => stage.invite(wish(arg), arg.into()),
        _ => {
            let (conn, (call, how)) = (peer.conn, split(input.byte()));
            stage.world().call(conn, call, how);
        }
    }
    stage.world().judge();
}
