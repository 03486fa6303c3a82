//! Where a request comes from: the peer, or what a proxy we trust says of it (C-201: it is evidence).

use std::net::IpAddr;
use std::str::FromStr;

use actix_web::HttpRequest;
use ipnet::IpNet;

/// The most hops of a forwarding header that are looked at.
const MAX_HOPS: usize = 20;

/// Addresses whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// An entry of the list is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor a network such as 10.0.0.0/8, which is as wide as they may be")]
pub struct InvalidProxy(String);

impl FromStr for TrustedProxies {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let network = |entry: &str| {
            let network = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
            network.ok().filter(is_narrow).ok_or_else(|| InvalidProxy(entry.to_owned()))
        };
        entries.map(network).collect::<Result<_, _>>().map(Self)
    }
}

/// Whoever trusts half the world lets strangers choose the address that their attempts are counted by (C-216). The
/// widest network that somebody has to themselves is 10.0.0.0/8, or fc00::/7.
fn is_narrow(network: &IpNet) -> bool {
    let widest = if network.addr().is_ipv4() { 8 } else { 7 };
    network.prefix_len() >= widest
}

impl TrustedProxies {
    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a connection from `peer` that came with these forwarding headers, in their order.
    ///
    /// Each proxy appends whom it spoke to, so the list is read from its end as long as the speaker is trusted; what
    /// stands before the first stranger was written by strangers.
    fn client<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut client = peer.to_canonical();
        let hops = forwarded.rev().flat_map(|value| value.rsplit(',')).take(MAX_HOPS);
        for hop in hops {
            if !self.trust(client) {
                break;
            }
            let Some(address) = address(hop.trim()) else { break };
            client = address;
        }
        client
    }
}

/// Some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    address.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()).map(|address| address.to_canonical())
}

/// Where the request comes from; none only where there is no peer address (a Unix socket).
pub fn client_ip(request: &HttpRequest, trusted: &TrustedProxies) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    let values: Vec<&str> =
        request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
    Some(trusted.client(peer, values.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, forwarded: &[&str]) -> String {
        let trusted: TrustedProxies = trusted.parse().unwrap();
        trusted.client(peer.parse().unwrap(), forwarded.iter().copied()).to_string()
    }

    #[test]
    fn c201_a_strangers_header_is_not_believed() {
        assert_eq!(client("", "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("10.0.0.0/8", "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn c201_a_trusted_proxys_last_word_counts() {
        let trusted = "10.0.0.0/8, ::1";
        assert_eq!(client(trusted, "10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(trusted, "10.1.2.3", &["1.1.1.1, 198.51.100.1, 10.9.9.9"]), "198.51.100.1");
        assert_eq!(client(trusted, "10.1.2.3", &["1.1.1.1", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(trusted, "::1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(client(trusted, "::ffff:10.1.2.3", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(client(trusted, "10.1.2.3", &["garbage"]), "10.1.2.3");
        assert_eq!(client(trusted, "10.1.2.3", &[]), "10.1.2.3");
        assert!("10.0.0.0/40".parse::<TrustedProxies>().is_err());
    }
}
