//! The properties of events by id, for the mails of the workflows that these events began.

use std::collections::HashMap;

use carillon_entities::ids::{ContactEventId, ContactId};
use carillon_entities::wall::TenantTx;
use serde_json::{Map, Value as Json};

use super::track::place;
use crate::contacts::store::opened::sealed_properties;
use crate::contacts::store::subject_keys::history_keys;
use crate::error::{Error, Result};
use crate::ports::Ports;

/// Opens the properties of events. Those of a contact whose key was destroyed are gone, and left out.
pub(crate) async fn properties_of_events(
    tx: &mut TenantTx,
    ports: &Ports,
    events: &[ContactEventId],
) -> Result<HashMap<ContactEventId, Map<String, Json>>> {
    let tenant = tx.tenant();
    let sealed = sealed_properties(tx, events).await?;
    let mut contacts: Vec<ContactId> = sealed.iter().map(|event| event.contact_id).collect();
    contacts.sort_unstable();
    contacts.dedup();
    let keys = history_keys(tx, ports, &contacts).await?;
    let mut opened = HashMap::with_capacity(sealed.len());
    for event in sealed {
        let Some((key, sealed)) = keys.get(&event.contact_id).zip(event.sealed) else { continue };
        let plain = key.open(&place(tenant, event.id), &sealed)?;
        let properties = serde_json::from_slice(&plain).map_err(|_| Error::fault("an event holds no JSON object"))?;
        opened.insert(event.id, properties);
    }
    Ok(opened)
}
