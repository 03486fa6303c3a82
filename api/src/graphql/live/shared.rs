//! What the watchers of one thing share: when it was looked at, what was found, and that there is news of it.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use carillon_domain::ids::TenantId;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// What is watched: a field of the schema in a tenant, and its argument as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subject {
    /// Whose; whoever is in no tenant shares nothing.
    pub tenant: Option<TenantId>,
    /// Which field.
    pub field: &'static str,
    /// Of what.
    pub argument: u128,
}

/// Everything that is watched in a process.
#[derive(Debug)]
pub(super) struct Subjects {
    known: Arc<Mutex<Known>>,
    /// Looks of one tenant at the same time.
    at_once: usize,
}

type Known = BTreeMap<Subject, Weak<Shared>>;

impl Subjects {
    /// Nothing yet, to be looked at by so many of each tenant at the same time.
    pub fn new(at_once: usize) -> Self {
        Self { known: Arc::default(), at_once }
    }

    /// What the watchers of a subject share.
    pub fn of(&self, subject: Subject) -> Arc<Shared> {
        let new = |turns| Arc::new(Shared::new(subject, Arc::downgrade(&self.known), turns));
        let alone = || Arc::new(Semaphore::new(self.at_once));
        if subject.tenant.is_none() {
            return new(alone());
        }
        let mut known = lock(&self.known);
        if let Some(shared) = known.get(&subject).and_then(Weak::upgrade) {
            return shared;
        }
        let beside = of_tenant(&known, subject.tenant).next();
        let shared = new(beside.as_ref().map_or_else(alone, |beside| Arc::clone(&beside.turns)));
        known.insert(subject, Arc::downgrade(&shared));
        // Not the other way round: the last one to let go of a subject takes the lock.
        drop(known);
        drop(beside);
        shared
    }

    /// Says that there is news of a tenant's, or of everybody's.
    pub fn tell(&self, tenant: Option<TenantId>) {
        let known = lock(&self.known);
        // Not under the lock: the last one to let go of a subject takes it.
        let shared: Vec<Arc<Shared>> = of_tenant(&known, tenant).collect();
        drop(known);
        let now = Instant::now();
        for shared in shared {
            shared.news.send_replace(Some(now));
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        lock(&self.known).len()
    }
}

/// What is watched of a tenant's, or of everybody's.
fn of_tenant(known: &Known, tenant: Option<TenantId>) -> impl Iterator<Item = Arc<Shared>> {
    let first = Subject { tenant, field: "", argument: 0 };
    let of_tenant = known.range(first..).take_while(move |(subject, _)| tenant.is_none() || subject.tenant == tenant);
    of_tenant.filter_map(|(_, shared)| shared.upgrade())
}

/// What the watchers of one subject share.
#[derive(Debug)]
pub(super) struct Shared {
    subject: Subject,
    known: Weak<Mutex<Known>>,
    /// When there was news last.
    pub news: watch::Sender<Option<Instant>>,
    /// Held by who looks for all.
    pub looking: Arc<tokio::sync::Mutex<()>>,
    /// How long a look took.
    pub took_us: Arc<AtomicU64>,
    /// The tenant's share of the looks, whatever of it they look at.
    pub turns: Arc<Semaphore>,
    seen: Mutex<Seen>,
}

/// What was found last.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// When the look began.
    pub began: Option<Instant>,
    /// How often something else was found than before.
    pub version: u64,
    found: Option<Arc<dyn Any + Send + Sync>>,
}

/// What a look means for who looked.
pub(super) struct Settled<T> {
    /// What it found, shared with all who found the same.
    pub found: Arc<T>,
    /// What to compare with later; none where a younger look found something else, so that the next is soon.
    pub version: Option<u64>,
}

impl Shared {
    fn new(subject: Subject, known: Weak<Mutex<Known>>, turns: Arc<Semaphore>) -> Self {
        Self {
            subject,
            known,
            news: watch::Sender::new(None),
            looking: Arc::default(),
            took_us: Arc::default(),
            turns,
            seen: Mutex::default(),
        }
    }

    /// When it was looked at last, and how often that gave something new.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// A look that found nothing out, because the database could not say: it is no use that all try in turn.
    pub fn failed(&self, began: Instant) {
        let mut seen = lock(&self.seen);
        seen.began = seen.began.max(Some(began));
    }

    /// Takes in what a look found.
    pub fn settle<T: PartialEq + Send + Sync + 'static>(&self, began: Instant, found: T) -> Settled<T> {
        let mut seen = lock(&self.seen);
        let known = seen.found.clone().and_then(|known| known.downcast::<T>().ok());
        if let Some(known) = known.filter(|known| **known == found) {
            seen.began = seen.began.max(Some(began));
            return Settled { found: known, version: Some(seen.version) };
        }
        let found = Arc::new(found);
        if seen.began.is_some_and(|younger| younger > began) {
            return Settled { found, version: None };
        }
        seen.began = Some(began);
        seen.found = Some(Arc::<T>::clone(&found));
        seen.version += 1;
        // Who waits for longer need not wait to learn of it.
        self.news.send_replace(Some(began));
        Settled { found, version: Some(seen.version) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(known) = self.known.upgrade() else { return };
        let mut known = lock(&known);
        // Somebody may have begun to watch it anew meanwhile.
        if known.get(&self.subject).is_some_and(|shared| shared.strong_count() == 0) {
            known.remove(&self.subject);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn subject(tenant: u128, argument: u128) -> Subject {
        Subject { tenant: Some(TenantId(Uuid::from_u128(tenant))), field: "field", argument }
    }

    #[tokio::test]
    async fn what_nobody_watches_is_forgotten_and_news_go_to_their_tenant() {
        let subjects = Subjects::new(1);
        let (one, same, other) = (subjects.of(subject(1, 1)), subjects.of(subject(1, 1)), subjects.of(subject(2, 1)));
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other) && subjects.count() == 2);
        let outside = Subject { tenant: None, field: "field", argument: 1 };
        assert!(!Arc::ptr_eq(&subjects.of(outside), &subjects.of(outside)), "whoever is nowhere shares nothing");
        let beside = subjects.of(subject(1, 2));
        assert!(Arc::ptr_eq(&one.turns, &beside.turns) && !Arc::ptr_eq(&one.turns, &other.turns));
        drop(beside);
        subjects.tell(Some(TenantId(Uuid::from_u128(2))));
        assert!(one.news.borrow().is_none() && other.news.borrow().is_some());
        subjects.tell(None);
        assert!(one.news.borrow().is_some());
        drop((one, other));
        assert_eq!(subjects.count(), 1);
        drop(same);
        assert_eq!(subjects.count(), 0);
    }

    #[tokio::test]
    async fn an_older_look_does_not_replace_what_a_younger_one_found() {
        let shared = Subjects::new(1).of(subject(1, 1));
        let early = Instant::now();
        let late = early + std::time::Duration::from_secs(1);
        let first = shared.settle(late, "new");
        assert_eq!((*first.found, first.version), ("new", Some(1)));
        let stale = shared.settle(early, "old");
        assert_eq!((*stale.found, stale.version, shared.seen().version), ("old", None, 1));
        let again = shared.settle(late, "new");
        assert!(Arc::ptr_eq(&again.found, &first.found), "who sees the same shares it");
        // Another field of that name would be a mistake of ours, and no more than a look too many.
        assert_eq!(shared.settle(late, 7).version, Some(2));
    }
}
