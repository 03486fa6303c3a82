//! Rows of `outbox_events`, which only ever grow, and who listens.

use carillon_entities::ids::{WebhookEndpointId, WebhookEventId};
use carillon_entities::rows::webhooks::outbox_events;
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, TenantTx};
use sea_orm::{ActiveValue::Set, FromQueryResult};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::time::Timestamp;
use crate::webhooks::outbox::NewEvent;
use crate::webhooks::{EndpointState, WebhookEventType};

statements! {
    /// Which endpoints listen to what, and whether they are told: a tenant has a handful, and most have none.
    WEBHOOK_LISTENERS() =
        "SELECT s.event_type, s.endpoint_id, e.state FROM webhook_subscriptions s \
         JOIN webhook_endpoints e ON e.tenant_id = $1 AND e.id = s.endpoint_id WHERE s.tenant_id = $1";
    /// Events of a span that an endpoint listens to and that are not on their way to it; of those that it took none if that
    /// is asked for. The ids' times are when they happened.
    WEBHOOK_REPLAY(Uuid, Uuid, Uuid, Bool, BigInt) =
        "SELECT o.id, o.event_type FROM webhook_subscriptions s \
         JOIN outbox_events o ON o.tenant_id = $1 AND o.event_type = s.event_type AND o.id >= $3 AND o.id < $4 \
         WHERE s.tenant_id = $1 AND s.endpoint_id = $2 AND NOT EXISTS ( \
            SELECT 1 FROM webhook_deliveries d WHERE d.tenant_id = $1 AND d.event_id = o.id AND d.endpoint_id = $2 \
            AND (d.state = 'queued' OR ($5 AND d.state = 'delivered'))) ORDER BY o.id LIMIT $6";
}

/// An endpoint that listens to something.
#[derive(Debug)]
pub(in crate::webhooks) struct Listener {
    pub event_type: WebhookEventType,
    pub endpoint: WebhookEndpointId,
    pub state: EndpointState,
}

#[derive(FromQueryResult)]
struct ListenerRow {
    event_type: String,
    endpoint_id: WebhookEndpointId,
    state: String,
}

/// Who listens to what; a type that this program does not know is left out.
pub(in crate::webhooks) async fn listeners(tx: &mut TenantTx) -> Result<Vec<Listener>> {
    let rows: Vec<ListenerRow> = tx.sql(&WEBHOOK_LISTENERS, Args::default())?.all().await?;
    let listener = |row: ListenerRow| {
        let state = row.state.parse::<EndpointState>().map_err(Error::fault)?;
        Ok::<_, Error>(row.event_type.parse().ok().map(|event_type| Listener {
            event_type,
            endpoint: row.endpoint_id,
            state,
        }))
    };
    rows.into_iter().filter_map(|row| listener(row).transpose()).collect()
}

pub(in crate::webhooks) async fn events_insert(tx: &mut TenantTx, events: Vec<NewEvent>, now: Timestamp) -> Result<()> {
    let rows = events.into_iter().map(|event| outbox_events::ActiveModel {
        id: Set(event.id),
        event_type: Set(event.event_type.as_str().to_owned()),
        data: Set(event.data),
        at: Set(now),
        ..Default::default()
    });
    tx.insert_many(rows.collect(), OnConflict::Fail).await?;
    Ok(())
}

/// What a replay asks for.
#[derive(Debug, Clone, Copy)]
pub(in crate::webhooks) struct Span {
    pub endpoint: WebhookEndpointId,
    pub from: Uuid,
    pub until: Uuid,
    pub undelivered_only: bool,
}

#[derive(FromQueryResult)]
struct EventRow {
    id: WebhookEventId,
    event_type: String,
}

/// Events of a span that an endpoint may be told again, the oldest first.
pub(in crate::webhooks) async fn events_of_span(
    tx: &mut TenantTx,
    span: Span,
    limit: i64,
) -> Result<Vec<(WebhookEventId, WebhookEventType)>> {
    let args =
        [span.endpoint.0.into(), span.from.into(), span.until.into(), span.undelivered_only.into(), limit.into()];
    let rows: Vec<EventRow> = tx.sql(&WEBHOOK_REPLAY, Args::of(args))?.all().await?;
    rows.into_iter().map(|row| Ok((row.id, row.event_type.parse().map_err(Error::fault)?))).collect()
}
