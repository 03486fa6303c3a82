//! Remembers what was verified, within a fixed amount of memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;

type Key = [u8; 32];

/// What was verified, by the SHA-256 of its text. Two generations: when the young one is full it becomes the old one,
/// and the old one goes; so what is in use stays, and nothing has to be swept.
#[derive(Debug)]
pub(super) struct VerifiedCache<V> {
    generation_len: usize,
    generations: Mutex<Generations<V>>,
}

#[derive(Debug)]
struct Generations<V> {
    young: HashMap<Key, V>,
    old: HashMap<Key, V>,
}

impl<V: Copy> VerifiedCache<V> {
    /// A cache of at most `capacity` entries.
    pub(super) fn new(capacity: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Self { generation_len: (capacity / 2).max(1), generations: Mutex::new(generations) }
    }

    /// What was remembered for the text.
    pub(super) fn get(&self, text: &str) -> Option<V> {
        let key = key(text);
        let mut generations = self.lock();
        if let Some(value) = generations.young.get(&key) {
            return Some(*value);
        }
        let value = generations.old.remove(&key)?;
        self.insert(&mut generations, key, value);
        Some(value)
    }

    /// Remembers.
    pub(super) fn put(&self, text: &str, value: V) {
        let key = key(text);
        self.insert(&mut self.lock(), key, value);
    }

    fn insert(&self, generations: &mut Generations<V>, key: Key, value: V) {
        if generations.young.len() >= self.generation_len {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, value);
    }

    fn lock(&self) -> MutexGuard<'_, Generations<V>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(text: &str) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let cache = VerifiedCache::new(8);
        cache.put("mine", 0);
        for n in 1..1000 {
            cache.put(&n.to_string(), n);
            assert_eq!(cache.get("mine"), Some(0));
        }
        assert_eq!(cache.get("1"), None);
        let generations = cache.lock();
        assert!(generations.young.len() + generations.old.len() <= 8);
    }
}
