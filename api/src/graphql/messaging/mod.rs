//! Senders, relays, templates and messages.

pub mod content_types;
pub mod feed;
mod history;
pub mod inputs;
pub mod loaders;
mod mutations;
mod queries;
mod subscriptions;
mod template_inputs;
mod template_mutations;
mod template_queries;
pub mod tracking;
pub mod types;

pub use mutations::MessagingMutation;
pub use queries::MessagingQuery;
pub use subscriptions::MessagingSubscription;
pub use template_mutations::TemplateMutation;
pub use template_queries::TemplateQuery;
pub use tracking::{TrackingMutation, TrackingQuery};
