//! Tables: headers that are taken, headers that are refused, and what HAProxy 2.6 really sends.

use super::*;

/// The whole input in one piece.
fn read(bytes: &[u8]) -> (usize, Progress) {
    Reader::new().feed(bytes)
}

pub(super) fn ends(source: &str, destination: &str) -> Progress {
    let inet = |text: &str| Address::inet(text.parse().expect("a literal address"));
    Progress::Done(Some(ClientEnds { source: inet(source), destination: inet(destination) }))
}

/// A header of version 2 with these bytes behind its length.
pub(super) fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).expect("a length that the header can state");
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &len.to_be_bytes(), rest].concat()
}

pub(super) fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).expect("a length that the TLV can state");
    [&[kind], len.to_be_bytes().as_slice(), value].concat()
}

/// Puts the right checksum at this place, where four bytes of any kind stand.
pub(super) fn sum_up(header: &mut [u8], at: usize) {
    header[at..at + 4].fill(0);
    let mut crc = crc32c::Crc32c::new();
    crc.add(header);
    header[at..at + 4].copy_from_slice(&crc.value().to_be_bytes());
}

/// 192.0.2.7:5123 to 198.51.100.1:443.
const INET: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x14, 0x03, 0x01, 0xBB];

fn unix_path(path: &[u8]) -> [u8; 108] {
    let mut field = [0; 108];
    field[..path.len()].copy_from_slice(path);
    field
}

#[test]
fn lines_of_version_1_that_are_taken() {
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let cases = [
        ("TCP4 192.0.2.7 198.51.100.1 5123 443".to_owned(), ends("192.0.2.7:5123", "198.51.100.1:443")),
        ("TCP4 0.0.0.0 255.255.255.255 0 65535".to_owned(), ends("0.0.0.0:0", "255.255.255.255:65535")),
        ("TCP6 2001:db8::7 ::1 5123 443".to_owned(), ends("[2001:db8::7]:5123", "[::1]:443")),
        ("TCP6 2001:DB8::A 1:2:3:4:5:6:7:8 1 2".to_owned(), ends("[2001:db8::a]:1", "[1:2:3:4:5:6:7:8]:2")),
        ("TCP6 ::ffff:192.0.2.7 ::ffff:c633:6401 1 2".to_owned(), ends("192.0.2.7:1", "198.51.100.1:2")),
        (format!("TCP6 {full} {full} 65535 65535"), ends(&format!("[{full}]:65535"), &format!("[{full}]:65535"))),
        ("UNKNOWN".to_owned(), Progress::Done(None)),
        ("UNKNOWN ".to_owned(), Progress::Done(None)),
        ("UNKNOWN 192.0.2.7 198.51.100.1 5123 443".to_owned(), Progress::Done(None)),
        ("UNKNOWN whatever \0\t else".to_owned(), Progress::Done(None)),
        (format!("UNKNOWN {full} {full} 65535 65535"), Progress::Done(None)),
    ];
    for (line, expected) in cases {
        let line = format!("PROXY {line}\r\n");
        assert_eq!(read(line.as_bytes()), (line.len(), expected.clone()), "{line:?}");
        let with_more = format!("{line}PROXY TCP4");
        assert_eq!(read(with_more.as_bytes()), (line.len(), expected), "what follows {line:?} is the client's");
    }
}

#[test]
fn lines_of_version_1_that_are_refused_for_their_form() {
    let no_header = "missing; the connection begins with something else";
    let no_family = "neither TCP4, TCP6 nor UNKNOWN";
    let no_crlf = "the line does not end in CR LF";
    let cases = [
        ("POST / HTTP/1.1\r\n", no_header),
        ("PROXY\r\n", no_header),
        ("PROXY\tTCP4 192.0.2.7 198.51.100.1 5123 443\r\n", no_header),
        ("PROXY \r\n", no_family),
        ("PROXY  TCP4 192.0.2.7 198.51.100.1 5123 443\r\n", no_family),
        ("PROXY tcp4 192.0.2.7 198.51.100.1 5123 443\r\n", no_family),
        ("PROXY UDP4 192.0.2.7 198.51.100.1 5123 443\r\n", no_family),
        ("PROXY TCP 192.0.2.7 198.51.100.1 5123 443\r\n", no_family),
        ("PROXY UNKNOWNS\r\n", no_family),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 5123 443\n", no_crlf),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 5123 443\rX", no_crlf),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 5123 443\r\r\n", no_crlf),
        ("PROXY UNKNOWN\n", no_crlf),
        ("PROXY UNKNOWN what\never\r\n", no_crlf),
        ("PROXY UNKNOWN what\rever\r\n", no_crlf),
    ];
    for (line, why) in cases {
        assert_eq!(read(line.as_bytes()).1, Progress::Refused(why), "{line:?}");
    }
}

#[test]
fn lines_of_version_1_that_are_refused_for_their_ends() {
    let cases = [
        "TCP4",
        "TCP4 192.0.2.7",
        "TCP4 192.0.2.7 198.51.100.1",
        "TCP4 192.0.2.7 198.51.100.1 5123",
        "TCP4 192.0.2.7 198.51.100.1 5123 ",
        "TCP4 192.0.2.7 198.51.100.1 5123 443 ",
        "TCP4 192.0.2.7 198.51.100.1 5123 443 1",
        "TCP4 192.0.2.7  198.51.100.1 5123 443",
        "TCP4  192.0.2.7 198.51.100.1 5123 443",
        "TCP4 192.0.2.7\t198.51.100.1 5123 443",
        "TCP4 ::1 ::1 5123 443",
        "TCP4 ::ffff:192.0.2.7 198.51.100.1 5123 443",
        "TCP4 192.0.2.07 198.51.100.1 5123 443",
        "TCP4 192.0.2 198.51.100.1 5123 443",
        "TCP4 192.0.2.256 198.51.100.1 5123 443",
        "TCP4 0xc0.0.2.7 198.51.100.1 5123 443",
        "TCP4 192.0.2.7/32 198.51.100.1 5123 443",
        "TCP4 192.0.2.7 example.com 5123 443",
        "TCP4 192.0.2.7 198.51.100.1 05123 443",
        "TCP4 192.0.2.7 198.51.100.1 5123 00",
        "TCP4 192.0.2.7 198.51.100.1 65536 443",
        "TCP4 192.0.2.7 198.51.100.1 +5123 443",
        "TCP4 192.0.2.7 198.51.100.1 -1 443",
        "TCP4 192.0.2.7 198.51.100.1 5123 443\0",
        "TCP4 192.0.2.7 198.51.100.1 5123 ٤٤٣",
        "TCP6 192.0.2.7 198.51.100.1 5123 443",
        "TCP6 ::1 198.51.100.1 5123 443",
        "TCP6 [::1] ::1 5123 443",
        "TCP6 fe80::1%eth0 ::1 5123 443",
        "TCP6 1::2::3 ::1 5123 443",
        "TCP6 1:2:3:4:5:6:7 ::1 5123 443",
        "TCP6 1:2:3:4:5:6:7:8:9 ::1 5123 443",
        "TCP6 00001::1 ::1 5123 443",
    ];
    let why = Progress::Refused("not two addresses of the family and two ports");
    for words in cases {
        assert_eq!(read(format!("PROXY {words}\r\n").as_bytes()).1, why, "{words:?}");
    }
}

#[test]
fn a_line_of_107_bytes_is_taken_and_one_of_108_is_not() {
    let line = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - 16));
    assert_eq!(read(line(107).as_bytes()), (107, Progress::Done(None)));
    let too_long = Progress::Refused("the line is longer than 107 bytes");
    assert_eq!(read(line(108).as_bytes()).1, too_long);
    let endless = format!("PROXY {}", "x".repeat(1 << 20));
    assert_eq!(read(endless.as_bytes()), (107, too_long), "no byte more than could belong to a line is taken");
    assert_eq!(read(&endless.as_bytes()[..106]), (106, Progress::NeedMore));
}

#[test]
fn the_first_wrong_byte_is_refused_and_no_earlier_one() {
    let why = Progress::Refused("missing; the connection begins with something else");
    for start in [b"PROXY ".as_slice(), b"\r\n\r\n\0\r\nQUIT\n"] {
        for at in 0..start.len() {
            assert_eq!(read(&start[..at]), (at, Progress::NeedMore));
            for byte in 0..=255 {
                // Where the other version begins, the next byte would tell.
                if byte != start[at] && !(at == 0 && (byte == b'P' || byte == b'\r')) {
                    assert_eq!(read(&[&start[..at], &[byte]].concat()).1, why, "byte {at} as {byte}");
                }
            }
        }
    }
    let client_hello = [0x16, 3, 1, 2, 0];
    assert_eq!(read(&client_hello).1, why, "TLS without a header");
}

#[test]
fn blocks_of_version_2_that_are_taken() {
    let client = ends("192.0.2.7:5123", "198.51.100.1:443");
    let nobody = Progress::Done(None);
    let mapped: Vec<u8> = [&[0; 10], [0xFF, 0xFF].as_slice(), &[192, 0, 2, 7], &[0; 15], &[1], &[0, 1, 0, 2]].concat();
    let sum = |rest: &[&[u8]], at: usize| {
        let mut header = block(0x21, 0x11, &[&INET, rest.concat().as_slice()].concat());
        sum_up(&mut header, at);
        header
    };
    let cases = [
        (block(0x21, 0x11, &INET), client.clone()),
        (block(0x21, 0x21, &mapped), ends("192.0.2.7:1", "[::1]:2")),
        (block(0x21, 0x11, &[&INET, tlv(0x04, &[]).as_slice()].concat()), client.clone()),
        (
            block(0x21, 0x11, &[&INET, tlv(0xEA, &[7; 300]).as_slice(), &tlv(0x02, b"example.com")].concat()),
            client.clone(),
        ),
        (sum(&[&tlv(0x03, &[9; 4])], 31), client.clone()),
        (sum(&[&tlv(0x03, &[9; 4]), &tlv(0x05, b"id")], 31), client.clone()),
        (sum(&[&tlv(0x05, b"id"), &tlv(0x03, &[9; 4])], 36), client.clone()),
        (block(0x20, 0x00, &[]), nobody.clone()),
        (block(0x20, 0x11, &INET), nobody.clone()),
        (block(0x20, 0x11, &[1]), nobody.clone()),
        (block(0x20, 0xFF, &[3; 999]), nobody.clone()),
        (block(0x21, 0x00, &[]), nobody.clone()),
        (block(0x21, 0x00, &INET), nobody.clone()),
        (block(0x21, 0x01, &[3, 0, 4]), nobody.clone()),
        (block(0x21, 0x10, &INET), nobody.clone()),
        (block(0x21, 0x30, &[]), nobody.clone()),
    ];
    for (header, expected) in cases {
        assert_eq!(read(&header), (header.len(), expected.clone()), "{header:02x?}");
        let with_more = [header.as_slice(), &header].concat();
        assert_eq!(read(&with_more), (header.len(), expected), "what follows {header:02x?} is the client's");
    }
}

#[test]
fn blocks_of_version_2_that_are_refused() {
    let version = "of a version other than 1 and 2";
    let command = "the command is neither LOCAL nor PROXY";
    let family = "unknown address family or transport";
    let datagram = "it speaks of datagrams, and this is a stream";
    let short = "too short for its addresses";
    let bad_tlv = "a TLV does not fit into it";
    let bad_sum = "the checksum is malformed, or there are two";
    let wrong_sum = "the checksum is wrong";
    let inet_with = |rest: &[u8]| block(0x21, 0x11, &[&INET, rest].concat());
    let two_sums = [tlv(3, &[0; 4]), tlv(3, &[0; 4])].concat();
    let cases = [
        (block(0x11, 0x11, &INET), version),
        (block(0x31, 0x11, &INET), version),
        (block(0x01, 0x11, &INET), version),
        (block(0x22, 0x11, &INET), command),
        (block(0x2F, 0x11, &INET), command),
        (block(0x21, 0x41, &INET), family),
        (block(0x21, 0xF0, &INET), family),
        (block(0x21, 0x13, &INET), family),
        (block(0x21, 0x0F, &INET), family),
        (block(0x21, 0x12, &INET), datagram),
        (block(0x21, 0x22, &[0; 36]), datagram),
        (block(0x21, 0x32, &[0; 216]), datagram),
        (block(0x21, 0x02, &[]), datagram),
        (block(0x21, 0x11, &INET[..11]), short),
        (block(0x21, 0x11, &[]), short),
        (block(0x21, 0x21, &[0; 35]), short),
        (block(0x21, 0x31, &[0; 215]), short),
        (inet_with(&[4]), bad_tlv),
        (inet_with(&[4, 0]), bad_tlv),
        (inet_with(&[4, 0, 1]), bad_tlv),
        (inet_with(&[4, 0xFF, 0xFF, 0]), bad_tlv),
        (inet_with(&[4, 0, 1, 0, 4]), bad_tlv),
        (inet_with(&tlv(3, &[])), bad_sum),
        (inet_with(&tlv(3, &[0; 3])), bad_sum),
        (inet_with(&tlv(3, &[0; 5])), bad_sum),
        (inet_with(&two_sums), bad_sum),
        (inet_with(&tlv(3, &[0; 4])), wrong_sum),
    ];
    for (header, why) in cases {
        assert_eq!(read(&header).1, Progress::Refused(why), "{header:02x?}");
    }
}

#[test]
fn a_checksum_notices_each_changed_bit() {
    let tlvs = [tlv(3, &[0; 4]), tlv(0x05, b"id"), tlv(0xE0, b"end")].concat();
    let mut header = block(0x21, 0x11, &[&INET, tlvs.as_slice()].concat());
    sum_up(&mut header, 31);
    assert!(matches!(read(&header).1, Progress::Done(Some(_))));
    let kind_of_tlv = 28;
    for (at, bit) in (0..header.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut changed = header.clone();
        changed[at] ^= 1 << bit;
        match read(&changed).1 {
            Progress::Refused(_) => {}
            Progress::NeedMore => {
                assert!(at == 14 || at == 15, "a greater length waits for bytes; byte {at}, bit {bit}")
            }
            Progress::Done(None) => {
                assert!(at == 12 || at == 13, "LOCAL and UNSPEC convey nothing; byte {at}, bit {bit}")
            }
            Progress::Done(Some(_)) => assert_eq!(at, kind_of_tlv, "a TLV of another type is no checksum; bit {bit}"),
        }
    }
}

#[test]
fn unix_sockets_of_version_2() {
    let long = "p".repeat(108);
    let cases: [(&[u8], &str); 5] = [
        (b"/run/client.sock", "/run/client.sock"),
        (b"", ""),
        (b"\0abstract", ""),
        (b"/run/a\0left over", "/run/a"),
        (long.as_bytes(), &long),
    ];
    for (source, destination) in cases.iter().flat_map(|source| cases.map(|destination| (*source, destination))) {
        let header = block(0x21, 0x31, &[unix_path(source.0), unix_path(destination.0)].concat());
        let ends = ClientEnds { source: Address::unix(source.1), destination: Address::unix(destination.1) };
        assert_eq!(read(&header), (header.len(), Progress::Done(Some(ends))));
    }
}

#[test]
fn l32_every_length_from_0_to_65535() {
    for len in 0..=65_535_usize {
        let local = block(0x20, 0x11, &vec![0xA5; len]);
        assert_eq!(read(&local), (16 + len, Progress::Done(None)), "LOCAL with {len}");
    }
    // Each of these is summed up byte by byte, so not all of the great ones are tried.
    for len in (0..600).chain((600..65_535).step_by(997)).chain([65_534, 65_535_usize]) {
        let padding = tlv(4, &vec![0; len.saturating_sub(15)]);
        let proxy = block(0x21, 0x11, &[&INET, padding.as_slice()].concat()[..len]);
        let (taken, progress) = read(&proxy);
        match progress {
            Progress::Done(Some(_)) => assert!(taken == 16 + len && (len == 12 || len >= 15), "PROXY with {len}"),
            Progress::Refused(_) => assert!(len < 12 || len == 13 || len == 14, "PROXY with {len}"),
            other => panic!("{other:?} for PROXY with {len}"),
        }
    }
}

#[test]
fn an_answer_stays_and_takes_no_more_bytes() {
    for header in [b"PROXY UNKNOWN\r\n".as_slice(), b"GET / HTTP/1.1\r\n\r\n", &block(0x21, 0x11, &INET)] {
        let mut reader = Reader::new();
        let (_, answer) = reader.feed(header);
        assert_ne!(answer, Progress::NeedMore);
        assert_eq!(reader.feed(header), (0, answer.clone()));
        assert_eq!(reader.feed(b""), (0, answer));
    }
}

/// As captured; the checksums are HAProxy's own.
#[test]
fn what_haproxy_sends() {
    let cases = [
        (
            "50524f58592054435034203132372e302e302e31203132372e302e302e312034373530382031393230310d0a",
            Some("127.0.0.1:47508"),
        ),
        ("50524f58592054435036203a3a31203a3a312033343431342031393230310d0a", Some("[::1]:34414")),
        ("50524f585920554e4b4e4f574e0d0a", None),
        ("0d0a0d0a000d0a515549540a2111000c7f0000017f000001962a4b02", Some("127.0.0.1:38442")),
        (
            // crc32c, unique-id, ssl (of a client without TLS).
            "0d0a0d0a000d0a515549540a2111004c7f0000017f000001e3b24b03030004985bbb8105002e37463030303030313a453342325f3746\
             3030303030313a344230335f36423033334142315f303030323a333046302000050000000000",
            Some("127.0.0.1:58290"),
        ),
        (
            "0d0a0d0a000d0a515549540a212100940000000000000000000000000000000100000000000000000000000000000001a5504b030300\
             044fc510b705005e30303030303030303030303030303030303030303030303030303030303030313a413535305f30303030303030303\
             030303030303030303030303030303030303030303030313a344230335f36423033334142315f303030373a333046302000050000000\
             000",
            Some("[::1]:42320"),
        ),
        (
            // TLS ended by HAProxy: authority, version, key, signature and cipher as well.
            "0d0a0d0a000d0a515549540a211100997f0000017f000001c03e4b04030004b98634de02000b6578616d706c652e636f6d05002e3746\
             3030303030313a433033455f37463030303030313a344230345f36423033334142315f303030383a3330463020004401000000002100\
             07544c5376312e33250005454332353624001165636473612d776974682d534841323536230016544c535f4145535f3235365f47434d\
             5f534841333834",
            Some("127.0.0.1:49214"),
        ),
        // Its own health checks, and a client on a unix socket.
        ("0d0a0d0a000d0a515549540a20000007030004a9b87e8f", None),
        ("0d0a0d0a000d0a515549540a20000012030004955e6a000500002000050000000000", None),
    ];
    for (hex, client) in cases {
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal digits"))
            .collect();
        let (taken, progress) = read(&bytes);
        let Progress::Done(ends) = progress else { panic!("{progress:?} for {hex}") };
        assert_eq!(taken, bytes.len());
        assert_eq!(ends.map(|ends| ends.source.to_string()).as_deref(), client);
    }
}
