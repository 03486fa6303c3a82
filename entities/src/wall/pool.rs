//! A pool that counts who had to wait for a connection, and who got none.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};

use super::WallError;

/// A pool, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Its name.
    pub name: &'static str,
    /// Connections at work.
    pub in_use: u32,
    /// Connections that wait for work.
    pub idle: u32,
    /// How often somebody found none free.
    pub waits: u64,
    /// How often no transaction could be begun.
    pub refused: u64,
}

/// Connections of one login.
#[derive(Debug)]
pub(super) struct Counted<D: Database> {
    pool: Pool<D>,
    waits: AtomicU64,
    refused: AtomicU64,
}

impl<D: Database> Counted<D> {
    pub(super) fn new(pool: Pool<D>) -> Self {
        Self { pool, waits: AtomicU64::default(), refused: AtomicU64::default() }
    }

    pub(super) async fn take(&self) -> Result<PoolConnection<D>, WallError> {
        if self.pool.num_idle() == 0 && self.pool.size() >= self.pool.options().get_max_connections() {
            self.waits.fetch_add(1, Ordering::Relaxed);
        }
        let taken = self.pool.acquire().await;
        taken.map_err(|error| {
            self.refused();
            error.into()
        })
    }

    /// A transaction could not be begun.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn state(&self, name: &'static str) -> PoolState {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        PoolState {
            name,
            in_use: self.pool.size().saturating_sub(idle),
            idle,
            waits: self.waits.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

impl<D: Database> Deref for Counted<D> {
    type Target = Pool<D>;
    fn deref(&self) -> &Pool<D> {
        &self.pool
    }
}
