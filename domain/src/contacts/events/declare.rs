//! Declaring events: which there are, and of which kind their properties must be.

use std::collections::{BTreeMap, BTreeSet};

use carillon_entities::ids::EventDefinitionId;
use carillon_entities::wall::TenantTx;

use super::{EventName, EventProperty, PROPERTIES_MAX, PropertyKind, PropertyName};
use crate::contacts::store::events::{definitions_count, definitions_put, event_definitions_named, properties_put};
use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, TrackEvents};
use crate::time::Timestamp;

/// Events that a tenant may have.
pub const EVENTS_MAX: usize = 1_000;
/// Events of one declaration.
pub const DECLARE_MAX: usize = 100;

/// An event that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDefinition {
    /// Its id.
    pub id: EventDefinitionId,
    /// Its name, unique in the tenant.
    pub name: EventName,
    /// False for one that was only seen.
    pub is_declared: bool,
    /// Since when it is known.
    pub created_at: Timestamp,
}

/// An event to declare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclareEvent {
    /// Its name.
    pub name: EventName,
    /// Kinds of its properties; of others nothing is said.
    pub properties: BTreeMap<PropertyName, PropertyKind>,
}

/// Declares events, in their order; the same again changes nothing. A kind that contradicts what was seen, or what was
/// declared before, holds from now on: what is stored stays as it is.
///
/// # Errors
/// `TOO_MANY_EVENTS` beyond [`EVENTS_MAX`], `TOO_MANY_PROPERTIES` beyond [`PROPERTIES_MAX`], `BATCH_SIZE`.
pub async fn declare_events(
    _grant: &Grant<TrackEvents>,
    tx: &mut TenantTx,
    ports: &Ports,
    events: Vec<DeclareEvent>,
) -> Result<Vec<EventDefinition>> {
    check(&events)?;
    let names: BTreeSet<String> = events.iter().map(|event| event.name.as_str().to_owned()).collect();
    let there = event_definitions_named(tx, &names).await?;
    let new = names.len() - there.len();
    if new > 0 && definitions_count(tx).await? + new > EVENTS_MAX {
        let message = format!("A tenant has at most {EVENTS_MAX} events.");
        return Err(Refusal::new("TOO_MANY_EVENTS", "events", message).into());
    }
    let now = ports.now();
    let wanted = names.into_iter().map(|name| (name, ports.new_id()));
    let ids = definitions_put(tx, wanted.collect(), true, now).await?;
    let mut properties = BTreeMap::new();
    let mut answer = Vec::with_capacity(events.len());
    for DeclareEvent { name, properties: kinds } in events {
        let id = *ids.get(name.as_str()).ok_or_else(|| Error::fault("a declared event has no id"))?;
        let created_at = there.get(name.as_str()).map_or(now, |known| known.created_at);
        answer.push(EventDefinition { id, name, is_declared: true, created_at });
        for (name, kind) in kinds {
            properties.insert((id, name.clone()), EventProperty { name, kind, is_declared: true });
        }
    }
    let rows = properties.into_iter().map(|((id, _), property)| (id, property));
    properties_put(tx, rows.collect(), now).await?;
    Ok(answer)
}

fn check(events: &[DeclareEvent]) -> Result<(), Refusal> {
    if events.is_empty() || events.len() > DECLARE_MAX {
        return Err(Refusal::new("BATCH_SIZE", "events", format!("A call takes 1 to {DECLARE_MAX} events.")));
    }
    for (place, event) in events.iter().enumerate() {
        if event.properties.len() > PROPERTIES_MAX {
            let message = format!("An event has at most {PROPERTIES_MAX} properties.");
            return Err(Refusal::new("TOO_MANY_PROPERTIES", format!("events.{place}.properties"), message));
        }
    }
    Ok(())
}
