//! Time is a parameter (L6): rules take `now`, use cases ask a [`Clock`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// An instant in UTC, always whole microseconds.
pub type Timestamp = DateTime<Utc>;

/// Where a process reads the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present instant in whole microseconds.
    fn now(&self) -> Timestamp;
    /// A monotonic reading for durations (permits, leases held by this process).
    fn monotonic(&self) -> Monotonic;
    /// False while the process must not claim work because it does not know the time (C-180).
    fn is_trustworthy(&self) -> bool {
        true
    }
}

/// Microseconds on a clock that never goes back; only differences mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(pub i64);

impl Monotonic {
    /// The time from `earlier` to this reading.
    pub fn since(self, earlier: Self) -> TimeDelta {
        TimeDelta::microseconds(self.0 - earlier.0)
    }
}

/// Cuts an instant to whole microseconds, the precision both databases keep.
pub fn to_micros(at: Timestamp) -> Timestamp {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

/// The database's time: an offset, measured from outside, plus a monotonic clock (C-180).
///
/// Until the first measurement, when the last is older than [`DatabaseClock::STALE_AFTER`], or while the host's own clock
/// is off by more than [`DatabaseClock::HOST_WRONG`], the clock is not trustworthy and the process stops claiming.
#[derive(Debug)]
pub struct DatabaseClock {
    started: Instant,
    /// Database time minus monotonic reading, in microseconds.
    offset: AtomicI64,
    /// Monotonic reading of the last measurement; `i64::MIN` before the first.
    measured_at: AtomicI64,
    /// Host time minus database time, in microseconds.
    host_skew: AtomicI64,
}

impl DatabaseClock {
    /// Without a measurement for this long the process stops claiming.
    pub const STALE_AFTER: TimeDelta = TimeDelta::seconds(30);
    /// A host's clock that is off by more is an alarm.
    pub const HOST_ALARM: TimeDelta = TimeDelta::seconds(1);
    /// With a host's clock that is off by more the process stops claiming. Its rows would be right all the same, but
    /// libraries stamp what other processes read with the host's time.
    pub const HOST_WRONG: TimeDelta = TimeDelta::seconds(5);

    /// A clock that starts from the system's time and is not trustworthy before [`Self::measured`].
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            offset: AtomicI64::new(host_time().timestamp_micros()),
            measured_at: AtomicI64::new(i64::MIN),
            host_skew: AtomicI64::new(0),
        }
    }

    /// Takes a measurement: what the database said, and the monotonic readings before and after asking.
    /// Returns how far the clock was moved.
    pub fn measured(&self, database: Timestamp, before: Monotonic, after: Monotonic) -> TimeDelta {
        let middle = before.0 + (after.0 - before.0) / 2;
        let offset = database.timestamp_micros() - middle;
        let moved = offset - self.offset.swap(offset, Ordering::SeqCst);
        self.measured_at.store(after.0, Ordering::SeqCst);
        TimeDelta::microseconds(moved)
    }

    /// Compares the host's clock, read just now ([`host_time`]), with the database's; returns by how much it is ahead.
    pub fn compare_host(&self, host: Timestamp) -> TimeDelta {
        let skew = host - self.now();
        self.host_skew.store(skew.num_microseconds().unwrap_or(i64::MAX), Ordering::SeqCst);
        skew
    }

    /// By how much the host's clock was ahead of the database's when last compared.
    pub fn host_skew(&self) -> TimeDelta {
        TimeDelta::microseconds(self.host_skew.load(Ordering::SeqCst))
    }
}

/// What this host believes the time to be: only to be compared with the database's.
#[expect(clippy::disallowed_methods, reason = "the adapter that the ban on system time leaves open")]
pub fn host_time() -> Timestamp {
    Utc::now()
}

impl Default for DatabaseClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        let micros = self.offset.load(Ordering::SeqCst) + self.monotonic().0;
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    fn is_trustworthy(&self) -> bool {
        let measured = self.measured_at.load(Ordering::SeqCst);
        let recently = measured != i64::MIN && self.monotonic().since(Monotonic(measured)) < Self::STALE_AFTER;
        recently && self.host_skew().abs() <= Self::HOST_WRONG
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.timestamp_micros()))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap_or(DateTime::UNIX_EPOCH)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.load(Ordering::SeqCst))
    }
}
