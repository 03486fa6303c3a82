//! The closed list without tenants: accounts, tenants, users, memberships, sessions and credentials, and the audit log.
//!
//! Identity functions take an [`IdentityTx`], under its own role; none of them can see a tenant's rows.

pub(super) mod accounts;
pub(super) mod audit;
pub(super) mod credentials;
pub(super) mod held;
pub(super) mod memberships;
pub(super) mod sessions;
pub(super) mod users;

use carillon_entities::wall::{IdentityBatch, IdentitySql};

use crate::error::Error;

/// Every registered statement on the tables without a tenant.
pub static IDENTITY_STATEMENTS: &[&IdentitySql] = &[
    &accounts::ACCOUNT_PATH,
    &accounts::ACCOUNT_USE,
    &accounts::TENANTS_STAND,
    &accounts::ACCOUNTS_CAP,
    &accounts::TENANTS_CAP,
    &accounts::ACCOUNTS_REACHED,
    &accounts::TENANTS_REACHED,
    &accounts::TENANTS_BELOW,
    &memberships::OWNERS_BESIDE,
    &memberships::MEMBERS_REACHED,
    &users::USER_BUMP,
    &sessions::SESSIONS_CARRY_OVER,
    &sessions::SESSIONS_FORGET,
    &credentials::SECRETS_FORGET,
];
/// Every registered statement on them that takes a batch.
pub static IDENTITY_BATCHES: &[&IdentityBatch] = &[&held::HELD_ENDED];

/// Runs a body in one write transaction on the tables without a tenant and commits it; runs it again when it lost a race.
/// Where it is not to be kept, the transaction is rolled back, and the body's value is what would have been.
///
/// A macro, because the compiler does not see that a generic function over async closures gives futures that are `Send`.
/// The body must not begin another write transaction: on SQLite the single writer would wait for itself.
macro_rules! identity_write {
    ($ports:expr, |$tx:ident| $body:expr) => {
        $crate::tenancy::store::write!($ports, kept: true, |$tx| $body)
    };
    ($ports:expr, kept: $is_kept:expr, |$tx:ident| $body:expr) => {{
        let mut reruns = $crate::reruns::Reruns::default();
        loop {
            let outcome: $crate::error::Result<_> = async {
                let mut held = $ports.wall.begin_identity(carillon_entities::wall::TxMode::Write).await?;
                let $tx = &mut held;
                let done: $crate::error::Result<_> = async { $body }.await;
                let done = done?;
                if $is_kept { held.commit().await? } else { held.rollback().await? }
                Ok(done)
            }
            .await;
            match outcome {
                Err(error) if reruns.after(&error) => {}
                outcome => break outcome,
            }
        }
    }};
}
pub(in crate::tenancy) use identity_write as write;

/// Runs a body as [`write!`] does, once however often the same call comes: its value is kept beside the change, and a
/// commit whose outcome is unknown is read back (C-187). Of a dry run nothing is kept.
macro_rules! identity_write_once {
    ($ports:expr, $once:expr, |$tx:ident| $body:expr) => {{
        let once: $crate::tenancy::once::Once<'_> = $once;
        let mut reruns = $crate::reruns::Reruns::default();
        loop {
            let outcome = $crate::tenancy::store::write!($ports, kept: !once.is_dry(), |held| {
                if let Some(done) = once.found(held, $ports).await? {
                    return Ok(done);
                }
                let $tx = &mut *held;
                let value: $crate::error::Result<_> = async { $body }.await;
                once.keep(held, $ports, value?).await
            });
            match outcome {
                Err($crate::error::Error::Wall($crate::error::WallError::CommitUnknown))
                    if once.is_kept() && reruns.take() => {}
                outcome => break outcome,
            }
        }
    }};
}
pub(in crate::tenancy) use identity_write_once as write_once;

/// Runs a body in one reading transaction on the tables without a tenant.
macro_rules! identity_read {
    ($ports:expr, |$tx:ident| $body:expr) => {{
        let outcome: $crate::error::Result<_> = async {
            let mut held = $ports.wall.begin_identity(carillon_entities::wall::TxMode::Read).await?;
            let $tx = &mut held;
            let done: $crate::error::Result<_> = async { $body }.await;
            let done = done?;
            held.commit().await?;
            Ok(done)
        }
        .await;
        outcome
    }};
}
pub(in crate::tenancy) use identity_read as read;

/// A code in a row that this build does not know.
fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::fault(format!("a stored row: {error}"))
}
