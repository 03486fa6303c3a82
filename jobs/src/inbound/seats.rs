//! How many connections each client has: a few that say nothing must not keep all others out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections by client.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    most: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection's place; dropping it makes room for the client's next.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    client: IpAddr,
}

impl Seats {
    /// Places for so many connections of each client.
    pub fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// A place; none for a client that has all of its own.
    pub fn take(&self, address: IpAddr) -> Option<Seat> {
        let client = client(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(client).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { seats: self.clone(), client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

/// Who an address belongs to: of IPv6 a client has a network of 64 bits.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c054_a_client_has_places_of_its_own_and_gets_them_back() {
        let (seats, at) = (Seats::new(2), |text: &str| text.parse::<IpAddr>().unwrap());
        let first = seats.take(at("192.0.2.1"));
        let second = seats.take(at("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(seats.take(at("192.0.2.1")).is_none(), "the same client in either notation");
        assert!(seats.take(at("192.0.2.2")).is_some());
        drop(first);
        assert!(seats.take(at("192.0.2.1")).is_some());
        drop(second);
        let network = [seats.take(at("2001:db8::1")), seats.take(at("2001:db8::2"))];
        assert!(network.iter().all(Option::is_some));
        assert!(seats.take(at("2001:db8::3")).is_none(), "one network");
        assert!(seats.take(at("2001:db8:0:1::3")).is_some());
        drop(network);
        assert!(seats.taken.lock().unwrap().is_empty(), "nobody is remembered");
    }
}
