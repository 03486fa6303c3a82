//! Rows of `webhook_deliveries`, the queue, and of `webhook_attempts`, which only ever grow.

use carillon_entities::ids::{WebhookAttemptId, WebhookDeliveryId, WebhookEndpointId, WebhookEventId};
use carillon_entities::rows::webhooks::{webhook_attempts, webhook_deliveries};
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, TenantTx};
use sea_orm::{ActiveValue::Set, FromQueryResult};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::paging::{Page, Paged};
use crate::time::Timestamp;
use crate::webhooks::outbox::NewDelivery;
use crate::webhooks::schedule::{Answer, DeliveryMove};
use crate::webhooks::{Attempt, Delivery, DeliveryFilter, DeliveryState};

statements! {
    /// What is due to an endpoint, with what is to be told; the latter is gone where its month was dropped.
    WEBHOOK_DUE(Uuid, Time, BigInt) =
        "SELECT d.id, d.event_id, d.event_type, d.attempts, o.data, o.at FROM webhook_deliveries d \
         LEFT JOIN outbox_events o ON o.tenant_id = $1 AND o.id = d.event_id \
         WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.state = 'queued' AND d.due_at <= $3 \
         ORDER BY d.due_at LIMIT $4";
    /// Where deliveries are after an attempt; one that was taken back meanwhile stays so.
    WEBHOOK_MOVE(Time) [id: Uuid, state: Text, due_at: Time, outcome: Text, status_code: Int] =
        "WITH moves AS ({batch}) UPDATE webhook_deliveries SET state = moves.state, due_at = moves.due_at, \
         attempts = webhook_deliveries.attempts + 1, outcome = moves.outcome, status_code = moves.status_code, \
         settled_at = CASE WHEN moves.state = 'queued' THEN NULL ELSE $2 END FROM moves \
         WHERE webhook_deliveries.tenant_id = $1 AND webhook_deliveries.id = moves.id \
         AND webhook_deliveries.state = 'queued'";
}

/// What is due to an endpoint.
#[derive(Debug, FromQueryResult)]
pub(in crate::webhooks) struct DueRow {
    pub id: WebhookDeliveryId,
    pub event_id: WebhookEventId,
    pub event_type: String,
    pub attempts: i32,
    pub data: Option<Json>,
    pub at: Option<Timestamp>,
}

pub(in crate::webhooks) async fn deliveries_insert(
    tx: &mut TenantTx,
    deliveries: &[NewDelivery],
    now: Timestamp,
) -> Result<()> {
    let rows = deliveries.iter().map(|delivery| webhook_deliveries::ActiveModel {
        id: Set(delivery.id),
        endpoint_id: Set(delivery.endpoint),
        event_id: Set(delivery.event),
        event_type: Set(delivery.event_type.as_str().to_owned()),
        state: Set(DeliveryState::Queued.as_str().to_owned()),
        attempts: Set(0),
        due_at: Set(now),
        created_at: Set(now),
        ..Default::default()
    });
    tx.insert_many(rows.collect(), OnConflict::Fail).await?;
    Ok(())
}

pub(in crate::webhooks) async fn deliveries_due(
    tx: &mut TenantTx,
    endpoint: WebhookEndpointId,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<DueRow>> {
    Ok(tx.sql(&WEBHOOK_DUE, Args::of([endpoint.0.into(), now.into(), limit.into()]))?.all().await?)
}

/// What became of one delivery.
#[derive(Debug, Clone)]
pub(in crate::webhooks) struct Moved<'a> {
    pub delivery: WebhookDeliveryId,
    pub to: DeliveryMove,
    pub answer: &'a Answer,
}

pub(in crate::webhooks) async fn deliveries_move(tx: &mut TenantTx, moved: &[Moved<'_>], now: Timestamp) -> Result<()> {
    let size = tx.max_batch(&WEBHOOK_MOVE);
    for moved in moved.chunks(size) {
        let batch = moved.iter().map(|moved| {
            vec![
                moved.delivery.into(),
                moved.to.state.as_str().into(),
                moved.to.due_at.into(),
                moved.answer.outcome.as_str().into(),
                moved.answer.status.map(i32::from).into(),
            ]
        });
        tx.sql(&WEBHOOK_MOVE, Args::of([now.into()]).with_batch(batch))?.execute().await?;
    }
    Ok(())
}

/// An attempt to append.
#[derive(Debug)]
pub(in crate::webhooks) struct NewAttempt<'a> {
    pub id: WebhookAttemptId,
    pub delivery: WebhookDeliveryId,
    pub number: i32,
    pub answer: &'a Answer,
}

pub(in crate::webhooks) async fn attempts_append(
    tx: &mut TenantTx,
    attempts: Vec<NewAttempt<'_>>,
    now: Timestamp,
) -> Result<()> {
    let row = |attempt: NewAttempt<'_>| webhook_attempts::ActiveModel {
        id: Set(attempt.id),
        delivery_id: Set(attempt.delivery),
        number: Set(attempt.number),
        outcome: Set(attempt.answer.outcome.as_str().to_owned()),
        status_code: Set(attempt.answer.status.map(i32::from)),
        duration_ms: Set(attempt.answer.duration.num_milliseconds()),
        answer: Set(attempt.answer.body.clone()),
        at: Set(now),
        ..Default::default()
    };
    tx.insert_many(attempts.into_iter().map(row).collect(), OnConflict::Fail).await?;
    Ok(())
}

/// Takes back what is queued for an endpoint.
pub(in crate::webhooks) async fn deliveries_cancel(
    tx: &mut TenantTx,
    endpoint: WebhookEndpointId,
    now: Timestamp,
) -> Result<()> {
    use webhook_deliveries::Column;
    let update = tx.update::<webhook_deliveries::Entity>().eq(Column::EndpointId, endpoint);
    let update = update.eq(Column::State, DeliveryState::Queued.as_str());
    update.set(Column::State, DeliveryState::Cancelled.as_str()).set(Column::SettledAt, now).execute().await?;
    Ok(())
}

/// Deletes up to so many deliveries below an id, whatever became of them: what waits so long has no body any more.
pub(in crate::webhooks) async fn deliveries_forget(tx: &mut TenantTx, below: Uuid, limit: u64) -> Result<()> {
    use webhook_deliveries::Column;
    let select = tx.select::<webhook_deliveries::Entity>().lt(Column::Id, below);
    let past = select.order_by(Column::Id).limit(limit).all().await?;
    if past.is_empty() {
        return Ok(());
    }
    let delete = tx.delete::<webhook_deliveries::Entity>();
    delete.is_in(Column::Id, past.into_iter().map(|row| row.id)).execute().await?;
    Ok(())
}

/// Which of these events are on their way to an endpoint.
pub(in crate::webhooks) async fn events_queued(
    tx: &mut TenantTx,
    endpoint: WebhookEndpointId,
    events: &[WebhookEventId],
) -> Result<Vec<WebhookEventId>> {
    use webhook_deliveries::Column;
    let select = tx.select::<webhook_deliveries::Entity>().is_in(Column::EventId, events.iter().copied());
    let queued = select.eq(Column::EndpointId, endpoint).eq(Column::State, DeliveryState::Queued.as_str());
    Ok(queued.all().await?.into_iter().map(|row| row.event_id).collect())
}

pub(in crate::webhooks) async fn deliveries_find(
    tx: &mut TenantTx,
    ids: &[WebhookDeliveryId],
) -> Result<Vec<Delivery>> {
    let select = tx.select::<webhook_deliveries::Entity>();
    let rows = select.is_in(webhook_deliveries::Column::Id, ids.iter().copied()).all().await?;
    rows.into_iter().map(Delivery::try_from).collect()
}

pub(in crate::webhooks) async fn deliveries_page(
    tx: &mut TenantTx,
    filter: &DeliveryFilter,
    page: &Page<WebhookDeliveryId>,
) -> Result<Paged<Delivery>> {
    use webhook_deliveries::Column;
    let mut select = tx.select::<webhook_deliveries::Entity>();
    if let Some(endpoint) = filter.endpoint {
        select = select.eq(Column::EndpointId, endpoint);
    }
    if let Some(state) = filter.state {
        select = select.eq(Column::State, state.as_str());
    }
    if let Some(event_type) = filter.event_type {
        select = select.eq(Column::EventType, event_type.as_str());
    }
    let rows = page.keyset(select, Column::Id).all().await?;
    Ok(page.finish(rows.into_iter().map(Delivery::try_from).collect::<Result<Vec<_>>>()?))
}

/// Attempts of deliveries, in the order in which they were made.
pub(in crate::webhooks) async fn attempts_of(
    tx: &mut TenantTx,
    deliveries: &[WebhookDeliveryId],
) -> Result<Vec<Attempt>> {
    use webhook_attempts::Column;
    let select = tx.select::<webhook_attempts::Entity>().is_in(Column::DeliveryId, deliveries.iter().copied());
    let rows = select.order_by(Column::DeliveryId).order_by(Column::Id).all().await?;
    let attempt = |row: webhook_attempts::Model| {
        Ok(Attempt {
            delivery: row.delivery_id,
            number: row.number,
            outcome: row.outcome.parse().map_err(Error::fault)?,
            status_code: row.status_code,
            duration_ms: row.duration_ms,
            answer: row.answer,
            at: row.at,
        })
    };
    rows.into_iter().map(attempt).collect()
}

impl TryFrom<webhook_deliveries::Model> for Delivery {
    type Error = Error;

    fn try_from(row: webhook_deliveries::Model) -> Result<Self> {
        Ok(Self {
            id: row.id,
            endpoint: row.endpoint_id,
            event: row.event_id,
            event_type: row.event_type.parse().map_err(Error::fault)?,
            state: row.state.parse().map_err(Error::fault)?,
            attempts: row.attempts,
            due_at: row.due_at,
            outcome: row.outcome.map(|outcome| outcome.parse()).transpose().map_err(Error::fault)?,
            status_code: row.status_code,
            created_at: row.created_at,
            settled_at: row.settled_at,
        })
    }
}
