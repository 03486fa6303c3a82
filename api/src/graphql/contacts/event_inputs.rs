//! Inputs about events, and how they become what use cases take.

use std::collections::BTreeMap;

use async_graphql::{ID, InputObject, OneofObject};
use carillon_domain::contacts::events::{
    DECLARE_MAX, DeclareEvent, EventContact, EventName, PROPERTIES_MAX, PropertyName, TrackEvent,
};
use carillon_domain::contacts::{EmailAddress, InvalidEmail, external_id};
use carillon_domain::error::Refusal;
use carillon_domain::tenancy::{Grant, WriteContacts};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::event_types::EventPropertyKind;
use crate::graphql::node::parse_id;

/// Whose event it is.
#[derive(Debug, Clone, OneofObject)]
pub enum EventContactInput {
    /// The contact's id.
    Id(ID),
    /// The tenant's own id of the contact.
    ExternalId(String),
    /// The contact's address.
    Email(String),
}

/// Something that a contact did.
#[derive(Debug, Clone, InputObject)]
pub struct TrackEventInput {
    /// Unique in its source, for ever: the same event again is acknowledged as the same, another one under it is refused.
    pub message_id: String,
    /// Where it comes from, at most 64 letters, digits and . _ - :; `api` if nothing is said.
    pub source: Option<String>,
    /// What was done: 1 to 100 letters, digits, spaces and . _ - :.
    pub name: String,
    /// Who did it.
    pub contact: EventContactInput,
    /// Makes a contact of an external id or address that nobody has. Needs the right to write contacts.
    pub create_contact: Option<bool>,
    /// When, in the last ten years; now if nothing is said. Up to five minutes ahead counts as now.
    pub occurred_at: Option<DateTime<Utc>>,
    /// More about it: a JSON object of at most 100 properties, 32 KB and 5 levels.
    pub properties: Option<Value>,
}

impl TrackEventInput {
    /// Parses it; refusals are relative to it.
    pub fn parse(&self, creates: Option<&Grant<WriteContacts>>) -> Result<TrackEvent, Refusal> {
        let name = EventName::parse(&self.name);
        let properties = match &self.properties {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(properties)) => properties.clone(),
            Some(_) => {
                return Err(Refusal::new("INVALID_PROPERTIES", "properties", "Properties are one JSON object."));
            }
        };
        Ok(TrackEvent {
            message_id: self.message_id.clone(),
            source: self.source.clone().unwrap_or_else(|| "api".to_owned()),
            name: name.map_err(|why| Refusal::new("INVALID_EVENT_NAME", "name", why.to_string()))?,
            contact: self.contact.parse()?,
            create: creates.filter(|_| self.create_contact == Some(true)).cloned(),
            occurred_at: self.occurred_at,
            properties,
        })
    }
}

impl EventContactInput {
    fn parse(&self) -> Result<EventContact, Refusal> {
        let refuse = |code, field: &str, why: String| Refusal::new(code, format!("contact.{field}"), why);
        Ok(match self {
            Self::Id(id) => EventContact::Id(parse_id(id, "contact.id")?),
            Self::ExternalId(id) => EventContact::ExternalId(
                external_id(id).map_err(|why| refuse("INVALID_TEXT", "externalId", why.to_string()))?,
            ),
            Self::Email(email) => EventContact::Email(
                EmailAddress::parse(email).map_err(|why| refuse(InvalidEmail::CODE, "email", why.to_string()))?,
            ),
        })
    }
}

/// Input of `trackEvents`.
#[derive(Debug, Clone, InputObject)]
pub struct TrackEventsInput {
    /// At most 500; each is taken or refused by itself.
    pub events: Vec<TrackEventInput>,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

/// A property of an event to declare.
#[derive(Debug, Clone, InputObject)]
pub struct DeclarePropertyInput {
    /// Its name: 1 to 64 letters, digits, spaces and . _ - : $.
    pub name: String,
    /// The kind its values must have from now on.
    pub kind: EventPropertyKind,
}

/// An event to declare.
#[derive(Debug, Clone, InputObject)]
pub struct DeclareEventInput {
    /// Its name.
    pub name: String,
    /// Its properties; of others nothing is said.
    pub properties: Option<Vec<DeclarePropertyInput>>,
}

/// Input of `declareEvents`.
#[derive(Debug, Clone, InputObject)]
pub struct DeclareEventsInput {
    /// At most 100; the same again changes nothing, another kind of a property holds from now on.
    pub events: Vec<DeclareEventInput>,
    /// The same key with the same input gives the stored answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

impl DeclareEventsInput {
    /// Parses the names.
    pub fn parse(&self) -> Result<Vec<DeclareEvent>, Vec<Refusal>> {
        let (mut events, mut refusals) = (Vec::new(), Vec::new());
        // What is beyond the limit is refused as a whole later.
        for (place, event) in self.events.iter().take(DECLARE_MAX + 1).enumerate() {
            match event.parse(place) {
                Ok(event) => events.push(event),
                Err(wrong) => refusals.extend(wrong),
            }
        }
        if refusals.is_empty() { Ok(events) } else { Err(refusals) }
    }
}

impl DeclareEventInput {
    fn parse(&self, place: usize) -> Result<DeclareEvent, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let mut refuse = |code, field: String, why: String| {
            refusals.push(Refusal::new(code, format!("events.{place}.{field}"), why));
        };
        let name = EventName::parse(&self.name)
            .map_err(|why| refuse("INVALID_EVENT_NAME", "name".to_owned(), why.to_string()))
            .ok();
        let mut properties = BTreeMap::new();
        let given = self.properties.as_deref().unwrap_or_default();
        for (n, property) in given.iter().take(PROPERTIES_MAX + 1).enumerate() {
            match PropertyName::parse(&property.name) {
                Ok(name) => drop(properties.insert(name, property.kind.into())),
                Err(why) => refuse("INVALID_PROPERTY_NAME", format!("properties.{n}.name"), why.to_string()),
            }
        }
        match name.filter(|_| refusals.is_empty()) {
            Some(name) => Ok(DeclareEvent { name, properties }),
            None => Err(refusals),
        }
    }
}
