//! Which addresses lie inside, where an administrator's URL must not lead: this machine, its
//! networks, a cloud's metadata service, and whatever is no single host's address.
//!
//! IANA's special-purpose registries (RFC 6890) are the source. An IPv6 address that carries
//! an IPv4 address is looked at as that one: something on the way may unpack it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const V4: &[([u8; 4], u8, &str)] = &[
    ([0, 0, 0, 0], 8, "the unspecified network"),
    ([10, 0, 0, 0], 8, "a private network"),
    ([100, 64, 0, 0], 10, "a carrier's private network"),
    ([127, 0, 0, 0], 8, "this machine"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "a private network"),
    ([192, 0, 0, 0], 24, "a network for protocols"),
    ([192, 0, 2, 0], 24, "a network for documentation"),
    ([192, 88, 99, 0], 24, "a relay of 6to4"),
    ([192, 168, 0, 0], 16, "a private network"),
    ([198, 18, 0, 0], 15, "a network for benchmarks"),
    ([198, 51, 100, 0], 24, "a network for documentation"),
    ([203, 0, 113, 0], 24, "a network for documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

/// Beyond 2000::/3 everything is refused; these are named for whoever reads why.
const V6: &[([u16; 8], u8, &str)] = &[
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "a network that discards"),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "a private translation to IPv4"),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "a network for benchmarks"),
    ([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "a network for protocols"),
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, "a network for protocols"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "a network for documentation"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "a network for documentation"),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "a network for routing"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "a private network"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "a private network"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

/// Why an address must not be connected to; none: it is out in the world.
pub fn refused(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => refused_v4(address),
        IpAddr::V6(address) => refused_v6(address),
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<&'static str> {
    let holds = |network: [u8; 4], prefix| {
        Ipv4Net::new(network.into(), prefix).is_ok_and(|network| network.contains(&address))
    };
    V4.iter().find(|(network, prefix, _)| holds(*network, *prefix)).map(|(_, _, what)| *what)
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("this machine");
    }
    if address.is_unspecified() {
        return Some("the unspecified address");
    }
    let holds = |network: [u16; 8], prefix| {
        Ipv6Net::new(network.into(), prefix).is_ok_and(|network| network.contains(&address))
    };
    let listed = V6.iter().find(|(network, prefix, _)| holds(*network, *prefix));
    let listed = listed.map(|(_, _, what)| *what);
    let carried = carried(address);
    listed.or_else(|| carried.into_iter().flatten().find_map(refused_v4)).or_else(|| {
        // All that has been given out as addresses of single hosts is 2000::/3.
        let is_global = address.segments()[0] & 0xe000 == 0x2000 || carried[0].is_some();
        (!is_global).then_some("reserved")
    })
}

/// The IPv4 addresses that an IPv6 address carries.
fn carried(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let pair = |one: u16, other: u16| Ipv4Addr::from(u32::from(one) << 16 | u32::from(other));
    match address.segments() {
        // Mapped (::ffff:0:0/96), compatible (::/96), translated (::ffff:0:0:0/96) and
        // NAT64's well-known prefix.
        [0, 0, 0, 0, 0, 0 | 0xffff, a, b]
        | [0, 0, 0, 0, 0xffff, 0, a, b]
        | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => [Some(pair(a, b)), None],
        // 6to4.
        [0x2002, a, b, ..] => [Some(pair(a, b)), None],
        // Teredo: its server, and its client with every bit turned.
        [0x2001, 0, a, b, _, _, c, d] => [Some(pair(a, b)), Some(pair(!c, !d))],
        // ISATAP, under any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, a, b] => [Some(pair(a, b)), None],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_inside_is_refused_however_it_is_written() {
        for inside in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.254",
            "127.0.0.1",
            "127.255.1.2",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::5db8:d822",
            "100::1",
            "2001:0:5db8:d822::f5ff:fffe",
            "2001:0:7f00:1::a247:27dd",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2002:c0a8:1::1",
            "2606:4700::5efe:10.0.0.1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "1a00::1",
            "4000::1",
            "ff02::1",
        ] {
            assert!(refused(inside.parse().unwrap()).is_some(), "{inside}");
        }
    }

    #[test]
    fn what_lies_outside_is_not() {
        for outside in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:93.184.216.34",
            "64:ff9b::5db8:d822",
            "2001:4860:4860::8888",
            "2002:5db8:d822::1",
            "2606:4700:4700::1111",
        ] {
            assert_eq!(refused(outside.parse().unwrap()), None, "{outside}");
        }
    }
}
