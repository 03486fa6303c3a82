//! What is known of events, and what contacts did.

use std::collections::HashMap;

use carillon_entities::ids::{ContactEventId, ContactId, EventDefinitionId};
use carillon_entities::wall::TenantTx;
use serde_json::{Map, Value as Json};

use super::track::place;
use super::{EventDefinition, EventProperty};
use crate::contacts::store::events::{definitions_find, definitions_page, events_of, properties_of};
use crate::contacts::store::subject_keys::history_keys;
use crate::error::{Error, Result};
use crate::paging::{Ahead, Page, Paged};
use crate::ports::Ports;
use crate::tenancy::{Grant, ReadContacts, ReadPersonalData};
use crate::time::Timestamp;

/// Something a contact did.
#[derive(Clone)]
pub struct ContactEvent {
    /// Its id.
    pub id: ContactEventId,
    /// The event's name.
    pub name: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Its properties; none where their key is destroyed.
    pub properties: Option<Map<String, Json>>,
}

impl std::fmt::Debug for ContactEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContactEvent({}, ..)", self.id)
    }
}

/// Events that are known; unknown ids are left out.
pub async fn find_event_definitions(
    _grant: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    ids: &[EventDefinitionId],
) -> Result<Vec<EventDefinition>> {
    definitions_find(tx, ids).await
}

/// A page of the events that are known, in the order in which they became so.
pub async fn list_event_definitions(
    _grant: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    page: Page<EventDefinitionId>,
) -> Result<Paged<EventDefinition>> {
    definitions_page(tx, page).await
}

/// The properties of events, each event's by name, in one statement.
pub async fn event_properties(
    _grant: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    events: &[EventDefinitionId],
) -> Result<HashMap<EventDefinitionId, Vec<EventProperty>>> {
    let known = properties_of(tx, events).await?;
    Ok(known.into_iter().map(|(id, known)| (id, known.into_values().collect())).collect())
}

/// A page of what each contact did, what arrived last first, in two statements for all of them. Contacts that did
/// nothing are left out.
pub async fn contact_events(
    _grant: &Grant<ReadPersonalData>,
    tx: &mut TenantTx,
    ports: &Ports,
    contacts: &[ContactId],
    page: Ahead<ContactEventId>,
) -> Result<HashMap<ContactId, Paged<ContactEvent>>> {
    let tenant = tx.tenant();
    let pages = events_of(tx, contacts, page).await?;
    let keys = history_keys(tx, ports, contacts).await?;
    let mut answer = HashMap::with_capacity(pages.len());
    for (contact, Paged { items, has_next, has_previous }) in pages {
        let key = keys.get(&contact);
        let opened = |(event, sealed): (ContactEvent, Option<Vec<u8>>)| {
            let properties = match sealed {
                None => Some(Map::new()),
                Some(sealed) => key
                    .map(|key| key.open(&place(tenant, event.id), &sealed))
                    .transpose()?
                    .as_deref()
                    .map(read)
                    .transpose()?,
            };
            Ok(ContactEvent { properties, ..event })
        };
        let items = items.into_iter().map(opened).collect::<Result<_>>()?;
        answer.insert(contact, Paged { items, has_next, has_previous });
    }
    Ok(answer)
}

fn read(plain: &[u8]) -> Result<Map<String, Json>> {
    serde_json::from_slice(plain).map_err(|_| Error::fault("an event's properties are no JSON object"))
}
