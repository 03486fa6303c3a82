//! Chance is a parameter (L6): ids, keys and tokens come from an [`Entropy`].

use std::sync::Mutex;

use rand::{RngCore, SeedableRng};
use uuid::Uuid;

use crate::time::Timestamp;

/// Where a process gets random bytes.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// Fills the buffer with random bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// A number below `bound` (0 when `bound` is 0), for jitter.
    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
    }

    /// A UUIDv7 for an instant: sortable by arrival, 74 random bits.
    fn uuid_v7(&self, now: Timestamp) -> Uuid {
        let mut bytes = [0; 10];
        self.fill(&mut bytes);
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}

/// The operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // The only failure is a machine without a working generator, on which nothing here may go on.
        aws_lc_rs::rand::fill(bytes).expect("the operating system gives random bytes");
    }
}

/// A reproducible stream for tests and the demo.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<rand::rngs::StdRng>);

impl SeededEntropy {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(rand::rngs::StdRng::seed_from_u64(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        match self.0.lock() {
            Ok(mut rng) => rng.fill_bytes(bytes),
            Err(poisoned) => poisoned.into_inner().fill_bytes(bytes),
        }
    }
}
