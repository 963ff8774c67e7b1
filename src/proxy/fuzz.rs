//! Whatever bytes come, and however they are cut.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{block, sum_up, tlv};
use super::*;

/// Feeds the bytes in pieces of these sizes, again and again; says how many were taken.
fn read_in_pieces(bytes: &[u8], sizes: &[usize]) -> (usize, Progress) {
    let (mut reader, mut taken) = (Reader::new(), 0);
    for &size in sizes.iter().cycle() {
        let piece = &bytes[taken..][..size.min(bytes.len() - taken)];
        let (used, progress) = reader.feed(piece);
        taken += used;
        if progress != Progress::NeedMore {
            return (taken, progress);
        }
        assert_eq!(used, piece.len(), "more is asked for, so all was taken");
        if taken == bytes.len() {
            break;
        }
    }
    (taken, Progress::NeedMore)
}

/// What is refused is not used any more, so how much of it was taken says nothing.
fn comparable((taken, progress): (usize, Progress)) -> (usize, Progress) {
    let ends_the_connection = matches!(progress, Progress::Refused(_));
    (if ends_the_connection { 0 } else { taken }, progress)
}

/// Some piece holds something, else the end would never come.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let with_empty = (1_usize..300, vec(prop_oneof![Just(0_usize), 1_usize..300], 0..10))
        .prop_map(|(first, rest)| [vec![first], rest].concat());
    prop_oneof![Just(vec![1]), vec(1_usize..40, 1..10), with_empty]
}

/// Bytes that get past the first ones, and others.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let command = prop_oneof![9 => 0x20_u8..=0x21, 1 => any::<u8>()];
    let family = prop_oneof![9 => prop_oneof![Just(0x11_u8), Just(0x21), Just(0x31), Just(0)], 1 => any::<u8>()];
    let tlvs = vec((0_u8..8, vec(any::<u8>(), 0..9)).prop_map(|(kind, value)| tlv(kind, &value)), 0..6);
    let rest = prop_oneof![vec(any::<u8>(), 0..400), tlvs.prop_map(|tlvs| [vec![7; 12], tlvs.concat()].concat())];
    let near_block = (command, family, rest, 0_usize..4, any::<u16>(), any::<u8>()).prop_map(
        |(command, family, rest, slips, at, byte)| {
            let mut header = block(command, family, &rest);
            if slips == 0 {
                let at = usize::from(at) % header.len();
                header[at] = byte;
            }
            header
        },
    );
    let near_line =
        "PROXY (TCP4|TCP6|UNKNOWN|[A-Z]{0,5})( [0-9a-f:.]{0,40}){0,3}( [0-9]{0,6}){0,3}( |\\PC{0,60})?\r?\n?.{0,9}";
    prop_oneof![vec(any::<u8>(), 0..300), near_block, near_line.prop_map(String::into_bytes)]
}

/// Both ends in one family, as a header has them.
fn both_ends() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = || (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from);
    let v6 = || {
        prop_oneof![
            (any::<[u16; 8]>(), any::<u16>()).prop_map(SocketAddr::from),
            (any::<u8>(), any::<u16>())
                .prop_map(|(low, port)| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, low.into()], port))),
            v4().prop_map(|v4| match v4 {
                SocketAddr::V4(v4) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
                v6 => v6,
            }),
        ]
    };
    prop_oneof![(v4(), v4()), (v6(), v6())]
}

fn octets(address: SocketAddr) -> Vec<u8> {
    match address {
        SocketAddr::V4(v4) => v4.ip().octets().to_vec(),
        SocketAddr::V6(v6) => v6.ip().octets().to_vec(),
    }
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_answer(bytes in anything(), sizes in sizes()) {
        let whole = comparable(Reader::new().feed(&bytes));
        prop_assert_eq!(comparable(read_in_pieces(&bytes, &sizes)), whole);
    }

    #[test]
    fn no_byte_behind_the_header_matters(bytes in anything(), more in vec(any::<u8>(), 0..50)) {
        let (taken, progress) = Reader::new().feed(&bytes);
        if let Progress::Done(_) = progress {
            prop_assert_eq!(Reader::new().feed(&bytes[..taken]), (taken, progress.clone()));
            prop_assert_eq!(Reader::new().feed(&bytes[..taken - 1]), (taken - 1, Progress::NeedMore));
            prop_assert_eq!(Reader::new().feed(&[&bytes[..taken], &more].concat()), (taken, progress));
        }
    }

    #[test]
    fn lines_are_read_back((source, destination) in both_ends(), sizes in sizes()) {
        let word = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (source.ip(), destination.ip());
        let line = format!("PROXY {word} {from} {to} {} {}\r\n", source.port(), destination.port());
        let ends = ClientEnds { source: Address::inet(source), destination: Address::inet(destination) };
        prop_assert_eq!(read_in_pieces(line.as_bytes(), &sizes), (line.len(), Progress::Done(Some(ends))));
    }

    #[test]
    fn blocks_are_read_back(
        (source, destination) in both_ends(),
        before in vec((4_u8.., vec(any::<u8>(), 0..600)), 0..4),
        behind in vec((4_u8.., vec(any::<u8>(), 0..600)), 0..4),
        with_sum: bool,
        damage in proptest::option::of(1_u32..),
        sizes in sizes(),
    ) {
        let family = if source.is_ipv4() { 0x11 } else { 0x21 };
        let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
        let mut rest = [octets(source), octets(destination), ports].concat();
        before.iter().for_each(|(kind, value)| rest.extend(tlv(*kind, value)));
        let sum_at = 16 + rest.len() + 3;
        if with_sum {
            rest.extend(tlv(3, &[0; 4]));
        }
        behind.iter().for_each(|(kind, value)| rest.extend(tlv(*kind, value)));
        let mut header = block(0x21, family, &rest);
        let ends = ClientEnds { source: Address::inet(source), destination: Address::inet(destination) };
        let mut expected = (header.len(), Progress::Done(Some(ends)));
        if with_sum {
            sum_up(&mut header, sum_at);
            if let Some(damage) = damage {
                header[sum_at..sum_at + 4].iter_mut().zip(damage.to_be_bytes()).for_each(|(byte, flip)| *byte ^= flip);
                expected = (0, Progress::Refused("the checksum is wrong"));
            }
        }
        prop_assert_eq!(comparable(read_in_pieces(&header, &sizes)), expected);
    }
}
