//! Limits in front of costly or guessable operations (C-216): per account and per address of the caller, before any
//! password is hashed, in a fixed amount of memory.
//!
//! Where processes share a limiter ([`SharedLimits`]), it counts for all of them; while it cannot be asked, each process
//! counts for itself.
//!
//! Generic cell rate algorithm: per key one time, before which the next attempt comes too early. When the table is
//! full of keys that still matter, new keys share a fixed number of buckets: a flood makes limits stricter, never
//! looser, and never takes more memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use chrono::TimeDelta;
use futures::future::BoxFuture;

use crate::error::{Error, Result};
use crate::keys::{Keyring, Purpose};
use crate::time::{Clock, Monotonic};

const SHARED: usize = 1024;

/// So many at once, then one more each `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many may come at once.
    pub burst: u32,
    /// After how long there is room for one more.
    pub every: TimeDelta,
}

/// Whose attempts are counted.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'a> {
    /// The account that is named, existing or not (C-217): its normalised name.
    Account(&'a str),
    /// Where the request comes from; IPv6 by its /64, which is one customer.
    Address(IpAddr),
}

impl Caller<'_> {
    /// One text per caller: a mapped IPv4 address is what it maps.
    fn canonical(self) -> String {
        match self {
            Self::Account(name) => format!("a{name}"),
            Self::Address(IpAddr::V4(address)) => format!("4{address}"),
            Self::Address(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => format!("4{address}"),
                None => format!("6{:x?}", &address.segments()[..4]),
            },
        }
    }
}

/// The limiter that the processes of a deployment share.
pub trait SharedLimits: Send + Sync + std::fmt::Debug {
    /// Counts one attempt of a caller, who is named by a keyed hash: nothing personal leaves the process. Answers how
    /// long they must wait, or nothing when it cannot be asked. When the attempt was counted the wait is not above zero:
    /// what is below is the time whose attempts may still come at once.
    fn take<'a>(&'a self, caller: &'a str, limit: Limit) -> BoxFuture<'a, Option<TimeDelta>>;
}

/// The way to the shared limiter.
#[derive(Debug)]
pub(super) struct Sharing {
    limits: Arc<dyn SharedLimits>,
    key: hmac::Key,
}

impl Sharing {
    /// Names callers by their hash under the keyring's active key.
    pub fn new(limits: Arc<dyn SharedLimits>, keys: &Keyring) -> Option<Self> {
        let key = keys.derive(keys.active(), Purpose::Throttle, None)?;
        Some(Self { limits, key: hmac::Key::new(hmac::HMAC_SHA256, &key) })
    }

    /// As [`Throttle::take`], or nothing when the limiter cannot be asked.
    pub async fn take(&self, what: &str, callers: &[(Caller<'_>, Limit)]) -> Option<Result<()>> {
        for (caller, limit) in callers {
            let wait = self.lease(&format!("{what}:{}", caller.canonical()), *limit).await?;
            if wait > TimeDelta::zero() {
                return Some(Err(too_many(wait.num_microseconds().unwrap_or(i64::MAX))));
            }
        }
        Some(Ok(()))
    }

    /// As [`SharedLimits::take`], of whoever has this name.
    pub async fn lease(&self, name: &str, limit: Limit) -> Option<TimeDelta> {
        let name = hex::encode(hmac::sign(&self.key, name.as_bytes()));
        self.limits.take(&name, limit).await
    }
}

/// The limiter of one process.
#[derive(Debug)]
pub struct Throttle {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    capacity: usize,
    buckets: Mutex<Buckets>,
}

/// Times on the monotonic clock at which a bucket is empty again.
#[derive(Debug)]
struct Buckets {
    own: HashMap<u64, i64>,
    shared: Vec<i64>,
}

impl Throttle {
    /// A limiter that remembers at most `capacity` callers.
    pub fn new(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        let buckets = Buckets { own: HashMap::new(), shared: vec![i64::MIN; SHARED] };
        Self { clock, hasher: RandomState::new(), capacity, buckets: Mutex::new(buckets) }
    }

    /// Counts one attempt at `what` for each caller in turn.
    ///
    /// # Errors
    /// [`Error::TooMany`] from the first caller that has to wait; the ones after it are not charged, so a blocked
    /// address cannot lock an account.
    pub fn take(&self, what: &'static str, callers: &[(Caller<'_>, Limit)]) -> Result<()> {
        let Monotonic(now) = self.clock.monotonic();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        for (caller, limit) in callers {
            let key = self.hasher.hash_one((what, caller.canonical()));
            charge(buckets.bucket(key, now, self.capacity), now, *limit)?;
        }
        Ok(())
    }
}

impl Buckets {
    fn bucket(&mut self, key: u64, now: i64, capacity: usize) -> &mut i64 {
        if self.own.len() >= capacity && !self.own.contains_key(&key) {
            self.own.retain(|_, empty_at| *empty_at > now);
        }
        if self.own.len() >= capacity && !self.own.contains_key(&key) {
            let shared = usize::try_from(key % SHARED as u64).unwrap_or(0);
            return &mut self.shared[shared];
        }
        self.own.entry(key).or_insert(i64::MIN)
    }
}

fn charge(empty_at: &mut i64, now: i64, limit: Limit) -> Result<()> {
    let every = limit.every.num_microseconds().unwrap_or(i64::MAX).max(1);
    let room = every.saturating_mul(i64::from(limit.burst.max(1)));
    let after = now.max(*empty_at).saturating_add(every);
    let over = after.saturating_sub(now).saturating_sub(room);
    if over > 0 {
        return Err(too_many(over));
    }
    *empty_at = after;
    Ok(())
}

fn too_many(wait_us: i64) -> Error {
    let seconds = wait_us.saturating_add(999_999) / 1_000_000;
    Error::TooMany { retry_after_s: u32::try_from(seconds).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::time::ManualClock;

    const LIMIT: Limit = Limit { burst: 3, every: TimeDelta::seconds(10) };

    fn throttle(capacity: usize) -> (Arc<ManualClock>, Throttle) {
        let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        (Arc::clone(&clock), Throttle::new(clock, capacity))
    }

    fn wait(result: Result<()>) -> Option<u32> {
        match result {
            Ok(()) => None,
            Err(Error::TooMany { retry_after_s }) => Some(retry_after_s),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn c216_a_burst_then_one_each_interval() {
        let (clock, throttle) = throttle(10);
        let take = |name: &str| wait(throttle.take("sign_in", &[(Caller::Account(name), LIMIT)]));
        for _ in 0..3 {
            assert_eq!(take("ada"), None);
        }
        assert_eq!(take("ada"), Some(10));
        assert_eq!(take("bob"), None);
        assert_eq!(wait(throttle.take("reset", &[(Caller::Account("ada"), LIMIT)])), None);
        clock.advance(TimeDelta::seconds(10));
        assert_eq!(take("ada"), None);
        assert_eq!(take("ada"), Some(10));
        clock.advance(TimeDelta::hours(1));
        assert_eq!((take("ada"), take("ada"), take("ada"), take("ada")), (None, None, None, Some(10)));
    }

    #[test]
    fn c216_a_blocked_address_does_not_lock_an_account() {
        let (_clock, throttle) = throttle(10);
        let address = Caller::Address("2001:db8::1".parse().unwrap());
        let neighbour = Caller::Address("2001:db8::2".parse().unwrap());
        let elsewhere = Caller::Address("192.0.2.1".parse().unwrap());
        for _ in 0..3 {
            assert_eq!(wait(throttle.take("sign_in", &[(address, LIMIT)])), None);
        }
        for _ in 0..10 {
            let attempt = [(neighbour, LIMIT), (Caller::Account("ada"), LIMIT)];
            assert!(wait(throttle.take("sign_in", &attempt)).is_some());
        }
        let attempt = [(elsewhere, LIMIT), (Caller::Account("ada"), LIMIT)];
        assert_eq!(wait(throttle.take("sign_in", &attempt)), None);
    }

    #[test]
    fn c216_a_flood_takes_no_more_memory_and_does_not_reset_anybody() {
        let (_clock, throttle) = throttle(100);
        for _ in 0..3 {
            assert_eq!(wait(throttle.take("sign_in", &[(Caller::Account("ada"), LIMIT)])), None);
        }
        for n in 0..10_000 {
            drop(throttle.take("sign_in", &[(Caller::Account(&n.to_string()), LIMIT)]));
        }
        assert_eq!(throttle.buckets.lock().unwrap().own.len(), 100);
        assert!(wait(throttle.take("sign_in", &[(Caller::Account("ada"), LIMIT)])).is_some());
    }
}
