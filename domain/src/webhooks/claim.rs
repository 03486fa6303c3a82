//! Claiming an endpoint with what is due to it.

use carillon_entities::ids::{WebhookDeliveryId, WebhookEndpointId, WebhookEventId};
use chrono::{SecondsFormat, TimeDelta};
use serde_json::json;

use super::EndpointState;
use super::secret::{Secret, Secrets, previous_place, secret_place};
use super::store::deliveries::{DueRow, deliveries_cancel, deliveries_due};
use super::store::endpoints::endpoint_claim;
use crate::error::{Error, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, RunWebhooks};
use crate::time::Timestamp;

/// How long an endpoint is claimed: no batch takes longer, so the claim is not renewed.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// Deliveries of one claim.
const BATCH: i64 = 500;

/// An endpoint that is this worker's until [`super::settle`] or its lease ends the claim.
#[derive(Debug)]
pub struct Claimed {
    /// Which.
    pub endpoint: WebhookEndpointId,
    /// Grows with every claim; who settles with an older one changes nothing.
    pub fence: i64,
    /// Where it is.
    pub url: String,
    /// What signs.
    pub secrets: Secrets,
    /// What is due.
    pub deliveries: Vec<DueDelivery>,
    pub(super) failing_since: Option<Timestamp>,
    pub(super) version: i64,
}

/// A delivery that is due.
#[derive(Debug)]
pub struct DueDelivery {
    /// Which.
    pub id: WebhookDeliveryId,
    /// The `webhook-id`.
    pub event: WebhookEventId,
    /// How often it was tried.
    pub attempts: i32,
    /// What is sent, the same each time; none where the event is past its retention.
    pub body: Option<Vec<u8>>,
}

/// Claims the endpoint whose turn it is, if something is due to one that nobody has; none while the time is not known
/// (C-180).
pub async fn claim_deliveries(grant: &Grant<RunWebhooks>, ports: &Ports) -> Result<Option<Claimed>> {
    if !ports.clock.is_trustworthy() {
        return Ok(None);
    }
    let (tenant, now) = (grant.tenant(), ports.now());
    let mut tx = grant.begin().await?;
    let row = loop {
        match endpoint_claim(&mut tx, now, now + LEASE).await? {
            // Who told it something as it was deleted did not see that, nor was seen.
            Some(row) if row.state == EndpointState::Deleted.as_str() => {
                deliveries_cancel(&mut tx, row.id, now).await?;
            }
            row => break row,
        }
    };
    let Some(row) = row else {
        tx.commit().await?;
        return Ok(None);
    };
    let due = deliveries_due(&mut tx, row.id, now, BATCH).await?;
    tx.commit().await?;
    let mut secrets = vec![Secret::open(ports, &secret_place(tenant, row.id), &row.sealed_secret)?];
    if let Some(sealed) = row.sealed_previous.filter(|_| row.previous_until.is_some_and(|until| now < until)) {
        secrets.push(Secret::open(ports, &previous_place(tenant, row.id), &sealed)?);
    }
    Ok(Some(Claimed {
        endpoint: row.id,
        fence: row.fence,
        url: row.url,
        secrets: Secrets::new(secrets),
        deliveries: due.into_iter().map(due_delivery).collect::<Result<_>>()?,
        failing_since: row.failing_since,
        version: row.version,
    }))
}

fn due_delivery(row: DueRow) -> Result<DueDelivery> {
    let body = row.data.zip(row.at).map(|(data, at)| {
        let timestamp = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        serde_json::to_vec(&json!({ "type": row.event_type, "timestamp": timestamp, "data": data }))
    });
    let body = body.transpose().map_err(Error::fault)?;
    Ok(DueDelivery { id: row.id, event: row.event_id, attempts: row.attempts, body })
}
