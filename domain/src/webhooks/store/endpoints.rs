//! Rows of `webhook_endpoints` and of what they listen to.

use std::collections::HashMap;

use carillon_entities::ids::WebhookEndpointId;
use carillon_entities::rows::webhooks::{webhook_endpoints, webhook_subscriptions};
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, Tenant, TenantTx, Update};
use sea_orm::{ActiveValue::Set, FromQueryResult};

use crate::error::{Error, Result};
use crate::paging::{Page, Paged};
use crate::time::Timestamp;
use crate::webhooks::{Claimed, DisabledReason, Endpoint, EndpointState, WebhookEventType};

statements! {
    /// Claims an endpoint to which something is due, the one that waited longest for its turn; one that is deleted, too, for
    /// what is due to that is to be taken back. (A common table expression for the reason MESSAGES_CLAIM gives.)
    WEBHOOK_CLAIM(Time, Time) =
        "WITH due AS (SELECT e.id FROM webhook_endpoints e WHERE e.tenant_id = $1 AND e.state <> 'disabled' \
         AND (e.lease_until IS NULL OR e.lease_until <= $2) AND (e.rests_until IS NULL OR e.rests_until <= $2) \
         AND (SELECT d.due_at FROM webhook_deliveries d WHERE d.tenant_id = $1 AND d.endpoint_id = e.id \
            AND d.state = 'queued' ORDER BY d.due_at LIMIT 1) <= $2 \
         ORDER BY COALESCE(e.claimed_at, e.created_at), e.id LIMIT 1 {skip_locked}) \
         UPDATE webhook_endpoints SET lease_until = $3, claimed_at = $2, fence = fence + 1 \
         WHERE tenant_id = $1 AND id IN (SELECT due.id FROM due) \
         RETURNING id, state, url, sealed_secret, sealed_previous, previous_until, failing_since, version, fence";
}

/// A claimed endpoint, with its secrets as they are stored.
#[derive(Debug, FromQueryResult)]
pub(in crate::webhooks) struct ClaimedRow {
    pub id: WebhookEndpointId,
    pub state: String,
    pub url: String,
    pub sealed_secret: Vec<u8>,
    pub sealed_previous: Option<Vec<u8>>,
    pub previous_until: Option<Timestamp>,
    pub failing_since: Option<Timestamp>,
    pub version: i64,
    pub fence: i64,
}

/// An endpoint whose secret is known: the sealed forms of it and of the one before.
#[derive(Debug)]
pub(in crate::webhooks) struct SealedSecrets {
    pub secret: Vec<u8>,
    pub previous: Option<(Vec<u8>, Timestamp)>,
}

/// Claims an endpoint until `lease_until`, if something is due to one.
pub(in crate::webhooks) async fn endpoint_claim(
    tx: &mut TenantTx,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Option<ClaimedRow>> {
    Ok(tx.sql(&WEBHOOK_CLAIM, Args::of([now.into(), lease_until.into()]))?.one().await?)
}

/// What a worker finds when it gives an endpoint back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::webhooks) enum Held {
    /// The endpoint as it claimed it.
    Same,
    /// The endpoint, which its owner changed meanwhile.
    Changed,
    /// Nothing: somebody else has it by now.
    Nothing,
}

/// Ends a claim. What is said of the endpoint is written only if it is still the one that was asked. Locks the row until the
/// transaction ends, unless it is somebody else's.
pub(in crate::webhooks) async fn endpoint_release(
    tx: &mut TenantTx,
    claimed: &Claimed,
    (failing_since, rests_until): (Option<Timestamp>, Option<Timestamp>),
) -> Result<Held> {
    use webhook_endpoints::Column;
    let free: Option<Timestamp> = None;
    let same = held(tx, claimed).eq(Column::Version, claimed.version).set(Column::LeaseUntil, free);
    let same = same.set(Column::FailingSince, failing_since).set(Column::RestsUntil, rests_until);
    if same.execute().await? > 0 {
        return Ok(Held::Same);
    }
    let changed = held(tx, claimed).set(Column::LeaseUntil, free).execute().await?;
    Ok(if changed > 0 { Held::Changed } else { Held::Nothing })
}

fn held<'tx>(tx: &'tx mut TenantTx, claimed: &Claimed) -> Update<'tx, Tenant, webhook_endpoints::Entity> {
    use webhook_endpoints::Column;
    let update = tx.update::<webhook_endpoints::Entity>().eq(Column::Id, claimed.endpoint);
    if carillon_entities::seeded_bugs::on("webhook_fence_unchecked") {
        return update;
    }
    update.eq(Column::Fence, claimed.fence)
}

/// Disables an endpoint that is enabled; false if it was not.
pub(in crate::webhooks) async fn endpoint_disable(
    tx: &mut TenantTx,
    id: WebhookEndpointId,
    reason: DisabledReason,
    now: Timestamp,
) -> Result<bool> {
    use webhook_endpoints::Column;
    let update = tx.update::<webhook_endpoints::Entity>().eq(Column::Id, id);
    let update = update.eq(Column::State, EndpointState::Enabled.as_str());
    let update = update.set(Column::State, EndpointState::Disabled.as_str()).set(Column::Reason, reason.as_str());
    Ok(update.set(Column::DisabledAt, now).execute().await? > 0)
}

pub(in crate::webhooks) async fn endpoint_insert(
    tx: &mut TenantTx,
    endpoint: &Endpoint,
    sealed_secret: Vec<u8>,
) -> Result<()> {
    tx.insert(webhook_endpoints::ActiveModel {
        id: Set(endpoint.id),
        url: Set(endpoint.url.clone()),
        description: Set(endpoint.description.clone()),
        state: Set(endpoint.state.as_str().to_owned()),
        sealed_secret: Set(sealed_secret),
        version: Set(endpoint.version),
        fence: Set(0),
        created_at: Set(endpoint.created_at),
        updated_at: Set(endpoint.updated_at),
        ..Default::default()
    })
    .await?;
    subscribe(tx, endpoint).await
}

/// Ends the rest of an endpoint: what is due to it is tried at once.
pub(in crate::webhooks) async fn endpoint_wake(tx: &mut TenantTx, id: WebhookEndpointId) -> Result<()> {
    use webhook_endpoints::Column;
    let awake: Option<Timestamp> = None;
    let update = tx.update::<webhook_endpoints::Entity>().eq(Column::Id, id);
    update.set(Column::RestsUntil, awake).execute().await?;
    Ok(())
}

/// Writes what its owner may change of an endpoint, and what it listens to; it rests no more.
pub(in crate::webhooks) async fn endpoint_update(tx: &mut TenantTx, endpoint: &Endpoint) -> Result<()> {
    use webhook_endpoints::Column;
    let awake: Option<Timestamp> = None;
    tx.update::<webhook_endpoints::Entity>()
        .eq(Column::Id, endpoint.id)
        .set(Column::RestsUntil, awake)
        .set(Column::Url, endpoint.url.clone())
        .set(Column::Description, endpoint.description.clone())
        .set(Column::State, endpoint.state.as_str())
        .set(Column::Reason, endpoint.reason.map(|reason| reason.as_str().to_owned()))
        .set(Column::FailingSince, endpoint.failing_since)
        .set(Column::DisabledAt, endpoint.disabled_at)
        .set(Column::Version, endpoint.version)
        .set(Column::UpdatedAt, endpoint.updated_at)
        .execute()
        .await?;
    let old = tx.delete::<webhook_subscriptions::Entity>().eq(webhook_subscriptions::Column::EndpointId, endpoint.id);
    old.execute().await?;
    subscribe(tx, endpoint).await
}

async fn subscribe(tx: &mut TenantTx, endpoint: &Endpoint) -> Result<()> {
    let rows = endpoint.event_types.iter().map(|event_type| webhook_subscriptions::ActiveModel {
        event_type: Set(event_type.as_str().to_owned()),
        endpoint_id: Set(endpoint.id),
        ..Default::default()
    });
    tx.insert_many(rows.collect(), OnConflict::Fail).await?;
    Ok(())
}

/// The sealed secret of an endpoint that is not deleted.
pub(in crate::webhooks) async fn secret_find(tx: &mut TenantTx, id: WebhookEndpointId) -> Result<Option<Vec<u8>>> {
    let row = tx.select::<webhook_endpoints::Entity>().eq(webhook_endpoints::Column::Id, id).one().await?;
    Ok(row.filter(|row| row.state != EndpointState::Deleted.as_str()).map(|row| row.sealed_secret))
}

/// Writes the secrets of an endpoint.
pub(in crate::webhooks) async fn secrets_set(
    tx: &mut TenantTx,
    id: WebhookEndpointId,
    secrets: SealedSecrets,
) -> Result<()> {
    use webhook_endpoints::Column;
    let (previous, until) = secrets.previous.unzip();
    tx.update::<webhook_endpoints::Entity>()
        .eq(Column::Id, id)
        .set(Column::SealedSecret, secrets.secret)
        .set(Column::SealedPrevious, previous)
        .set(Column::PreviousUntil, until)
        .execute()
        .await?;
    Ok(())
}

/// An endpoint, locked until the transaction ends.
pub(in crate::webhooks) async fn endpoint_lock(tx: &mut TenantTx, id: WebhookEndpointId) -> Result<Option<Endpoint>> {
    let select = tx.select::<webhook_endpoints::Entity>().eq(webhook_endpoints::Column::Id, id);
    let row = select.for_update().one().await?;
    Ok(whole(tx, row.into_iter().collect()).await?.pop())
}

/// Endpoints by id, deleted ones too; unknown ids are left out.
pub(in crate::webhooks) async fn endpoints_find(tx: &mut TenantTx, ids: &[WebhookEndpointId]) -> Result<Vec<Endpoint>> {
    let select = tx.select::<webhook_endpoints::Entity>();
    let rows = select.is_in(webhook_endpoints::Column::Id, ids.iter().copied()).all().await?;
    whole(tx, rows).await
}

/// A page of the endpoints that are not deleted.
pub(in crate::webhooks) async fn endpoints_page(
    tx: &mut TenantTx,
    page: &Page<WebhookEndpointId>,
) -> Result<Paged<Endpoint>> {
    use webhook_endpoints::Column;
    let select = tx.select::<webhook_endpoints::Entity>().ne(Column::State, EndpointState::Deleted.as_str());
    let rows = page.keyset(select, Column::Id).all().await?;
    let endpoints = whole(tx, rows).await?;
    Ok(page.finish(endpoints))
}

/// How many endpoints are not deleted.
pub(in crate::webhooks) async fn endpoints_count(tx: &mut TenantTx) -> Result<i64> {
    let select = tx.select::<webhook_endpoints::Entity>();
    Ok(select.ne(webhook_endpoints::Column::State, EndpointState::Deleted.as_str()).count().await?)
}

/// Rows with what they listen to.
async fn whole(tx: &mut TenantTx, rows: Vec<webhook_endpoints::Model>) -> Result<Vec<Endpoint>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let select = tx.select::<webhook_subscriptions::Entity>();
    let ids = rows.iter().map(|row| row.id);
    let heard = select.is_in(webhook_subscriptions::Column::EndpointId, ids).all().await?;
    let mut types: HashMap<WebhookEndpointId, Vec<WebhookEventType>> = HashMap::new();
    for row in heard {
        // One that a newer program knows is none here.
        types.entry(row.endpoint_id).or_default().extend(row.event_type.parse::<WebhookEventType>());
    }
    let endpoint = |row: webhook_endpoints::Model| {
        let mut event_types = types.remove(&row.id).unwrap_or_default();
        event_types.sort_unstable();
        Ok(Endpoint {
            id: row.id,
            url: row.url,
            description: row.description,
            state: row.state.parse().map_err(Error::fault)?,
            reason: row.reason.map(|reason| reason.parse()).transpose().map_err(Error::fault)?,
            event_types,
            previous_until: row.previous_until,
            failing_since: row.failing_since,
            disabled_at: row.disabled_at,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    };
    rows.into_iter().map(endpoint).collect()
}
