//! Which addresses are the open Internet's. Only what is assigned to it passes; what is special within is refused
//! (IANA's registries of special-purpose addresses, RFC 6890 and its heirs).
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Special ranges of IPv4: first address, length of the prefix.
const SPECIAL_4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network; 0.0.0.0 is this machine
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // behind a carrier's translation
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local: a cloud's metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, and broadcast
];

/// What of IPv6 is assigned for global unicast. Everything else is outside: unspecified, loopback, IPv4-mapped and
/// -compatible, NAT64, unique local, link-local, site-local, multicast.
const GLOBAL_6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Special ranges within it.
const SPECIAL_6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: carries an IPv4 address
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Whether an address is the open Internet's, and may be asked on behalf of anybody.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !SPECIAL_4.iter().any(|&range| within_4(ip, range)),
        IpAddr::V6(ip) => within_6(ip, GLOBAL_6) && !SPECIAL_6.iter().any(|&range| within_6(ip, range)),
    }
}

fn within_4(ip: Ipv4Addr, (first, prefix): (Ipv4Addr, u32)) -> bool {
    (ip.to_bits() ^ first.to_bits()) >> (Ipv4Addr::BITS - prefix) == 0
}

fn within_6(ip: Ipv6Addr, (first, prefix): (Ipv6Addr, u32)) -> bool {
    (ip.to_bits() ^ first.to_bits()) >> (Ipv6Addr::BITS - prefix) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(address: &str) -> bool {
        is_public(address.parse().unwrap())
    }

    /// First and last address of each range that is refused, and the neighbours that are the open Internet's.
    #[test]
    fn each_special_range_is_refused_from_its_first_address_to_its_last() {
        let ranges = [
            // range, first, last, the one before, the one after
            ("this network", "0.0.0.0", "0.255.255.255", None, Some("1.0.0.0")),
            ("private 10", "10.0.0.0", "10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0")),
            ("CGNAT", "100.64.0.0", "100.127.255.255", Some("100.63.255.255"), Some("100.128.0.0")),
            ("loopback", "127.0.0.0", "127.255.255.255", Some("126.255.255.255"), Some("128.0.0.0")),
            ("link-local", "169.254.0.0", "169.254.255.255", Some("169.253.255.255"), Some("169.255.0.0")),
            ("private 172", "172.16.0.0", "172.31.255.255", Some("172.15.255.255"), Some("172.32.0.0")),
            ("assignments", "192.0.0.0", "192.0.0.255", Some("191.255.255.255"), Some("192.0.1.0")),
            ("documentation 1", "192.0.2.0", "192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0")),
            ("6to4 relays", "192.88.99.0", "192.88.99.255", Some("192.88.98.255"), Some("192.88.100.0")),
            ("private 192", "192.168.0.0", "192.168.255.255", Some("192.167.255.255"), Some("192.169.0.0")),
            ("benchmarks", "198.18.0.0", "198.19.255.255", Some("198.17.255.255"), Some("198.20.0.0")),
            ("documentation 2", "198.51.100.0", "198.51.100.255", Some("198.51.99.255"), Some("198.51.101.0")),
            ("documentation 3", "203.0.113.0", "203.0.113.255", Some("203.0.112.255"), Some("203.0.114.0")),
            ("multicast", "224.0.0.0", "239.255.255.255", Some("223.255.255.255"), None),
            ("reserved", "240.0.0.0", "255.255.255.255", None, None),
            ("unspecified 6", "::", "::", None, None),
            ("loopback 6", "::1", "::1", None, None),
            ("IPv4-compatible", "::2", "::ffff:ffff", None, None),
            ("IPv4-mapped", "::ffff:0.0.0.0", "::ffff:255.255.255.255", None, None),
            ("IPv4-translated", "::ffff:0:0.0.0.0", "::ffff:0:255.255.255.255", None, None),
            ("NAT64", "64:ff9b::", "64:ff9b::ffff:ffff", None, None),
            ("local NAT64", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", None, None),
            ("discard", "100::", "100::ffff:ffff:ffff:ffff", None, None),
            ("all below", "0:1::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("2000::")),
            ("Teredo", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", Some("2000:ffff::"), None),
            ("assignments 6", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("2001:200::")),
            (
                "documentation 6",
                "2001:db8::",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                Some("2001:db7:ffff::"),
                Some("2001:db9::"),
            ),
            ("6to4", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:ffff::"), Some("2003::")),
            (
                "documentation 6b",
                "3fff::",
                "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
                Some("3ffe:ffff::"),
                Some("3fff:1000::"),
            ),
            ("all above", "4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3fff:ffff::"), None),
            ("unique local", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
            ("link-local 6", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
            ("site-local", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
            ("multicast 6", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ];
        for (range, first, last, before, after) in ranges {
            assert!(!judged(first), "{range}: {first}");
            assert!(!judged(last), "{range}: {last}");
            for neighbour in [before, after].into_iter().flatten() {
                assert!(judged(neighbour), "beside {range}: {neighbour}");
            }
        }
    }

    #[test]
    fn the_open_internet_is_let_through_and_its_addresses_in_disguise_are_not() {
        for open in ["8.8.8.8", "93.184.215.14", "104.16.0.1", "2606:4700::6810:1", "2a00:1450:4001:82a::200e"] {
            assert!(judged(open), "{open}");
        }
        for disguise in ["::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"] {
            assert!(!judged(disguise), "{disguise}");
        }
    }
}
