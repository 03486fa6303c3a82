//! Chance is a parameter (L6): ids, keys and tokens come from an [`Entropy`].

use std::cell::RefCell;
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
        if bytes.len() > Drawn::SHARE {
            return draw(bytes);
        }
        DRAWN.with_borrow_mut(|drawn| drawn.give(bytes));
    }
}

fn draw(bytes: &mut [u8]) {
    // The only failure is a machine without a working generator, on which nothing here may go on.
    aws_lc_rs::rand::fill(bytes).expect("the operating system gives random bytes");
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const { RefCell::new(Drawn { bytes: [0; Drawn::SIZE], left: 0 }) };
}

/// Bytes drawn beforehand: the generator costs by the call, and ids and nonces are a few bytes each. Each byte is given once
/// and kept nowhere.
struct Drawn {
    bytes: [u8; Self::SIZE],
    left: usize,
}

impl Drawn {
    const SIZE: usize = 4_096;
    /// What is longer is drawn by itself.
    const SHARE: usize = 64;

    fn give(&mut self, to: &mut [u8]) {
        if self.left < to.len() {
            draw(&mut self.bytes);
            self.left = Self::SIZE;
        }
        let from = self.left - to.len();
        let given = &mut self.bytes[from..self.left];
        to.copy_from_slice(given);
        given.fill(0);
        self.left = from;
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_byte_is_given_twice() {
        let mut seen = HashSet::new();
        for size in (16..=64).cycle().take(5_000) {
            let mut bytes = vec![0; size];
            SystemEntropy.fill(&mut bytes);
            assert!(bytes.windows(16).step_by(16).all(|part| seen.insert(part.to_vec())), "{size} bytes");
        }
        let mut long = vec![0; 3 * Drawn::SIZE];
        SystemEntropy.fill(&mut long);
        assert!(long.chunks(16).all(|part| seen.insert(part.to_vec())));
    }
}
