//! Archiving: a contact is put away, never mailed, and can be taken back as it was.

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;

use super::history::{Author, ChangeKind, Entry, history_append};
use super::plan::conflict;
use super::store::contacts::{contacts_change, contacts_lock};
use super::{Contact, ContactState};
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, WriteContacts};
use crate::workflows::react_to_contacts;

/// Puts a contact away; one that is away already stays as it is.
pub async fn archive_contact(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: ContactId,
    version: i64,
) -> Result<Contact> {
    let contact = lock_version(tx, id, version).await?;
    turn(grant, tx, ports, contact, ContactState::Archived).await
}

/// Takes a contact back; an active one stays as it is.
pub async fn restore_contact(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: ContactId,
    version: i64,
) -> Result<Contact> {
    let contact = lock_version(tx, id, version).await?;
    turn(grant, tx, ports, contact, ContactState::Active).await
}

async fn turn(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    mut contact: Contact,
    state: ContactState,
) -> Result<Contact> {
    if contact.state == state {
        return Ok(contact);
    }
    let now = ports.now();
    let archived = state == ContactState::Archived;
    contact.state = state;
    contact.archived_at = archived.then_some(now);
    contact.version += 1;
    contact.updated_at = now;
    contacts_change(tx, vec![&contact]).await?;
    let kind = if archived { ChangeKind::Archived } else { ChangeKind::Restored };
    let entry = Entry { contact: contact.id, kind, fields: vec!["state".to_owned()], values: None };
    history_append(tx, ports, Author::caller(grant.actor()), vec![entry]).await?;
    react_to_contacts(tx, ports, &[contact.id]).await?;
    Ok(contact)
}

/// A contact that is not deleted, locked, if it is at the version the caller saw.
pub(super) async fn lock_version(tx: &mut TenantTx, id: ContactId, version: i64) -> Result<Contact> {
    let contact = contacts_lock(tx, &[id]).await?.pop();
    let contact = contact.filter(|contact| contact.state != ContactState::Deleted);
    let contact = contact.ok_or_else(|| Refusal::not_found("id"))?;
    if contact.version == version { Ok(contact) } else { Err(conflict(contact.version).into()) }
}
