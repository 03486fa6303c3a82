//! A contact's history: who changed which fields when; the values beside it, sealed under the contact's key (L7).
//!
//! The entry of a creation holds no values: they are in the contact, or the first later change of a field has them as
//! old ones.

use std::collections::HashMap;

use carillon_entities::ids::{ContactChangeId, ContactId, ImportId, TenantId};
use carillon_entities::wall::{TenantTx, Value};
use serde_json::Value as Json;
use uuid::Uuid;

use super::store::changes::{changes_append, changes_of};
use super::store::subject_keys::{history_keys, history_keys_ensure};
use crate::consent::{ActorKind, SourceKind};
use crate::error::{Error, Result};
use crate::keys::{Place, SubjectKey};
use crate::paging::{Ahead, Paged};
use crate::ports::Ports;
use crate::tenancy::{Actor, Grant, ReadPersonalData};
use crate::time::Timestamp;
use crate::webhooks::{self, ContactChanged, Happening};

text_code! {
    /// What happened to a contact.
    pub enum ChangeKind {
        /// It came to be.
        Created = "created",
        /// Fields changed.
        Updated = "updated",
        /// Tags were put on or taken off.
        Tagged = "tagged",
        /// It was put away.
        Archived = "archived",
        /// It was taken back.
        Restored = "restored",
        /// It was deleted.
        Deleted = "deleted",
    }
}

/// One entry of the history.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its id.
    pub id: ContactChangeId,
    /// What happened.
    pub kind: ChangeKind,
    /// What kind of actor did it.
    pub actor_kind: ActorKind,
    /// Who did it, where that has an id.
    pub actor_id: Option<Uuid>,
    /// Through what.
    pub source_kind: SourceKind,
    /// Through which import.
    pub source_id: Option<Uuid>,
    /// Names of the fields that changed, in the API's spelling.
    pub fields: Vec<String>,
    /// Old and new values by field, if they were recorded and the key is not destroyed.
    pub values: Option<Json>,
    /// When.
    pub at: Timestamp,
}

/// Who changes contacts, and through what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Author {
    pub actor: Actor,
    /// The import that does it on the actor's behalf.
    pub import: Option<ImportId>,
}

impl Author {
    /// Somebody who calls us.
    pub fn caller(actor: Actor) -> Self {
        Self { actor, import: None }
    }

    /// Through what, as the history and the ledger say it.
    pub fn source(self) -> (SourceKind, Option<Uuid>) {
        match (self.import, self.actor) {
            (Some(ImportId(id)), _) => (SourceKind::Import, Some(id)),
            (None, Actor::User(_)) => (SourceKind::Agent, None),
            (None, Actor::ApiKey(_)) => (SourceKind::Api, None),
            (None, Actor::Recipient) => (SourceKind::Subject, None),
            (None, Actor::System) => (SourceKind::System, None),
        }
    }
}

/// An entry to append, with its values sealed.
pub(crate) struct ChangeRow {
    pub id: ContactChangeId,
    pub contact: ContactId,
    pub kind: ChangeKind,
    pub fields: Vec<String>,
    pub sealed: Option<Vec<u8>>,
}

/// An entry to append, with its values open; `None` where there are none to keep.
pub(crate) struct Entry {
    pub contact: ContactId,
    pub kind: ChangeKind,
    pub fields: Vec<String>,
    pub values: Option<Json>,
}

/// Appends entries; values are sealed under each contact's key.
pub(crate) async fn history_append(
    tx: &mut TenantTx,
    ports: &Ports,
    author: Author,
    entries: Vec<Entry>,
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let tenant = tx.tenant();
    let mut with_values: Vec<ContactId> =
        entries.iter().filter(|entry| entry.values.is_some()).map(|entry| entry.contact).collect();
    with_values.sort_unstable();
    with_values.dedup();
    let keys = history_keys_ensure(tx, ports, &with_values).await?;
    let happenings = entries.iter().map(happening).collect();
    let rows = entries.into_iter().map(|entry| {
        let id: ContactChangeId = ports.new_id();
        let sealed = entry
            .values
            .zip(keys.get(&entry.contact))
            .map(|(values, key)| key.seal(&place(tenant, id), values.to_string().as_bytes(), &*ports.entropy));
        ChangeRow { id, contact: entry.contact, kind: entry.kind, fields: entry.fields, sealed }
    });
    let (source, source_id) = author.source();
    let scalars = [
        author.actor.kind().as_str().into(),
        Value::Uuid(author.actor.id()),
        source.as_str().into(),
        Value::Uuid(source_id),
        ports.now().into(),
    ];
    changes_append(tx, scalars, rows.collect()).await?;
    webhooks::tell(tx, ports, happenings).await
}

/// What webhooks are told of an entry: that it is there, and which fields it is about.
fn happening(entry: &Entry) -> Happening {
    let changed =
        ContactChanged { contact_id: entry.contact, change: entry.kind.as_str(), fields: entry.fields.clone() };
    match entry.kind {
        ChangeKind::Created => Happening::ContactCreated(changed),
        ChangeKind::Deleted => Happening::ContactDeleted(changed),
        ChangeKind::Updated | ChangeKind::Tagged | ChangeKind::Archived | ChangeKind::Restored => {
            Happening::ContactUpdated(changed)
        }
    }
}

fn place(tenant: TenantId, id: ContactChangeId) -> Place {
    Place::new(tenant, "contact_changes", "sealed", id)
}

/// A page of each contact's history, in two statements for all of them; without its values where their key is
/// destroyed. Contacts without a history are left out.
pub async fn contact_histories(
    _grant: &Grant<ReadPersonalData>,
    tx: &mut TenantTx,
    ports: &Ports,
    contacts: &[ContactId],
    page: Ahead<ContactChangeId>,
) -> Result<HashMap<ContactId, Paged<Change>>> {
    let tenant = tx.tenant();
    let pages = changes_of(tx, contacts, page).await?;
    let keys = history_keys(tx, ports, contacts).await?;
    let mut histories = HashMap::with_capacity(pages.len());
    for (contact, Paged { items, has_next, has_previous }) in pages {
        let key = keys.get(&contact);
        let opened = |(change, sealed): (Change, Option<Vec<u8>>)| {
            let values = sealed.zip(key).map(|(sealed, key)| open(key, tenant, change.id, &sealed)).transpose()?;
            Ok(Change { values, ..change })
        };
        let items = items.into_iter().map(opened).collect::<Result<_>>()?;
        histories.insert(contact, Paged { items, has_next, has_previous });
    }
    Ok(histories)
}

fn open(key: &SubjectKey, tenant: TenantId, id: ContactChangeId, sealed: &[u8]) -> Result<Json> {
    let plain = key.open(&place(tenant, id), sealed)?;
    serde_json::from_slice(&plain).map_err(|_| Error::fault("a history entry holds no JSON"))
}
