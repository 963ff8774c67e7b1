//! The choice of TLSLOOP_MODE_DETECT: any first bytes, cut anywhere, with and without the peer's end. The harness decides
//! for itself by the words of the header, "TLS if the first bytes are 16 03 0x, else plain".

use crate::c::{self, TLSLOOP_MODE_DETECT, TLSLOOP_OK};
use crate::input::Input;
use crate::life::Phase;
use crate::openssl::Wish;
use crate::reached::Reached;
use crate::stage::{Plan, Stage};

/// Each answer.
pub const MUST_REACH: &[&str] =
    &["plain", "TLS", "TLS that is none", "undecided", "plain by the peer's end", "silence"];

/// How the bytes are cut, whether the peer ends, then the bytes.
pub fn run(bytes: &[u8]) -> Reached {
    let mut input = Input::new(bytes);
    let flags = input.byte();
    let cuts = input.short();
    let plan = Plan {
        mode: TLSLOOP_MODE_DETECT,
        proxied: false,
        has_on_end: true,
        is_narrow: false,
        is_strict: flags & 4 != 0,
        listens: false,
    };
    let mut stage = Stage::set(plan, &[]);
    stage.invite(Wish::default(), 0);
    let stream = input.rest();
    if flags & 2 != 0 {
        shake_hands(stage, cuts)
    } else {
        stage.peers[0].put(stream);
        send_in_pieces(&mut stage, cuts);
        judge(stage, stream, flags & 1 != 0)
    }
}

fn send_in_pieces(stage: &mut Stage, cuts: &[u8]) {
    for cut in cuts {
        stage.peers[0].flush(usize::from(*cut) + 1);
        stage.turn();
    }
    stage.peers[0].flush(usize::MAX);
    // The first turn may only welcome the connection.
    (0..3).for_each(|_| stage.turn());
}

/// What the header says of such a beginning; `None`: nothing yet.
fn is_tls(stream: &[u8], has_ended: bool) -> Option<bool> {
    match stream {
        [] => None,
        [22, 3, minor, ..] => Some(*minor < 16),
        [22] | [22, 3] if !has_ended => None,
        _ => Some(false),
    }
}

fn judge(mut stage: Stage, stream: &[u8], ends: bool) -> Reached {
    let conn = stage.peers[0].conn;
    // Without the end no more is decided than the bytes say.
    let early = is_tls(stream, false);
    let was_up = |stage: &Stage| stage.world().with(conn, |life| life.phase == Phase::Open || life.reason.is_some());
    assert_eq!(was_up(&stage), Some(early == Some(false)), "{stream:?}");
    if ends {
        stage.peers[0].shut();
        stage.settle(4);
    }
    let decided = is_tls(stream, ends);
    assert_eq!(was_up(&stage), Some(decided == Some(false)), "{stream:?}, and then the end");
    if decided == Some(false) {
        let received = stage.world().with(conn, |life| life.plain.clone());
        assert_eq!(received.as_deref(), Some(stream), "each byte is handed over");
    }
    let lives = c::info(conn).code == TLSLOOP_OK;
    let mut reached = stage.finish();
    reached.mark(match (decided, early) {
        (Some(false), None) => "plain by the peer's end",
        (Some(false), _) => "plain",
        (Some(true), _) if lives => "undecided",
        (Some(true), _) => "TLS that is none",
        (None, _) if stream.is_empty() => "silence",
        (None, _) => "undecided",
    });
    reached
}

/// A true client, cut the same way.
fn shake_hands(mut stage: Stage, cuts: &[u8]) -> Reached {
    const WORDS: usize = 10;
    stage.peers[0].say(WORDS);
    send_in_pieces(&mut stage, cuts);
    stage.settle(20);
    let conn = stage.peers[0].conn;
    let is_up = stage.peers[0].is_up();
    let received = stage.world().with(conn, |life| life.secure).unwrap_or(0);
    assert!(!is_up || received == WORDS as u64, "{received} bytes came through TLS");
    let mut reached = stage.finish();
    if is_up {
        reached.mark("TLS");
    }
    reached
}
