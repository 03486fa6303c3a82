//! Writing what came of a batch, and ending its claim.

use carillon_entities::ids::WebhookDeliveryId;
use carillon_entities::wall::TenantTx;
use chrono::Datelike as _;
use serde_json::json;

use super::replay::lowest_id;
use super::schedule::{after_attempt, failing_since, rest_until};
use super::store::deliveries::{Moved, NewAttempt, attempts_append, deliveries_forget, deliveries_move};
use super::store::endpoints::{Held, endpoint_disable, endpoint_release};
use super::{Answer, Claimed, DISABLED_AFTER, DisabledReason, EndpointDisabled, Happening, WebhookOutcome, tell};
use crate::error::Result;
use crate::ports::Ports;
use crate::tenancy::{Deed, Grant, RunWebhooks, record};

/// What a settlement deletes of the log at most: more than a claim adds to it, so that it does not grow for ever.
const FORGOTTEN: u64 = 1_000;

/// An attempt that was made.
#[derive(Debug, Clone)]
pub struct Attempted {
    /// Of which delivery.
    pub delivery: WebhookDeliveryId,
    /// From 1.
    pub number: i32,
    /// What came of it.
    pub answer: Answer,
}

/// Writes what came of attempts and gives the endpoint back. Deliveries of the claim that were not tried are due as before.
///
/// A worker that lost its claim meanwhile changes no delivery: somebody else has tried them again, which is what at least
/// once means. Its attempts are added to the log, for they were made (L8). Of an endpoint that its owner changed meanwhile nothing
/// is said: it was another place that answered.
pub async fn settle(
    grant: &Grant<RunWebhooks>,
    ports: &Ports,
    claimed: &Claimed,
    attempted: &[Attempted],
) -> Result<()> {
    let now = ports.now();
    let outcomes = || attempted.iter().map(|attempted| attempted.answer.outcome);
    let failing = failing_since(claimed.failing_since, outcomes(), now);
    let rest = rest_until(failing, outcomes(), now);
    let mut tx = grant.begin().await?;
    let held = endpoint_release(&mut tx, claimed, (failing, rest)).await?;
    let new = attempted.iter().map(|attempted| NewAttempt {
        id: ports.new_id(),
        delivery: attempted.delivery,
        number: attempted.number,
        answer: &attempted.answer,
    });
    attempts_append(&mut tx, new.collect(), now).await?;
    if held != Held::Nothing {
        let moved = attempted.iter().map(|attempted| {
            let jitter = ports.entropy.below(u64::MAX);
            let to = after_attempt(attempted.number, &attempted.answer, jitter, now);
            Moved { delivery: attempted.delivery, to, answer: &attempted.answer }
        });
        deliveries_move(&mut tx, &moved.collect::<Vec<_>>(), now).await?;
    }
    if held == Held::Same {
        let gone = outcomes().any(|outcome| outcome == WebhookOutcome::Gone);
        let reason = gone.then_some(DisabledReason::Gone);
        let is_too_long = failing.is_some_and(|since| now - since >= DISABLED_AFTER);
        if let Some(reason) = reason.or(is_too_long.then_some(DisabledReason::Failing)) {
            disable(&mut tx, ports, grant, (claimed, reason)).await?;
        }
    }
    tx.commit().await?;
    forget_past(grant, ports).await
}

/// Shortens the log to the months that its events are kept (C-134); apart from what was settled, for these rows are anybody's.
async fn forget_past(grant: &Grant<RunWebhooks>, ports: &Ports) -> Result<()> {
    let oldest = ports.settings.retention.and_then(|months| ports.now().checked_sub_months(months));
    // The month's partition of the outbox is kept as a whole.
    let month = oldest.and_then(|oldest| oldest.date_naive().with_day(1)?.and_hms_opt(0, 0, 0));
    let Some(month) = month else { return Ok(()) };
    let mut tx = grant.begin().await?;
    deliveries_forget(&mut tx, lowest_id(month.and_utc()), FORGOTTEN).await?;
    Ok(tx.commit().await?)
}

/// Disables the endpoint, with notice: an entry in the audit log, and an event for the endpoints that are left (C-188).
async fn disable(
    tx: &mut TenantTx,
    ports: &Ports,
    grant: &Grant<RunWebhooks>,
    (claimed, reason): (&Claimed, DisabledReason),
) -> Result<()> {
    if !endpoint_disable(tx, claimed.endpoint, reason, ports.now()).await? {
        return Ok(());
    }
    tracing::warn!(tenant.id = %tx.tenant(), endpoint.id = %claimed.endpoint, %reason, "a webhook endpoint was disabled");
    let deed = Deed::new("webhook.disable", claimed.endpoint.0).with(json!({ "reason": reason }));
    record(tx, ports, grant.actor(), deed).await?;
    let disabled = EndpointDisabled { endpoint_id: claimed.endpoint, reason: reason.as_str() };
    tell(tx, ports, vec![Happening::EndpointDisabled(disabled)]).await
}
