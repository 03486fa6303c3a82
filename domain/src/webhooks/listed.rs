//! Reading endpoints, deliveries and attempts: the log.

use carillon_entities::ids::{WebhookDeliveryId, WebhookEndpointId, WebhookEventId};
use carillon_entities::wall::TenantTx;

use super::{Endpoint, WebhookEventType, WebhookOutcome, store};
use crate::error::Result;
use crate::paging::{Page, Paged};
use crate::tenancy::{Grant, ReadWebhooks};
use crate::time::Timestamp;

text_code! {
    /// Where a delivery stands.
    pub enum DeliveryState {
        /// It is tried when it is due.
        Queued = "queued",
        /// The endpoint took it.
        Delivered = "delivered",
        /// It was tried as often as the schedule has it; a replay begins anew.
        Failed = "failed",
        /// Its endpoint was deleted.
        Cancelled = "cancelled",
    }
}

/// An event on its way to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: WebhookDeliveryId,
    /// To which endpoint.
    pub endpoint: WebhookEndpointId,
    /// What is told: the `webhook-id` of each attempt.
    pub event: WebhookEventId,
    /// Its name.
    pub event_type: WebhookEventType,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried next, while it is queued.
    pub due_at: Timestamp,
    /// What came of the last attempt.
    pub outcome: Option<WebhookOutcome>,
    /// The status of the last answer.
    pub status_code: Option<i32>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was over.
    pub settled_at: Option<Timestamp>,
}

/// One attempt of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Of which delivery.
    pub delivery: WebhookDeliveryId,
    /// From 1.
    pub number: i32,
    /// What came of it.
    pub outcome: WebhookOutcome,
    /// The status, if there was an answer.
    pub status_code: Option<i32>,
    /// How long it took.
    pub duration_ms: i64,
    /// The first bytes of the answer's body.
    pub answer: Option<String>,
    /// When it was over.
    pub at: Timestamp,
}

/// Which deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of this endpoint.
    pub endpoint: Option<WebhookEndpointId>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Of events of this type.
    pub event_type: Option<WebhookEventType>,
}

/// A page of endpoints, oldest first; deleted ones are left out.
pub async fn endpoints(
    _: &Grant<ReadWebhooks>,
    tx: &mut TenantTx,
    page: &Page<WebhookEndpointId>,
) -> Result<Paged<Endpoint>> {
    store::endpoints::endpoints_page(tx, page).await
}

/// Endpoints by id, deleted ones too, for the log names them; unknown ids are left out.
pub async fn find_endpoints(
    _: &Grant<ReadWebhooks>,
    tx: &mut TenantTx,
    ids: &[WebhookEndpointId],
) -> Result<Vec<Endpoint>> {
    store::endpoints::endpoints_find(tx, ids).await
}

/// A page of deliveries, oldest first.
pub async fn deliveries(
    _: &Grant<ReadWebhooks>,
    tx: &mut TenantTx,
    filter: &DeliveryFilter,
    page: &Page<WebhookDeliveryId>,
) -> Result<Paged<Delivery>> {
    store::deliveries::deliveries_page(tx, filter, page).await
}

/// Deliveries by id; unknown ids are left out.
pub async fn find_deliveries(
    _: &Grant<ReadWebhooks>,
    tx: &mut TenantTx,
    ids: &[WebhookDeliveryId],
) -> Result<Vec<Delivery>> {
    store::deliveries::deliveries_find(tx, ids).await
}

/// Attempts of deliveries, in the order in which they were made.
pub async fn attempts(
    _: &Grant<ReadWebhooks>,
    tx: &mut TenantTx,
    deliveries: &[WebhookDeliveryId],
) -> Result<Vec<Attempt>> {
    store::deliveries::attempts_of(tx, deliveries).await
}
