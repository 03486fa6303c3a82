//! Webhooks: endpoints, and the log of what was delivered to them.

mod inputs;
mod loaders;
mod mutations;
mod payloads;
mod queries;
mod types;

pub use mutations::WebhookMutation;
pub use queries::WebhookQuery;
pub use types::{WebhookDelivery, WebhookEndpoint};
