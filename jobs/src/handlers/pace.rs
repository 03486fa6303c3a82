//! How much one claim takes, so that what passed the gate can leave before its permit runs out (L3).
//!
//! Mail that the gate let through and that comes too late goes back to the gate: right, but paid for. So a relay that is
//! slow makes claims smaller, and one that is quick makes them large again.

use std::sync::atomic::{AtomicU32, Ordering};

use carillon_domain::messaging::GROUP;

use super::BATCH;

/// What this process has learnt about its relays.
#[derive(Debug)]
pub struct Pace(AtomicU32);

impl Default for Pace {
    fn default() -> Self {
        Self(AtomicU32::new(BATCH))
    }
}

impl Pace {
    /// How many messages of the `n` that a ticket permits are to be claimed.
    pub(super) fn of(&self, n: u32) -> u32 {
        n.min(self.0.load(Ordering::Relaxed))
    }

    /// Learns from a batch of so many: half as many next time if permits ran out, twice as many if not.
    pub(super) fn learn(&self, size: usize, too_slow: bool) {
        let size = u32::try_from(size).unwrap_or(BATCH);
        let least = u32::try_from(GROUP).unwrap_or(1);
        // A small batch that was quick says nothing about a large one.
        let next =
            |pace: u32| if too_slow { (size / 2).max(least) } else { pace.max(size.saturating_mul(2)).min(BATCH) };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |pace| Some(next(pace)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_relays_make_claims_smaller_and_quick_ones_large_again() {
        let pace = Pace::default();
        assert_eq!((pace.of(500), pace.of(10)), (BATCH, 10));
        for expected in [240, 120, 60, 30, 16, 16] {
            pace.learn(usize::try_from(pace.of(BATCH)).unwrap(), true);
            assert_eq!(pace.of(BATCH), expected);
        }
        pace.learn(3, false);
        assert_eq!(pace.of(BATCH), 16);
        for expected in [32, 64, 128, 256, 480, 480] {
            pace.learn(usize::try_from(pace.of(BATCH)).unwrap(), false);
            assert_eq!(pace.of(BATCH), expected);
        }
    }
}
