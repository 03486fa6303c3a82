//! Contacts and imports over GraphQL.

mod event_inputs;
mod event_types;
mod events;
mod import_inputs;
mod import_types;
mod imports;
mod inputs;
mod loaders;
mod mutations;
mod queries;
mod subscriptions;
mod types;

pub use event_types::{ContactEvent, EventDefinition};
pub use events::{EventMutation, EventQuery};
pub use import_types::{Import, ImportError, Upload};
pub use imports::{ImportMutation, ImportQuery};
pub use mutations::ContactMutation;
pub use queries::ContactQuery;
pub use subscriptions::ImportSubscription;
pub use types::{AttributeDefinition, Contact, ContactChange};
