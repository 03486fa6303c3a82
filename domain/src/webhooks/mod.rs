//! Outgoing webhooks: what happens in a tenant, told to the endpoints it names (Standard Webhooks 1.0; C-188, C-227, C-228).
//!
//! An event is written to the outbox in the transaction of the fact that it tells ([`tell`]), with a delivery for each
//! endpoint that listens: so nothing is told that did not happen, and nothing that happened is forgotten. A tenant
//! without endpoints pays for one look at an empty index. The deliveries are the queue (L4); the claim is on the
//! endpoint, so each has one batch under way and a slow one holds up nobody else; where nobody answers it rests. A
//! worker that dies between claim and settlement repeats its batch under the same ids: at least once, in no promised
//! order. Payloads are thin: ids and codes, nothing personal.

mod claim;
mod endpoint;
mod endpoint_url;
mod happening;
mod listed;
mod manage;
mod outbox;
mod replay;
mod schedule;
mod secret;
mod settle;
pub mod store;

pub use claim::{Claimed, DueDelivery, claim_deliveries};
pub use endpoint::{DisabledReason, Endpoint, EndpointState};
pub use endpoint_url::{EndpointUrl, WebhookReach};
pub(crate) use happening::{
    ConsentSaid, ContactChanged, EndpointDisabled, EndpointTested, ImportFinished, MessageEnded, WorkflowFinished,
};
pub use happening::{Happening, WebhookEventType, events_schema};
pub use listed::{
    Attempt, Delivery, DeliveryFilter, DeliveryState, attempts, deliveries, endpoints, find_deliveries, find_endpoints,
};
pub use manage::{
    CreateEndpoint, ENDPOINTS_MAX, MadeEndpoint, UpdateEndpoint, create_endpoint, delete_endpoint, rotate_secret,
    test_endpoint, update_endpoint,
};
pub(crate) use outbox::tell;
pub use replay::{Replay, ReplayOf, replay};
pub use schedule::{ATTEMPTS_MAX, Answer, DISABLED_AFTER, WebhookOutcome};
pub use secret::{OVERLAP, Secrets};
pub use settle::{Attempted, settle};
