//! An endpoint as its owner sees it.

use carillon_entities::ids::WebhookEndpointId;

use super::WebhookEventType;
use crate::time::Timestamp;

text_code! {
    /// Whether an endpoint is told anything.
    pub enum EndpointState {
        /// It is.
        Enabled = "enabled",
        /// It is not; what was queued waits, and what happens can be replayed.
        Disabled = "disabled",
        /// It never will be again.
        Deleted = "deleted",
    }
}

text_code! {
    /// Why an endpoint is disabled.
    pub enum DisabledReason {
        /// Its owner did it.
        Owner = "owner",
        /// It answered 410.
        Gone = "gone",
        /// It failed for days.
        Failing = "failing",
    }
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Where it is; empty once it is deleted.
    pub url: String,
    /// What its owner says of it.
    pub description: String,
    /// Whether it is told anything.
    pub state: EndpointState,
    /// Why not.
    pub reason: Option<DisabledReason>,
    /// What it listens to, in the order of the list.
    pub event_types: Vec<WebhookEventType>,
    /// Until when the secret before signs as well.
    pub previous_until: Option<Timestamp>,
    /// Since when it does nothing but fail.
    pub failing_since: Option<Timestamp>,
    /// When it was disabled.
    pub disabled_at: Option<Timestamp>,
    /// Counts its owner's changes; a change must name the one it saw.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it.
    pub updated_at: Timestamp,
}
