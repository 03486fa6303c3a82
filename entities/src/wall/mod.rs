//! The tenant wall (L1): the only code that touches a connection.
//!
//! [`Wall`] holds the pools, one login per role. [`Wall::assume_tenant`] gives a [`TenantDoor`]; a door begins
//! [`TenantTx`]s, whose every query carries the tenant predicate, under row-level security on Postgres. Tables without
//! a tenant are reached through [`IdentityTx`] alone, and what is due through [`Wall::due`] (ids only).
//!
//! A transaction reads the tables of its own space, and what it reads is its tenant's:
//!
//! ```no_run
//! # use carillon_entities::rows::contacts::contacts;
//! # use carillon_entities::wall::{TenantTx, WallError};
//! # async fn read(tx: &mut TenantTx) -> Result<(), WallError> {
//! tx.select::<contacts::Entity>().all().await?;
//! # Ok(()) }
//! ```
//!
//! A query without the tenant does not compile, because a transaction is no connection:
//!
//! ```compile_fail
//! # use carillon_entities::rows::contacts::contacts;
//! # use carillon_entities::wall::{TenantTx, WallError};
//! # use sea_orm::EntityTrait;
//! # async fn read(tx: &mut TenantTx) -> Result<(), WallError> {
//! contacts::Entity::find().all(tx).await?;
//! # Ok(()) }
//! ```
//!
//! Neither does a query in the other space:
//!
//! ```compile_fail
//! # use carillon_entities::rows::tenancy::users;
//! # use carillon_entities::wall::{TenantTx, WallError};
//! # async fn read(tx: &mut TenantTx) -> Result<(), WallError> {
//! tx.select::<users::Entity>().all().await?;
//! # Ok(()) }
//! ```

mod alone;
mod connection;
mod due;
mod error;
mod fragment;
mod late;
mod login;
mod pool;
mod settings;
mod space;
mod sql;
mod tx;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ids::{CredentialId, DocumentSetId, TenantId, UserId};

pub use alone::{Alone, Rows};
use connection::{Connection, Pools};
pub use due::DueTenant;
pub use error::WallError;
pub use fragment::Fragment;
use late::Link;
pub use login::{Login, Protection, Role};
pub use pool::PoolState;
pub use settings::DatabaseSettings;
pub use space::{Belongs, Identity, Space, Tenant};
pub use sql::{Args, IdentityBatch, IdentitySql, Kind, Query, Sql};
pub use tx::{Delete, IdentityTx, OnConflict, Select, TenantTx, Tx, Update};

use chrono::{DateTime, Utc};
pub use sea_orm::Value;

/// Whether a transaction may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxMode {
    /// Read only, and a write in it fails; on SQLite it does not wait for the writer.
    Read,
    /// Read and write.
    Write,
}

/// Which credential must still be good when a transaction begins (C-213); checked in the same round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// A worker: nothing to check.
    Unchecked,
    /// The link of a mail: nothing to check, and connections of its own, which nothing else can use up (C-11).
    Link,
    /// A worker or a signed link that does nothing for a suspended tenant.
    Tenant,
    /// The user must be enabled and still at this version.
    User(UserId, i64),
    /// The key must not be revoked or expired, and still be held to this document set, or to none.
    Key(CredentialId, Option<DocumentSetId>),
}

/// The pools of one process.
#[derive(Clone, Debug)]
pub struct Wall {
    pools: Arc<Pools>,
    statements: Arc<AtomicU64>,
}

impl Wall {
    /// Opens the pools; connections are made when first needed.
    ///
    /// # Errors
    /// When a URL cannot be read or, for SQLite, the file cannot be opened.
    pub async fn open(settings: &DatabaseSettings) -> Result<Self, WallError> {
        Ok(Self { pools: Arc::new(Pools::open(settings).await?), statements: Arc::default() })
    }

    /// The way into one tenant. Banned by clippy outside `domain/tenancy/enter.rs`, which calls it for verified
    /// credentials and tickets only.
    pub fn assume_tenant(&self, tenant: TenantId, freshness: Freshness) -> TenantDoor {
        TenantDoor { wall: self.clone(), tenant, freshness }
    }

    /// A transaction on the tables without a tenant.
    pub async fn begin_identity(&self, mode: TxMode) -> Result<IdentityTx, WallError> {
        let connection = self.pools.begin_identity(mode).await?;
        Ok(Tx::new(Link::Begun(connection.counted(&self.statements)), Identity))
    }

    /// The database's clock (C-180).
    pub async fn database_now(&self) -> Result<DateTime<Utc>, WallError> {
        self.pools.now().await
    }

    /// The names of the migrations that the database has had.
    pub async fn migrations(&self) -> Result<Vec<String>, WallError> {
        self.pools.migrations().await
    }

    /// How many statements this process has sent, each of which the server took and answered for itself: what budgets are
    /// kept in (L5).
    ///
    /// `BEGIN` is one, with the tenant and the freshness that are set and asked in the same message; so is `COMMIT`. A
    /// statement that is a transaction of its own is one; of an [`Alone`] that is the call of its function, whose inside
    /// (setting the tenant, and the one statement) is not counted again, as little as what triggers do.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// True on Postgres: several processes, row security, partitions.
    pub fn is_postgres(&self) -> bool {
        self.pools.is_postgres()
    }

    /// How the pools are.
    pub fn pools(&self) -> Vec<PoolState> {
        self.pools.states()
    }

    /// Closes the pools after their connections came back.
    pub async fn close(&self) {
        self.pools.close().await;
    }
}

/// The right to begin transactions in one tenant.
#[derive(Clone, Debug)]
pub struct TenantDoor {
    wall: Wall,
    tenant: TenantId,
    freshness: Freshness,
}

impl TenantDoor {
    /// Whose data lies behind the door.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Begins a transaction that sees this tenant only; one round trip on Postgres.
    ///
    /// # Errors
    /// [`WallError::NotFresh`] when the credential the door was opened with is no longer good.
    pub async fn begin(&self, mode: TxMode) -> Result<TenantTx, WallError> {
        Ok(Tx::new(Link::Begun(self.connect(mode).await?), Tenant(self.tenant)))
    }

    /// A transaction that reads, and begins with its first statement; if that is an [`Alone`], it is a transaction of its own
    /// and none begins yet. What is read sees what was committed when its own statement began, as in any transaction here.
    ///
    /// The credential is looked at when it begins, so not at all where nothing is read.
    ///
    /// # Errors
    /// As [`Self::begin`], which it is where no statement is a transaction of its own.
    pub async fn begin_when_read(&self) -> Result<TenantTx, WallError> {
        let link = match self.alone() {
            Some(_) => Link::Waiting(self.clone()),
            None => Link::Begun(self.connect(TxMode::Read).await?),
        };
        Ok(Tx::new(link, Tenant(self.tenant)))
    }

    async fn connect(&self, mode: TxMode) -> Result<Connection, WallError> {
        let connection = self.wall.pools.begin_tenant(self.tenant, self.freshness, mode).await?;
        Ok(connection.counted(&self.wall.statements))
    }
}
