//! Whether a keyring is the one a database was filled with.
//!
//! A process with other keys would find no suppression, open no secret and verify no link, and notice none of it: so it is
//! asked before anything is served. What is looked at is the system tenant's, which every deployment has and in which
//! every process leaves a row under its active key when it starts.

use carillon_entities::wall::Wall;

use super::content::Sender;
use super::store;
use super::system_mail::SYSTEM_TENANT;
use crate::consent::endpoints_keys;
use crate::error::Result;
use crate::keys::{KeyId, Keyring};
use crate::paging::{PAGE_MAX, Page};
use crate::tenancy::{SendMessages, enter_for_work};

/// Why a keyring does not fit a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OtherKeys {
    /// A stored secret does not open.
    #[error("these are not the keys this database was filled with: a stored secret does not open")]
    Sealed,
    /// Addresses are kept under a key that is not there (C-157).
    #[error("key {0} is missing: addresses are kept under it, and retired keys stay for ever")]
    Missing(KeyId),
}

/// Compares a keyring with what is in a database; one that is still empty takes any.
///
/// # Errors
/// When the database cannot be asked.
pub async fn key_mismatch(wall: &Wall, keys: &Keyring) -> Result<Option<OtherKeys>> {
    let mut tx = enter_for_work(wall, SYSTEM_TENANT).grant::<SendMessages>().begin_read().await?;
    let senders = store::senders_list(&mut tx, &Page::first(PAGE_MAX)).await?.items;
    let used = endpoints_keys(&mut tx).await?;
    tx.commit().await?;
    if let Some(missing) = used.into_iter().find(|used| keys.ids().all(|id| id != *used)) {
        return Ok(Some(OtherKeys::Missing(missing)));
    }
    let opens = |sender: &Sender| keys.open(&Sender::key_place(SYSTEM_TENANT, sender.id), &sender.dkim_sealed).is_ok();
    Ok((!senders.iter().all(opens)).then_some(OtherKeys::Sealed))
}
