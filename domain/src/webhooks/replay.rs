//! Telling again: deliveries by id, or what happened in a span of time. The events keep their ids, so an endpoint that
//! remembers those tells a copy from news.

use carillon_entities::ids::{WebhookDeliveryId, WebhookEndpointId, WebhookEventId};
use carillon_entities::wall::TenantTx;
use serde_json::json;
use uuid::Uuid;

use super::WebhookEventType;
use super::manage::{assert_enabled, locked};
use super::outbox::NewDelivery;
use super::store::endpoints::endpoint_wake;
use super::store::outbox::Span;
use super::store::{deliveries, outbox};
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{AdministerWebhooks, Deed, Grant, record};
use crate::time::Timestamp;

/// Deliveries that one call names.
const DELIVERIES_MAX: usize = 100;
/// Events that one call tells again.
const EVENTS_MAX: i64 = 10_000;

/// What is told again.
#[derive(Debug, Clone)]
pub enum ReplayOf {
    /// What these deliveries told.
    Deliveries(Vec<WebhookDeliveryId>),
    /// What happened in a span of time, of what the endpoint listens to.
    Span {
        /// From then.
        from: Timestamp,
        /// To before then.
        until: Timestamp,
        /// Leaves out what the endpoint took before.
        undelivered_only: bool,
    },
}

/// A replay to an endpoint.
#[derive(Debug, Clone)]
pub struct Replay {
    /// To which.
    pub endpoint: WebhookEndpointId,
    /// Of what.
    pub of: ReplayOf,
}

/// Queues new deliveries of what was told before; returns how many. What is on its way already is left out.
///
/// # Errors
/// `NOT_FOUND` for an endpoint, or for a delivery that is not its own, `ENDPOINT_DISABLED`, `BAD_COUNT` and `BATCH_SIZE`
/// for too much in one call.
pub async fn replay(
    grant: &Grant<AdministerWebhooks>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: &Replay,
) -> Result<usize> {
    let endpoint = locked(tx, command.endpoint, "endpointId").await?;
    assert_enabled(&endpoint, "endpointId")?;
    endpoint_wake(tx, command.endpoint).await?;
    let events = match &command.of {
        ReplayOf::Deliveries(ids) => events_of(tx, command.endpoint, ids).await?,
        ReplayOf::Span { from, until, undelivered_only } => {
            let (from, until) = (lowest_id(*from), lowest_id(*until));
            let span = Span { endpoint: command.endpoint, from, until, undelivered_only: *undelivered_only };
            let events = outbox::events_of_span(tx, span, EVENTS_MAX + 1).await?;
            if i64::try_from(events.len()).unwrap_or(i64::MAX) > EVENTS_MAX {
                let message = format!("More than {EVENTS_MAX} events: ask for a shorter span.");
                return Err(Refusal::new("BATCH_SIZE", "of.span", message).into());
            }
            events
        }
    };
    let new: Vec<NewDelivery> = events
        .into_iter()
        .map(|(event, event_type)| NewDelivery { id: ports.new_id(), endpoint: command.endpoint, event, event_type })
        .collect();
    deliveries::deliveries_insert(tx, &new, ports.now()).await?;
    let deed = Deed::new("webhook.replay", command.endpoint.0).with(json!({ "deliveries": new.len() }));
    record(tx, ports, grant.actor(), deed).await?;
    Ok(new.len())
}

type Told = (WebhookEventId, WebhookEventType);

/// What deliveries of an endpoint told; each once, and none that is on its way, by one of them or by another: so however
/// often a replay is asked for, there is no more to do than there are events.
async fn events_of(tx: &mut TenantTx, endpoint: WebhookEndpointId, ids: &[WebhookDeliveryId]) -> Result<Vec<Told>> {
    if ids.is_empty() || ids.len() > DELIVERIES_MAX {
        let message = format!("1 to {DELIVERIES_MAX} deliveries.");
        return Err(Refusal::new("BAD_COUNT", "of.deliveryIds", message).into());
    }
    let found = deliveries::deliveries_find(tx, ids).await?;
    for (place, id) in ids.iter().enumerate() {
        if !found.iter().any(|delivery| delivery.id == *id && delivery.endpoint == endpoint) {
            return Err(Refusal::not_found(format!("of.deliveryIds.{place}")).into());
        }
    }
    let events: Vec<_> = found.iter().map(|delivery| delivery.event).collect();
    let queued = deliveries::events_queued(tx, endpoint, &events).await?;
    let mut told: Vec<Told> = found.into_iter().map(|delivery| (delivery.event, delivery.event_type)).collect();
    told.retain(|(event, _)| !queued.contains(event));
    told.sort_unstable();
    told.dedup();
    Ok(told)
}

/// The lowest id of an instant: its 48 bits of milliseconds, then zeros.
pub(super) fn lowest_id(at: Timestamp) -> Uuid {
    Uuid::from_u128(u128::from(u64::try_from(at.timestamp_millis()).unwrap_or(0)) << 80)
}
