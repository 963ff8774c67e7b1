//! Whose word about a client's address is taken: the balancers that `proxy_trusted` names.

use std::net::IpAddr;

use crate::address::Address;
use crate::error::{Error, Result};

/// Addresses and networks, and perhaps every peer of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedSources {
    networks: Vec<Network>,
    /// A unix socket's peers have no address; who may connect is its directory's and its mode's to say.
    unix: bool,
}

impl TrustedSources {
    /// Reads `10.0.0.0/8, 192.0.2.7, ::1, unix`: networks, addresses, and the word for peers of unix sockets, separated
    /// by commas. What cannot be meant is refused and named, because a slip here believes strangers, or nobody.
    pub fn parse(list: &str) -> Result<TrustedSources> {
        let mut sources = TrustedSources { networks: Vec::new(), unix: false };
        for part in list.split(',').map(|part| part.trim_matches([' ', '\t'])) {
            if part == "unix" {
                sources.unix = true;
            } else {
                sources.networks.push(Network::parse(part).map_err(|why| {
                    let whole = if part == list { String::new() } else { format!(" in {list:?}") };
                    Error::invalid(format!("config->proxy_trusted: {part:?}{whole} {why}"))
                })?);
            }
        }
        Ok(sources)
    }

    /// Whether a PROXY header of this peer is believed. An IPv4 peer is one of IPv4 also behind a dual-stack listener,
    /// so `::/0` does not include it.
    pub fn trusts(&self, peer: &Address) -> bool {
        match peer.ip() {
            Some(ip) => self.contains(ip),
            None => self.unix,
        }
    }

    /// Whether one of the addresses and networks is or holds this one.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip.to_canonical()))
    }
}

/// The addresses that begin with the same bits. Canonical: no bit beyond the prefix, no IPv4 in the clothes of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    base: IpAddr,
    prefix: u32,
}

impl Network {
    /// What is wrong is said as the end of a sentence that begins with the text.
    fn parse(text: &str) -> std::result::Result<Network, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = address
            .parse()
            .map_err(|_| "is not an address, a network such as 10.0.0.0/8, or the word unix".to_owned())?;
        let width = width(base);
        let prefix = match prefix {
            None => width,
            Some(digits) => prefix_length(digits)
                .filter(|prefix| *prefix <= width)
                .ok_or_else(|| format!("has a prefix that is not a number from 0 to {width}"))?,
        };
        let network = Network { base: masked(base, prefix), prefix };
        if network.base != base {
            return Err(format!("has bits set beyond its prefix; the network is {}/{prefix}", network.base));
        }
        Ok(network.canonical())
    }

    /// `::ffff:10.0.0.0/104` is 10.0.0.0/8 (RFC 4291, 2.5.5.2).
    fn canonical(self) -> Network {
        match (self.base, self.base.to_canonical()) {
            // The bits that mark it end at the 96th, and none is set beyond the prefix.
            (IpAddr::V6(_), base @ IpAddr::V4(_)) => Network { base, prefix: self.prefix - 96 },
            _ => self,
        }
    }

    fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.base.is_ipv4() && masked(ip, self.prefix) == self.base
    }
}

/// How many bits an address of this kind has.
fn width(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// Decimal, without a sign and without leading zeros.
fn prefix_length(digits: &str) -> Option<u32> {
    let begins_well = digits == "0" || digits.starts_with(|first: char| matches!(first, '1'..='9'));
    if begins_well { digits.parse().ok() } else { None }
}

/// The address with all bits beyond the prefix cleared.
fn masked(ip: IpAddr, prefix: u32) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(32 - prefix).unwrap_or(0)).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(128 - prefix).unwrap_or(0)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    fn peer(ip: &str) -> Address {
        Address::inet(SocketAddr::new(ip.parse().expect("a literal address"), 5123))
    }

    fn trusts(list: &str, ip: &str) -> bool {
        TrustedSources::parse(list).expect(list).trusts(&peer(ip))
    }

    #[test]
    fn l32_a_header_is_believed_only_from_the_sources_that_were_configured() {
        let cases = [
            ("10.0.0.0/8,::1", "10.0.0.0", true),
            ("10.0.0.0/8,::1", "10.255.255.255", true),
            ("10.0.0.0/8,::1", "9.255.255.255", false),
            ("10.0.0.0/8,::1", "11.0.0.0", false),
            ("10.0.0.0/8,::1", "::1", true),
            ("10.0.0.0/8,::1", "::2", false),
            ("10.0.0.0/8,::1", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8,::1", "::10.1.2.3", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.6/31", "192.0.2.7", true),
            ("192.0.2.6/31", "192.0.2.8", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::7", true),
            ("::/0", "192.0.2.7", false),
            ("::/0", "::ffff:192.0.2.7", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("2001:DB8::7/128", "2001:db8::7", true),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true),
            ("::ffff:10.0.0.0/104", "11.9.9.9", false),
            ("::ffff:192.0.2.7", "192.0.2.7", true),
            ("::ffff:0.0.0.0/96", "192.0.2.7", true),
            (" 192.0.2.7 , \t::1", "::1", true),
            (" 192.0.2.7 , \t::1", "192.0.2.7", true),
            ("unix", "127.0.0.1", false),
        ];
        for (list, ip, expected) in cases {
            assert_eq!(trusts(list, ip), expected, "{ip} in {list:?}");
        }
    }

    #[test]
    fn the_word_unix_stands_for_peers_of_unix_sockets() {
        for (list, expected) in [("unix", true), ("::1, unix", true), ("0.0.0.0/0,::/0", false)] {
            let sources = TrustedSources::parse(list).expect(list);
            assert_eq!(sources.trusts(&Address::unix("/run/x.sock")), expected, "{list:?}");
            assert_eq!(sources.trusts(&Address::unix("")), expected, "{list:?}");
        }
    }

    fn refused(list: &str) -> String {
        TrustedSources::parse(list).expect_err(list).sentence().to_owned()
    }

    #[test]
    fn what_is_neither_address_nor_network_is_refused_and_named() {
        let cases = [
            ("", r#""""#),
            (" ", r#""" in " ""#),
            ("127.0.0.1,", r#""" in "127.0.0.1,""#),
            (",127.0.0.1", r#""" in ",127.0.0.1""#),
            ("127.0.0.1 ::1", r#""127.0.0.1 ::1""#),
            ("127.0.0.1;::1", r#""127.0.0.1;::1""#),
            ("localhost", r#""localhost""#),
            ("UNIX", r#""UNIX""#),
            ("unix:", r#""unix:""#),
            ("unix:/run/x.sock", r#""unix:/run/x.sock""#),
            ("::1,balancer", r#""balancer" in "::1,balancer""#),
            ("10.0.0", r#""10.0.0""#),
            ("10.0.0.256", r#""10.0.0.256""#),
            ("010.0.0.1", r#""010.0.0.1""#),
            ("0x0a000001", r#""0x0a000001""#),
            ("127.0.0.1:80", r#""127.0.0.1:80""#),
            ("[::1]", r#""[::1]""#),
            ("fe80::1%eth0", r#""fe80::1%eth0""#),
            ("/8", r#""/8""#),
            ("10.0.0.0 /8", r#""10.0.0.0 /8""#),
            ("10.0.0.0\n", r#""10.0.0.0\n""#),
        ];
        for (list, named) in cases {
            let why = "is not an address, a network such as 10.0.0.0/8, or the word unix";
            assert_eq!(refused(list), format!("config->proxy_trusted: {named} {why}"));
        }
    }

    #[test]
    fn a_prefix_is_a_plain_number_no_greater_than_the_address() {
        let cases = [
            ("10.0.0.0/", 32),
            ("10.0.0.0/33", 32),
            ("10.0.0.0/08", 32),
            ("10.0.0.0/+8", 32),
            ("10.0.0.0/-8", 32),
            ("10.0.0.0/8/8", 32),
            ("10.0.0.0/ 8", 32),
            ("10.0.0.0/255.0.0.0", 32),
            ("10.0.0.0/4294967304", 32),
            ("::/129", 128),
        ];
        for (list, width) in cases {
            let why = format!("has a prefix that is not a number from 0 to {width}");
            assert_eq!(refused(list), format!("config->proxy_trusted: {list:?} {why}"));
        }
    }

    #[test]
    fn bits_beyond_the_prefix_are_refused_with_the_network_that_may_be_meant() {
        let cases = [
            ("10.0.0.1/8", "10.0.0.0/8"),
            ("10.0.0.1/0", "0.0.0.0/0"),
            ("2001:db8::7/64", "2001:db8::/64"),
            ("::ffff:10.0.0.0/95", "::fffe:0:0/95"),
        ];
        for (list, network) in cases {
            let why = format!("has bits set beyond its prefix; the network is {network}");
            assert_eq!(refused(list), format!("config->proxy_trusted: {list:?} {why}"));
        }
        let long = refused("::1,10.0.0.1/8");
        assert!(long.starts_with("config->proxy_trusted: \"10.0.0.1/8\" in \"::1,10.0.0.1/8\" has bits set"), "{long}");
    }

    proptest! {
        /// Bit by bit, as the prefix means it.
        #[test]
        fn a_network_holds_what_begins_like_it(base: u128, other: u128, prefix in 0_u32..=128, alike: bool) {
            let is_beyond = |bit: u32| bit >= prefix;
            let clear = |bits: u128| (0..128).filter(|bit| !is_beyond(*bit)).fold(0, |kept, bit| kept | bits & 1 << (127 - bit));
            let base = clear(base);
            // Two random addresses hardly ever begin alike, so half of the cases are made to.
            let other = if alike { base | (other & !clear(u128::MAX)) } else { other };
            let sources = TrustedSources::parse(&format!("{}/{prefix}", Ipv6Addr::from(base))).expect("a network");
            let (base, ip) = (Ipv6Addr::from(base), Ipv6Addr::from(other));
            // IPv4 in the clothes of IPv6 is tested by the tables above.
            prop_assume!(ip.to_ipv4_mapped().is_none() && base.to_ipv4_mapped().is_none());
            prop_assert_eq!(sources.contains(ip.into()), clear(other) == base.to_bits());
        }

        /// The same for IPv4, behind a dual-stack listener too.
        #[test]
        fn an_ipv4_network_holds_what_begins_like_it(base: u32, other: u32, prefix in 0_u32..=32, alike: bool) {
            let beyond = if prefix == 32 { 0 } else { u32::MAX >> prefix };
            let base = base & !beyond;
            let other = if alike { base | other & beyond } else { other };
            let sources = TrustedSources::parse(&format!("{}/{prefix}", Ipv4Addr::from(base))).expect("a network");
            let ip = Ipv4Addr::from(other);
            prop_assert_eq!(sources.contains(ip.into()), other & !beyond == base);
            prop_assert_eq!(sources.contains(ip.to_ipv6_mapped().into()), other & !beyond == base);
        }

        /// No text brings it down, and what is refused is named.
        #[test]
        fn any_text_is_a_list_or_a_sentence(list in "[0-9a-fu:./, x]{0,24}|\\PC{0,12}") {
            if let Err(error) = TrustedSources::parse(&list) {
                prop_assert!(error.sentence().starts_with("config->proxy_trusted: "));
            }
        }
    }
}
