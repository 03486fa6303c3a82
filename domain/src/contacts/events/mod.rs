//! Events: what contacts did.
//!
//! A message id of a source is one event, for ever: the same again is acknowledged as the same event, something else
//! under it is refused. What is acknowledged is stored (A3.14, A3.15). Names and kinds of properties are learned from
//! what arrives; a declared kind is kept to. Properties may be personal, so they lie under the contact's own key (L7).

mod catalogue;
mod declare;
mod list;
mod name;
mod opened;
mod property;
mod track;
mod whose;

pub(crate) use super::store::events::properties_of;
pub use declare::{DECLARE_MAX, DeclareEvent, EVENTS_MAX, EventDefinition, declare_events};
pub use list::{ContactEvent, contact_events, event_properties, find_event_definitions, list_event_definitions};
pub use name::{EventName, InvalidEventName, InvalidPropertyName, PropertyName};
pub(crate) use opened::properties_of_events;
pub(crate) use property::Known as KnownProperties;
pub use property::{DEPTH_MAX, EventProperty, PROPERTIES_MAX, PROPERTIES_OCTETS, PropertyKind};
pub use track::{EventContact, TRACK_MAX, TrackEvent, Tracked, track_events};
pub(crate) use track::{EventKey, NewEvent};
