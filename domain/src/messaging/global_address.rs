//! Which addresses lie outside the deployment's network and this machine (C-227): those that the registries of IANA call
//! globally reachable, and none that leads to an IPv4 address in disguise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// True for an address that a tenant may make us connect to.
pub fn is_global(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => is_global_v4(ip),
        IpAddr::V6(ip) => is_global_v6(ip),
    }
}

fn is_global_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmark = a == 198 && (b == 18 || b == 19);
    // Protocol assignments; the relays that 6to4 had.
    let assigned = (a, b, c) == (192, 0, 0) || (a, b, c) == (192, 88, 99);
    let ours = ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared;
    // 240.0.0.0/4 was never given to anybody; the last of it is the broadcast address.
    !(a == 0 || ours || benchmark || assigned || ip.is_documentation() || ip.is_multicast() || a >= 240)
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // Everything given out lies in 2000::/3: so neither loopback, link-local, unique local and multicast addresses, nor
    // NAT64's 64:ff9b::/96, nor IPv4-compatible ones.
    let unicast = a & 0xe000 == 0x2000;
    // Teredo and other protocols, documentation, 6to4.
    let protocols = a == 0x2001 && b < 0x0200;
    let documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    unicast && !protocols && !documentation && a != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c227_only_addresses_of_the_public_net_are_global() {
        for text in ["9.9.9.9", "100.63.0.1", "172.32.0.1", "192.0.1.1", "198.20.0.1", "2620:fe::9", "2a00:1450::1"] {
            assert!(is_global(text.parse().unwrap()), "{text}");
        }
        let inside = [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::a00:1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:a00:1::",
            "3fff::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in inside {
            assert!(!is_global(text.parse().unwrap()), "{text}");
        }
    }
}
