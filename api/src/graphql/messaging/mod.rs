//! Senders, relays, templates and messages.

pub mod content_types;
pub mod inputs;
pub mod loaders;
mod mutations;
mod queries;
pub mod types;

pub use mutations::MessagingMutation;
pub use queries::MessagingQuery;
