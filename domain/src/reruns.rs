//! Lost races at a use case's edge (L3): the transaction is run again, three times at most, and that is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, WallError};

/// How many transactions of this process lost a race (40P01, 40001, a key taken meanwhile) since it started.
static LOST: AtomicU64 = AtomicU64::new(0);

/// The runs that one call of a use case has left.
#[derive(Debug)]
pub struct Reruns(u32);

impl Default for Reruns {
    fn default() -> Self {
        Self(3)
    }
}

impl Reruns {
    /// True when the error is a lost race and the transaction may be run again.
    pub fn after(&mut self, error: &Error) -> bool {
        let lost = matches!(error, Error::Wall(WallError::Retry));
        if lost {
            let total = LOST.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::info!(total, "a transaction lost a race");
        }
        lost && self.take()
    }

    /// Takes one of the runs that are left, for whatever reason; false when there is none.
    pub fn take(&mut self) -> bool {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }

    /// How many were taken.
    pub fn taken(&self) -> u32 {
        Self::default().0 - self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_race_is_run_again_three_times_and_other_errors_never() {
        let mut reruns = Reruns::default();
        let before = LOST.load(Ordering::Relaxed);
        assert!(!reruns.after(&Error::Wall(WallError::Unavailable)));
        let lost = Error::Wall(WallError::Retry);
        assert!(reruns.after(&lost) && reruns.after(&lost) && reruns.after(&lost));
        assert!(!reruns.after(&lost));
        assert_eq!(reruns.taken(), 3);
        assert!(LOST.load(Ordering::Relaxed) >= before + 4);
    }
}
