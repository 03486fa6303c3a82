//! What events look like from outside.

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use carillon_domain::contacts::events as domain;
use carillon_domain::ids::EventDefinitionId;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::loaders::PropertiesOf;
use crate::graphql::loader;

/// The kind of an event's property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::contacts::events::PropertyKind")]
pub enum EventPropertyKind {
    /// Text.
    String,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A day such as `2026-11-22`; only declared, never learned.
    Date,
    /// Learned, a list or an object; declared, anything.
    Json,
    /// Seen with several kinds; declared, anything.
    Mixed,
}

/// A property of an event.
#[derive(Debug, Clone, SimpleObject)]
pub struct EventProperty {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: EventPropertyKind,
    /// True when values of other kinds are refused; else it only tells what was seen.
    pub declared: bool,
}

impl From<domain::EventProperty> for EventProperty {
    fn from(property: domain::EventProperty) -> Self {
        Self { name: property.name.as_str().to_owned(), kind: property.kind.into(), declared: property.is_declared }
    }
}

/// An event that is known: it was declared, or somebody did it.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct EventDefinition {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// Its name.
    pub name: String,
    /// False when it was only seen.
    pub declared: bool,
    /// Since when it is known.
    pub created_at: DateTime<Utc>,
    #[graphql(skip)]
    pub key: EventDefinitionId,
}

impl EventDefinition {
    /// The event with this id.
    pub async fn find(ctx: &Context<'_>, id: EventDefinitionId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self::from))
    }
}

#[ComplexObject]
impl EventDefinition {
    /// Its properties by name, at most about a hundred.
    async fn properties(&self, ctx: &Context<'_>) -> Result<Vec<EventProperty>> {
        let found = loader::of(ctx).load_one(PropertiesOf(self.key)).await?;
        Ok(found.unwrap_or_default().into_iter().map(EventProperty::from).collect())
    }
}

impl From<domain::EventDefinition> for EventDefinition {
    fn from(definition: domain::EventDefinition) -> Self {
        Self {
            id: definition.id.to_string().into(),
            name: definition.name.as_str().to_owned(),
            declared: definition.is_declared,
            created_at: definition.created_at,
            key: definition.id,
        }
    }
}

/// Something that a contact did.
#[derive(Debug, Clone, SimpleObject)]
pub struct ContactEvent {
    /// Its id.
    pub id: ID,
    /// What was done.
    pub name: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// More about it; null where the contact's key is destroyed.
    pub properties: Option<Value>,
}

impl From<domain::ContactEvent> for ContactEvent {
    fn from(event: domain::ContactEvent) -> Self {
        Self {
            id: event.id.to_string().into(),
            name: event.name,
            occurred_at: event.occurred_at,
            properties: event.properties.map(Value::Object),
        }
    }
}
