//! The closed list without tenants: accounts, tenants, users, memberships, sessions and credentials, and the audit log.
//!
//! Identity functions take an [`IdentityTx`], under its own role; none of them can see a tenant's rows.

pub(super) mod accounts;
pub(super) mod audit;
pub(super) mod credentials;
pub(super) mod memberships;
pub(super) mod sessions;
pub(super) mod users;

use carillon_entities::wall::{IdentitySql, IdentityTx, TxMode, WallError};

use crate::error::{Error, Result};
use crate::ports::Ports;

/// Every registered statement on the tables without a tenant.
pub static IDENTITY_STATEMENTS: &[&IdentitySql] = &[
    &accounts::ACCOUNT_PATH,
    &accounts::ACCOUNT_USE,
    &accounts::ACCOUNTS_SUSPEND,
    &accounts::TENANTS_SUSPEND,
    &accounts::ACCOUNTS_RESUME,
    &accounts::TENANTS_RESUME,
    &accounts::ACCOUNTS_CAP,
    &accounts::TENANTS_CAP,
    &accounts::ACCOUNTS_REACHED,
    &accounts::TENANTS_REACHED,
    &memberships::OWNERS_BESIDE,
    &users::USER_BUMP,
    &sessions::SESSIONS_CARRY_OVER,
];

/// A transaction that lost a race is run this often in all.
const RUNS: u32 = 3;

/// Runs `work` in one write transaction on the tables without a tenant and commits it; runs it again when it lost a race.
///
/// `work` must not begin another write transaction: on SQLite the single writer would wait for itself.
pub(super) async fn write<T>(ports: &Ports, work: impl AsyncFn(&mut IdentityTx) -> Result<T>) -> Result<T> {
    let mut run = 1;
    loop {
        match write_once(ports, &work).await {
            Err(Error::Wall(WallError::Retry)) if run < RUNS => run += 1,
            result => return result,
        }
    }
}

async fn write_once<T>(ports: &Ports, work: &impl AsyncFn(&mut IdentityTx) -> Result<T>) -> Result<T> {
    let mut tx = ports.wall.begin_identity(TxMode::Write).await?;
    let done = work(&mut tx).await?;
    tx.commit().await?;
    Ok(done)
}

/// Runs `work` in one reading transaction.
pub(super) async fn read<T>(ports: &Ports, work: impl AsyncFnOnce(&mut IdentityTx) -> Result<T>) -> Result<T> {
    let mut tx = ports.wall.begin_identity(TxMode::Read).await?;
    let done = work(&mut tx).await?;
    tx.commit().await?;
    Ok(done)
}

/// A code in a row that this build does not know.
fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::fault(format!("a stored row: {error}"))
}
