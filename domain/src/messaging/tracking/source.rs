//! Where a hit came from, as little of it as the signals need (C-85): a keyed hash of the network, new every day.

use std::net::IpAddr;

use aws_lc_rs::hmac;
use carillon_entities::ids::TenantId;

use crate::keys::{Keyring, Purpose};
use crate::time::Timestamp;

/// Octets that are kept of a hash; enough to tell the networks of a day apart.
const KEPT: usize = 16;

/// The hash of the network an address is in: equal only for the same network, tenant and day (UTC). Empty when nobody knows
/// where the hit came from.
pub(super) fn source_hash(keys: &Keyring, tenant: TenantId, address: Option<IpAddr>, now: Timestamp) -> Vec<u8> {
    let key = keys.derive(keys.active(), Purpose::Source, Some(tenant));
    let (Some(address), Some(key)) = (address, key) else { return Vec::new() };
    let text = format!("{} {}", now.date_naive(), network(address));
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes()).as_ref()[..KEPT].to_vec()
}

/// The first 24 bits of an IPv4 address, the first 48 of an IPv6 address.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("4/{a}.{b}.{c}")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("6/{a:x}:{b:x}:{c:x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use uuid::Uuid;

    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn c085_of_an_address_only_a_keyed_hash_of_its_network_is_left_for_a_day() {
        let keys = Keyring::generate(&SeededEntropy::new(1));
        let of = |tenant, address: &str, hours| {
            let now = DateTime::UNIX_EPOCH + TimeDelta::hours(hours);
            source_hash(&keys, TenantId(Uuid::from_u128(tenant)), Some(address.parse().unwrap()), now)
        };
        let here = of(1, "203.0.113.9", 1);
        assert_eq!(here.len(), KEPT);
        assert_eq!(here, of(1, "203.0.113.200", 23), "one network");
        assert_eq!(here, of(1, "::ffff:203.0.113.9", 1), "one address in two spellings");
        for other in [of(1, "203.0.114.9", 1), of(1, "203.0.113.9", 25), of(2, "203.0.113.9", 1)] {
            assert_ne!(here, other);
        }
        assert_eq!(of(1, "2001:db8:1:2::3", 1), of(1, "2001:db8:1:ffff::4", 1));
        assert_ne!(of(1, "2001:db8:1::", 1), of(1, "2001:db8:2::", 1));
        assert!(source_hash(&keys, TenantId(Uuid::nil()), None, DateTime::UNIX_EPOCH).is_empty());
    }
}
