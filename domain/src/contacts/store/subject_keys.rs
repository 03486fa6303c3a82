//! The keys that values in contacts' histories lie under: one per contact, destroyed with it (L7).

use std::collections::HashMap;

use carillon_entities::ids::{ContactId, SubjectId};
use carillon_entities::rows::consent::subject_keys;
use carillon_entities::statements;
use carillon_entities::wall::{TenantTx, WallError};
use sea_orm::ActiveValue::Set;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::{lost_race, read, run};
use crate::error::Result;
use crate::keys::SubjectKey;
use crate::ports::Ports;

statements! {
    /// Keys of contacts, as stored.
    HISTORY_KEY_FIND() [subject_id: Uuid] =
        "SELECT k.subject_id AS subject_id, k.wrapped AS wrapped FROM subject_keys AS k WHERE k.tenant_id = $1 \
         AND k.subject_id IN (SELECT b.subject_id FROM ({batch}) AS b)";
    /// Contacts that are not deleted, each with its key as stored. A sub-select for each, so that no plan made while the
    /// table was small reads all of it when it is large.
    HISTORY_KEY_LIVING() [id: Uuid] =
        "SELECT c.id AS subject_id, (SELECT k.wrapped FROM subject_keys AS k WHERE k.tenant_id = $1 \
            AND k.subject_id = c.id) AS wrapped \
         FROM contacts AS c WHERE c.tenant_id = $1 AND c.id IN (SELECT b.id FROM ({batch}) AS b) AND c.state <> 'deleted'";
    /// New keys.
    HISTORY_KEY_INSERT(Time) [subject_id: Uuid, wrapped: Bytes] =
        "INSERT INTO subject_keys (tenant_id, subject_id, wrapped, created_at) \
         SELECT $1, b.subject_id, b.wrapped, $2 FROM ({batch}) AS b WHERE true";
}

#[derive(Debug, FromQueryResult)]
struct Stored {
    subject_id: Uuid,
    wrapped: Option<Vec<u8>>,
}

/// The subject a contact's history belongs to; consent hangs on another one, the address' (C-151).
fn subject(contact: ContactId) -> SubjectId {
    SubjectId(contact.0)
}

/// The keys of contacts; none for those whose key was destroyed.
pub(in crate::contacts) async fn history_keys(
    tx: &mut TenantTx,
    ports: &Ports,
    contacts: &[ContactId],
) -> Result<HashMap<ContactId, SubjectKey>> {
    let stored: Vec<Stored> =
        read(tx, &HISTORY_KEY_FIND, contacts.iter().map(|id| vec![id.0.into()]).collect()).await?;
    Ok(unwrapped(tx, ports, stored)?.into_iter().filter_map(|(id, key)| Some((id, key?))).collect())
}

/// Which of the ids are contacts that are not deleted, and their keys; none for those whose key never was.
pub(in crate::contacts) async fn living_with_history_keys(
    tx: &mut TenantTx,
    ports: &Ports,
    contacts: impl IntoIterator<Item = ContactId>,
) -> Result<HashMap<ContactId, Option<SubjectKey>>> {
    let rows = contacts.into_iter().map(|id| vec![id.0.into()]).collect();
    let stored: Vec<Stored> = read(tx, &HISTORY_KEY_LIVING, rows).await?;
    unwrapped(tx, ports, stored)
}

fn unwrapped(tx: &TenantTx, ports: &Ports, stored: Vec<Stored>) -> Result<HashMap<ContactId, Option<SubjectKey>>> {
    let tenant = tx.tenant();
    let mut opener = ports.keys.opener(Some(tenant));
    let mut keys = HashMap::with_capacity(stored.len());
    for Stored { subject_id, wrapped } in stored {
        let unwrap = |wrapped: Vec<u8>| SubjectKey::unwrap_with(&mut opener, tenant, SubjectId(subject_id), &wrapped);
        keys.insert(ContactId(subject_id), wrapped.map(unwrap).transpose()?);
    }
    Ok(keys)
}

/// As [`history_keys`], and makes those that never were.
pub(in crate::contacts) async fn history_keys_ensure(
    tx: &mut TenantTx,
    ports: &Ports,
    contacts: &[ContactId],
) -> Result<HashMap<ContactId, SubjectKey>> {
    let mut keys = history_keys(tx, ports, contacts).await?;
    let tenant = tx.tenant();
    let mut rows = Vec::new();
    for id in contacts {
        if keys.contains_key(id) {
            continue;
        }
        let key = SubjectKey::generate(&*ports.entropy);
        let wrapped = key.wrap(&ports.keys, tenant, subject(*id), &*ports.entropy);
        rows.push(vec![id.0.into(), wrapped.into()]);
        keys.insert(*id, key);
    }
    run(tx, &HISTORY_KEY_INSERT, &[ports.now().into()], rows).await.map_err(lost_race)?;
    Ok(keys)
}

/// Destroys a contact's key: what its history held of it cannot be read any more. One that never was is destroyed, too:
/// so whoever makes it at this moment, for an event, is told to look again.
pub(in crate::contacts) async fn history_key_destroy(
    tx: &mut TenantTx,
    ports: &Ports,
    contact: ContactId,
) -> Result<(), WallError> {
    let destroyed = tx
        .update::<subject_keys::Entity>()
        .eq(subject_keys::Column::SubjectId, subject(contact))
        .is_not_null(subject_keys::Column::Wrapped)
        .set(subject_keys::Column::Wrapped, carillon_entities::wall::Value::Bytes(None))
        .set(subject_keys::Column::DestroyedAt, ports.now())
        .execute()
        .await?;
    if destroyed > 0 {
        return Ok(());
    }
    let row = subject_keys::ActiveModel {
        subject_id: Set(subject(contact)),
        wrapped: Set(None),
        created_at: Set(ports.now()),
        destroyed_at: Set(Some(ports.now())),
        ..Default::default()
    };
    tx.insert(row).await.map_err(lost_race)
}
