//! Texts of persisted documents that were looked up a moment ago, so that the many calls of a busy client ask the database
//! once.
//!
//! A moment is two seconds, counted from before the look: what was retired, or taken out of a set, runs no longer than that,
//! and with the three seconds between two looks at a socket nothing of it is told after five (C-224).
//!
//! All who listen are due at the same moments: ten thousand with one document are one look then, and not each a connection.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_domain::ids::{DocumentSetId, TenantId};
use carillon_domain::persisted::DocumentHash;
use carillon_domain::time::Timestamp;
use chrono::TimeDelta;
use lru::LruCache;

/// How long a text is believed.
const LIFE: TimeDelta = TimeDelta::seconds(2);
/// Octets of all that is kept: what was used last.
const OCTETS: usize = 16 << 20;
/// Octets that a text takes besides its own.
const BESIDE: usize = 256;
/// Documents that somebody listens with, as far as they are known here: what is not costs a look too many.
const TURNS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// Whose document, and whether they may run certain ones alone: what one may, another may not.
pub(super) type Key = (TenantId, Option<DocumentSetId>, DocumentHash);

/// Held by who looks a document up for all who listen with it; when it was not there.
pub(super) type Turn = tokio::sync::Mutex<Option<Timestamp>>;

/// The documents that one process keeps.
pub struct KeptDocuments {
    texts: Mutex<Texts>,
    turns: Mutex<LruCache<Key, Arc<Turn>>>,
    looked: AtomicU64,
}

struct Texts {
    by_key: LruCache<Key, Kept>,
    octets: usize,
}

struct Kept {
    text: Arc<str>,
    asked_at: Timestamp,
}

impl Default for KeptDocuments {
    fn default() -> Self {
        // It grows with what is in it: one made for so many would take the memory at once.
        let mut turns = LruCache::unbounded();
        turns.resize(TURNS);
        let texts = Texts { by_key: LruCache::unbounded(), octets: 0 };
        Self { texts: Mutex::new(texts), turns: Mutex::new(turns), looked: AtomicU64::new(0) }
    }
}

/// Whether what was found then is believed now. A clock that was put back says nothing of how long ago that was.
pub(super) fn is_fresh(asked_at: Timestamp, now: Timestamp) -> bool {
    (TimeDelta::zero()..LIFE).contains(&(now - asked_at))
}

impl KeptDocuments {
    /// How many texts were looked up.
    pub fn looks(&self) -> u64 {
        self.looked.load(Ordering::Relaxed)
    }

    /// A text is looked up.
    pub(super) fn count_look(&self) {
        self.looked.fetch_add(1, Ordering::Relaxed);
    }

    /// What those share who listen with a document.
    pub(super) fn turn(&self, key: Key) -> Arc<Turn> {
        let mut turns = lock(&self.turns);
        Arc::clone(turns.get_or_insert(key, Arc::default))
    }

    /// The text, if it was looked up a moment ago.
    pub(super) fn get(&self, key: &Key, now: Timestamp) -> Option<Arc<str>> {
        let mut texts = lock(&self.texts);
        let kept = texts.by_key.get(key)?;
        is_fresh(kept.asked_at, now).then(|| Arc::clone(&kept.text))
    }

    /// Keeps a text that was asked for then.
    pub(super) fn put(&self, key: Key, text: &str, asked_at: Timestamp) {
        let mut texts = lock(&self.texts);
        texts.octets += weight(text);
        if let Some((_, old)) = texts.by_key.push(key, Kept { text: text.into(), asked_at }) {
            texts.octets -= weight(&old.text);
        }
        while texts.octets > OCTETS {
            let Some((_, oldest)) = texts.by_key.pop_lru() else { break };
            texts.octets -= weight(&oldest.text);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn weight(text: &str) -> usize {
    text.len() + BESIDE
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    fn key(tenant: u128, set: Option<u128>, text: &str) -> Key {
        let set = set.map(|set| DocumentSetId(Uuid::from_u128(set)));
        (TenantId(Uuid::from_u128(tenant)), set, DocumentHash::of(text))
    }

    #[test]
    fn c224_a_text_is_believed_for_two_seconds_and_by_nobody_else() {
        let (kept, then) = (KeptDocuments::default(), DateTime::UNIX_EPOCH);
        let mine = key(1, Some(1), "a");
        kept.put(mine, "a", then);
        assert_eq!(kept.get(&mine, then).as_deref(), Some("a"));
        assert_eq!(kept.get(&mine, then + TimeDelta::milliseconds(1_999)).as_deref(), Some("a"));
        for later in [LIFE, TimeDelta::days(1), TimeDelta::milliseconds(-1)] {
            assert_eq!(kept.get(&mine, then + later), None, "{later}");
        }
        for other in [key(2, Some(1), "a"), key(1, Some(2), "a"), key(1, None, "a"), key(1, Some(1), "b")] {
            assert_eq!(kept.get(&other, then), None, "{other:?}");
        }
        kept.put(mine, "a", then + LIFE);
        assert_eq!(kept.get(&mine, then + LIFE).as_deref(), Some("a"));
        assert_eq!(lock(&kept.texts).octets, weight("a"), "what takes its own place is not counted twice");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let kept = KeptDocuments::default();
        let text = "x".repeat(32_768);
        for tenant in 0..2_000 {
            kept.put(key(tenant, None, "a"), &text, DateTime::UNIX_EPOCH);
        }
        let texts = lock(&kept.texts);
        assert!(texts.octets <= OCTETS && texts.by_key.len() == OCTETS / weight(&text), "{}", texts.octets);
        drop(texts);
        assert!(kept.get(&key(1_999, None, "a"), DateTime::UNIX_EPOCH).is_some());
        assert!(kept.get(&key(0, None, "a"), DateTime::UNIX_EPOCH).is_none());
    }
}
