//! The PROXY header: any bytes, cut anywhere. Beside the reader stands a second one, which reads whole headers only.

mod oracle;

use tlsloop::proxy::{Progress, Reader};

use crate::input::Input;
use crate::reached::Reached;

/// Both versions in each of their forms, and a refusal of each.
pub const MUST_REACH: &[&str] = &[
    "v1 TCP4",
    "v1 TCP6",
    "v1 no client",
    "v1 refused",
    "v2 TCP4",
    "v2 TCP6",
    "v2 unix",
    "v2 no client",
    "v2 refused",
    "v2 with a checksum",
    "neither",
    "unfinished",
];

/// The longest line of version 1 and the longest block of version 2 (HAProxy, doc/proxy-protocol.txt, 2.1 and 2.2).
const LONGEST: [usize; 2] = [107, 16 + 65_535];

/// How the bytes are cut, then the bytes.
pub fn run(bytes: &[u8]) -> Reached {
    let mut input = Input::new(bytes);
    let cuts = input.short();
    let stream = input.rest();
    let whole = Reader::new().feed(stream);
    check_cuts(stream, cuts, &whole);
    check_meaning(stream, &whole);
    let (taken, progress) = whole;
    let version = match stream.first() {
        Some(b'P') => 1,
        Some(b'\r') => 2,
        _ => 0,
    };
    let mut reached = Reached::default();
    match &progress {
        Progress::NeedMore => {
            assert_eq!(taken, stream.len(), "more is asked for, so all was taken");
            assert!(version == 0 || taken < LONGEST[version - 1], "a header without an end");
            reached.mark("unfinished");
        }
        Progress::Refused(why) => {
            assert!(!why.is_empty());
            reached.mark(if version == 0 { "neither".to_owned() } else { format!("v{version} refused") });
        }
        Progress::Done(ends) => {
            assert!(version > 0 && taken <= LONGEST[version - 1]);
            check_whole(stream, taken, &progress);
            let is_4 = if version == 2 { stream[13] >> 4 == 1 } else { stream[9] == b'4' };
            let kind = ends.as_ref().map_or("no client", |ends| {
                assert_eq!(ends.source.ip().is_some(), ends.destination.ip().is_some());
                match ends.source.ip() {
                    None => "unix",
                    Some(_) if is_4 => "TCP4",
                    Some(_) => "TCP6",
                }
            });
            reached.mark(format!("v{version} {kind}"));
            if version == 2 && has_checksum(&stream[16..taken], stream[13]) {
                reached.mark("v2 with a checksum");
            }
        }
    }
    reached
}

/// However it is cut, the answer is the same. What is refused is of no further use, so how much was taken says nothing.
fn check_cuts(stream: &[u8], cuts: &[u8], whole: &(usize, Progress)) {
    let (mut reader, mut taken) = (Reader::new(), 0);
    let mut last = Progress::NeedMore;
    let sizes = cuts.iter().map(|cut| usize::from(*cut)).chain(std::iter::repeat(usize::MAX));
    for size in sizes {
        let piece = &stream[taken..][..size.min(stream.len() - taken)];
        let (used, progress) = reader.feed(piece);
        assert!(used <= piece.len());
        taken += used;
        last = progress;
        if last != Progress::NeedMore || taken == stream.len() {
            break;
        }
        assert_eq!(used, piece.len(), "more is asked for, so all was taken");
    }
    assert_eq!(last, whole.1);
    if !matches!(last, Progress::Refused(_)) {
        assert_eq!(taken, whole.0);
    }
    let again = reader.feed(b"more");
    assert!(last == Progress::NeedMore || again == (0, last), "an answer that was final has changed");
}

/// A header that is there from end to end means what the specification says.
fn check_meaning(stream: &[u8], (taken, progress): &(usize, Progress)) {
    let meant = oracle::read(stream);
    match (progress, &meant) {
        (Progress::Done(ends), Some(meant)) => {
            let ends = ends.as_ref().map(|ends| (ends.source.clone(), ends.destination.clone()));
            assert_eq!(oracle::Whole::Right(*taken, ends), *meant);
        }
        (Progress::Done(_), None) => panic!("an end that is none"),
        (Progress::NeedMore, Some(_)) => panic!("all is there: {meant:?}"),
        (Progress::NeedMore, None) => {}
        (Progress::Refused(why), meant) => {
            assert!(!matches!(meant, Some(oracle::Whole::Right(..))), "{why}: {meant:?}");
        }
    }
}

/// The header is as long as it says: not one byte less, and nothing behind it matters.
fn check_whole(stream: &[u8], taken: usize, progress: &Progress) {
    assert_eq!(Reader::new().feed(&stream[..taken]), (taken, progress.clone()));
    assert_eq!(Reader::new().feed(&stream[..taken - 1]), (taken - 1, Progress::NeedMore));
}

/// Whether a TLV with a checksum (0x03) stands behind the addresses.
fn has_checksum(rest: &[u8], family: u8) -> bool {
    let addresses = match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return false,
    };
    let mut at = addresses;
    while let Some([kind, high, low]) = rest.get(at..at + 3) {
        if *kind == 3 {
            return true;
        }
        at += 3 + usize::from(u16::from_be_bytes([*high, *low]));
    }
    false
}
