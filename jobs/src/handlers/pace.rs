//! How much one claim takes, so that what passed the gate can leave before its permit runs out (L3).
//!
//! Mail that the gate let through and that comes too late goes back to the gate: right, but paid for. So a relay that is
//! slow makes claims smaller, and one that is quick makes them large again. Each tenant has a pace of its own: which relay
//! a claim is for is known only with it, and a slow one is the business of nobody else (C-174).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use carillon_domain::ids::TenantId;
use carillon_domain::messaging::GROUP;

use super::BATCH;

/// What this process has learnt about relays: the tenants whose claims are small.
#[derive(Debug, Default)]
pub struct Pace(Mutex<HashMap<TenantId, u32>>);

impl Pace {
    /// How many messages of the `n` that a ticket permits are to be claimed.
    pub(super) fn of(&self, tenant: TenantId, n: u32) -> u32 {
        let paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paces.get(&tenant).map_or(n, |pace| n.min(*pace))
    }

    /// Learns from a batch of so many: half as many next time if permits ran out, twice as many if not.
    pub(super) fn learn(&self, tenant: TenantId, size: usize, too_slow: bool) {
        let size = u32::try_from(size).unwrap_or(BATCH);
        let least = u32::try_from(GROUP).unwrap_or(1);
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = paces.get(&tenant).copied().unwrap_or(BATCH);
        // A small batch that was quick says nothing about a large one.
        let next = if too_slow { (size / 2).max(least) } else { pace.max(size.saturating_mul(2)) };
        if next < BATCH {
            paces.insert(tenant, next);
        } else {
            paces.remove(&tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn slow_relays_make_claims_smaller_and_quick_ones_large_again() {
        let (pace, one, other) = (Pace::default(), TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        assert_eq!((pace.of(one, BATCH), pace.of(one, 10)), (BATCH, 10));
        for expected in [240, 120, 60, 30, 16, 16] {
            pace.learn(one, usize::try_from(pace.of(one, BATCH)).unwrap(), true);
            assert_eq!((pace.of(one, BATCH), pace.of(other, BATCH)), (expected, BATCH));
        }
        pace.learn(one, 3, false);
        assert_eq!(pace.of(one, BATCH), 16);
        for expected in [32, 64, 128, 256, 480, 480] {
            pace.learn(one, usize::try_from(pace.of(one, BATCH)).unwrap(), false);
            assert_eq!(pace.of(one, BATCH), expected);
        }
        assert!(pace.0.lock().unwrap().is_empty(), "a quick relay is forgotten");
    }
}
