//! Senders, relays, templates and messages.

pub mod content_types;
pub mod inputs;
pub mod loaders;
mod mutations;
mod queries;
mod subscriptions;
pub mod types;

pub use mutations::MessagingMutation;
pub use queries::MessagingQuery;
pub use subscriptions::MessagingSubscription;
