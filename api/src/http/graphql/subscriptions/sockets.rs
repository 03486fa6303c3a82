//! The sockets of one process: how many there are, of whom, and that they end when the process does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_domain::ids::{TenantId, UserId};
use carillon_domain::seeded_bugs;
use tokio_util::sync::CancellationToken;

use super::sessions::Sessions;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Tenant(TenantId),
    /// A user who is in no tenant.
    User(UserId),
}

/// The open sockets.
#[derive(Debug, Default)]
pub struct Sockets(Arc<Inner>, Sessions);

#[derive(Debug, Default)]
struct Inner {
    taken: Mutex<Taken>,
    draining: CancellationToken,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<Holder, usize>,
}

impl Sockets {
    /// Closes every socket, and opens none from now on (C-185).
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    /// What those who listen came in with.
    pub(super) fn sessions(&self) -> &Sessions {
        &self.1
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.taken().all
    }

    /// A place for one more, if there are fewer than `max`.
    pub(super) fn enter(&self, max: usize) -> Option<Seat> {
        let mut taken = self.0.taken();
        if self.0.draining.is_cancelled() || taken.all >= max {
            return None;
        }
        taken.all += 1;
        Some(Seat { sockets: Arc::clone(&self.0), holder: None })
    }
}

impl Inner {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one socket, free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    sockets: Arc<Inner>,
    holder: Option<Holder>,
}

impl Seat {
    /// Counts it as somebody's; false if they have `max` already.
    pub fn belongs_to(&mut self, holder: Holder, max: usize) -> bool {
        let mut taken = self.sockets.taken();
        let count = taken.by.entry(holder).or_default();
        if *count >= max && !seeded_bugs::on("tenant_cap_uncounted") {
            return false;
        }
        *count += 1;
        self.holder = Some(holder);
        true
    }

    /// Until the process is going away.
    pub async fn drained(&self) {
        self.sockets.draining.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.sockets.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(holder) = self.holder
            && let Some(count) = taken.by.get_mut(&holder)
        {
            *count -= 1;
            if *count == 0 {
                taken.by.remove(&holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn c224_places_are_limited_and_come_back() {
        let sockets = Sockets::default();
        let tenant = |n| Holder::Tenant(TenantId(Uuid::from_u128(n)));
        let (mut first, mut second) = (sockets.enter(3).unwrap(), sockets.enter(3).unwrap());
        assert!(first.belongs_to(tenant(1), 1) && !second.belongs_to(tenant(1), 1));
        assert!(second.belongs_to(tenant(2), 1));
        let third = sockets.enter(3).unwrap();
        assert!(sockets.enter(3).is_none());
        drop((first, third));
        let mut fourth = sockets.enter(3).unwrap();
        assert!(fourth.belongs_to(tenant(1), 1));
        drop((second, fourth));
        assert!(sockets.count() == 0 && sockets.0.taken().by.is_empty(), "nothing is kept of who left");
        sockets.drain();
        assert!(sockets.enter(3).is_none());
    }
}
