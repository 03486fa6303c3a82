//! Deleting a contact: what is personal goes, what protects the person stays.

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;

use super::history::{Author, ChangeKind, Entry, history_append};
use super::put_away::lock_version;
use super::store::attributes::attributes_of_delete;
use super::store::contacts::contacts_change;
use super::store::identities::identities_of_delete;
use super::store::subject_keys::history_key_destroy;
use super::store::tags::tags_of_delete;
use super::{Contact, ContactState};
use crate::error::Result;
use crate::ports::Ports;
use crate::tenancy::{Grant, WriteContacts};
use crate::workflows::react_to_contacts;

/// Deletes a contact: identities, fields, attributes and tags are removed and the key of its history is destroyed.
/// Suppressions and the consent ledger hang on the address' hash and stay (C-124, C-156).
pub async fn delete_contact(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: ContactId,
    version: i64,
) -> Result<Contact> {
    let before = lock_version(tx, id, version).await?;
    let now = ports.now();
    let contact = Contact {
        state: ContactState::Deleted,
        version: before.version + 1,
        updated_at: now,
        deleted_at: Some(now),
        ..Contact::new(id, before.created_at)
    };
    contacts_change(tx, vec![&contact]).await?;
    identities_of_delete(tx, id).await?;
    attributes_of_delete(tx, id).await?;
    tags_of_delete(tx, id).await?;
    history_key_destroy(tx, ports, id).await?;
    let entry = Entry { contact: id, kind: ChangeKind::Deleted, fields: Vec::new(), values: None };
    history_append(tx, ports, Author::caller(grant.actor()), vec![entry]).await?;
    react_to_contacts(tx, ports, &[id]).await?;
    Ok(contact)
}
