//! Live reads: what a subscription shows is looked at again when it may have changed, and told when it did.
//!
//! Nothing is held while waiting. Each look begins a read transaction of its own, and with it the caller's credential
//! and permission are asked for again (C-213, C-224). Signals say when to look and may be lost, so it is also looked at
//! without them, less often the longer nothing changed. A look lasts until its transaction is over: the fields that are
//! asked of what it found are part of it.
//!
//! Whoever watches the same thing shares the looks of those who wait: one of them looks for all, as itself, and the
//! others learn no more of it than whether something changed. Who then tells something has looked at it as itself, too. So
//! what idles costs one look (a transaction of a few statements) in [`Pace::longest`] for each thing that is watched,
//! however many watch it: ten thousand watchers of a hundred things are seven looks a second, and ten thousand watchers of
//! one are one look in fifteen seconds. That their credentials are still good is asked apart, of all at once.
//!
//! Looks are few at a time, and those of one tenant fewer: however many of its watchers wait, all but those stand in a
//! line of their own, and whoever watches another tenant comes soon.

mod follower;
mod places;
mod shared;
mod watcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carillon_domain::error::Error;
use carillon_domain::ids::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

pub use self::follower::{Step, follow};
pub use self::places::Places;
use self::shared::{Shared, Subjects};
pub use self::watcher::watch;

/// A look rests at least this many times as long as it took, so that nobody keeps the database busy by watching.
const REST: u32 = 10;

/// How often is looked, and by how many.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Not before so long after the look before: what changes all the time is told this often.
    pub shortest: Duration,
    /// Not later, even when nothing is heard: for signals that were lost.
    pub longest: Duration,
    /// Looks of one process at the same time: however many watch, other requests find connections free. One tenant has one
    /// less.
    pub at_once: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { shortest: Duration::from_secs(1), longest: Duration::from_secs(15), at_once: 4 }
    }
}

/// What all subscriptions of a process share; cloning shares it.
#[derive(Debug, Clone)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pace: Pace,
    looks: Arc<Semaphore>,
    looked: AtomicU64,
    subjects: Subjects,
}

impl Default for Live {
    fn default() -> Self {
        Self::new(Pace::default())
    }
}

impl Live {
    /// With a pace of its own.
    pub fn new(pace: Pace) -> Self {
        let looks = Arc::new(Semaphore::new(pace.at_once));
        let subjects = Subjects::new(pace.at_once.saturating_sub(1).max(1));
        Self(Arc::new(Inner { pace, looks, looked: AtomicU64::new(0), subjects }))
    }

    /// Something may have changed, nobody knows whose.
    pub fn tell(&self) {
        self.0.subjects.tell(None);
    }

    /// Something of a tenant's may have changed.
    pub fn tell_tenant(&self, tenant: TenantId) {
        self.0.subjects.tell(Some(tenant));
    }

    /// How many looks there were.
    pub fn looks(&self) -> u64 {
        self.0.looked.load(Ordering::Relaxed)
    }

    /// How many different things are watched.
    pub fn subjects(&self) -> usize {
        self.0.subjects.count()
    }

    /// Begins a look when there is room for one, and tells how long it took.
    async fn look(&self, shared: &Shared) -> Look {
        // Neither is ever closed. The tenant's first: who waits for that stands in nobody else's way.
        let own = Arc::clone(&shared.turns).acquire_owned().await.ok();
        let all = Arc::clone(&self.0.looks).acquire_owned().await.ok();
        self.0.looked.fetch_add(1, Ordering::Relaxed);
        Look { began: Instant::now(), took_us: Arc::clone(&shared.took_us), _permits: [own, all] }
    }
}

/// One look: its scope keeps it until the transaction is over.
#[derive(Debug)]
pub struct Look {
    began: Instant,
    took_us: Arc<AtomicU64>,
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Drop for Look {
    fn drop(&mut self) {
        let took = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.took_us.store(took, Ordering::Relaxed);
    }
}

fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Wall(error) if error.may_pass())
}
