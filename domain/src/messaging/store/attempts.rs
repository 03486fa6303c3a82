//! Attempts and decisions: written before the effect (L8), changed only forward.

use carillon_entities::ids::{DecisionId, MessageEventId, MessageId};
use carillon_entities::rows::consent::gate_decisions;
use carillon_entities::rows::messaging::{attempts, message_events};
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, TenantTx};
use sea_orm::{ActiveValue::Set, FromQueryResult, Value};
use serde_json::Value as Json;

use crate::error::Result;
use crate::messaging::AttemptOutcome;
use crate::messaging::state::AttemptStatus;
use crate::ports::Ports;
use crate::time::Timestamp;

statements! {
    /// Flips cleared attempts to started, just before their hand-over, where the claim still holds the message.
    ATTEMPTS_START(Time) [message_id: Uuid, number: Int, fence: BigInt] =
        "WITH going AS ({batch}) UPDATE attempts SET state = 'started', started_at = $2 FROM going \
         WHERE attempts.tenant_id = $1 AND attempts.message_id = going.message_id \
         AND attempts.number = going.number AND attempts.fence = going.fence AND attempts.state = 'cleared' \
         AND EXISTS (SELECT 1 FROM messages m WHERE m.tenant_id = $1 AND m.id = going.message_id \
         AND m.fence = going.fence AND m.state = 'claimed' AND m.lease_until > $2) \
         RETURNING attempts.message_id AS id";
    /// Adds outcomes. An unknown one may be settled by the worker that had begun it, however late (L8).
    ATTEMPTS_SETTLE(Time) [message_id: Uuid, number: Int, state: Text, smtp_code: Int, enhanced_code: Text, class: Text, rule_id: Text] =
        "WITH outcomes AS ({batch}) UPDATE attempts SET state = outcomes.state, settled_at = $2, \
         smtp_code = outcomes.smtp_code, enhanced_code = outcomes.enhanced_code, class = outcomes.class, \
         rule_id = outcomes.rule_id FROM outcomes \
         WHERE attempts.tenant_id = $1 AND attempts.message_id = outcomes.message_id \
         AND attempts.number = outcomes.number AND ((attempts.state = 'cleared' AND outcomes.state = 'lapsed') \
         OR (attempts.state = 'started' AND outcomes.state <> 'lapsed') \
         OR (attempts.state = 'unknown' AND outcomes.state NOT IN ('lapsed', 'unknown')))";
}

/// A decision of the gate with the facts it was made from (C-158).
#[derive(Debug, Clone)]
pub(in crate::messaging) struct NewDecision {
    pub id: DecisionId,
    pub message: MessageId,
    pub attempt: i32,
    pub verdict: &'static str,
    pub reason: String,
    pub rules_version: i32,
    pub facts: Json,
    pub trace: Json,
}

pub(in crate::messaging) async fn decisions_append(
    tx: &mut TenantTx,
    decisions: Vec<NewDecision>,
    now: Timestamp,
) -> Result<()> {
    let rows = decisions.into_iter().map(|decision| gate_decisions::ActiveModel {
        id: Set(decision.id),
        message_id: Set(decision.message),
        attempt: Set(decision.attempt),
        verdict: Set(decision.verdict.to_owned()),
        reason: Set(decision.reason),
        rules_version: Set(decision.rules_version),
        facts: Set(decision.facts),
        trace: Set(decision.trace),
        at: Set(now),
        ..Default::default()
    });
    tx.insert_many(rows.collect(), OnConflict::Fail).await?;
    Ok(())
}

/// An attempt that passed the gate.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct NewAttempt {
    pub message: MessageId,
    pub number: i32,
    pub decision: DecisionId,
    pub fence: i64,
}

pub(in crate::messaging) async fn attempts_insert(
    tx: &mut TenantTx,
    cleared: &[NewAttempt],
    worker: &str,
    now: Timestamp,
) -> Result<()> {
    let rows = cleared.iter().map(|attempt| attempts::ActiveModel {
        message_id: Set(attempt.message),
        number: Set(attempt.number),
        state: Set(AttemptStatus::Cleared.as_str().to_owned()),
        decision_id: Set(attempt.decision),
        fence: Set(attempt.fence),
        worker: Set(worker.to_owned()),
        cleared_at: Set(now),
        ..Default::default()
    });
    tx.insert_many(rows.collect(), OnConflict::Fail).await?;
    Ok(())
}

/// An attempt to start: message, number, fence.
pub(in crate::messaging) type Started = (MessageId, i32, i64);

#[derive(FromQueryResult)]
struct IdRow {
    id: MessageId,
}

/// Flips attempts to started; returns the messages whose attempts were.
pub(in crate::messaging) async fn attempts_start(
    tx: &mut TenantTx,
    going: &[Started],
    now: Timestamp,
) -> Result<Vec<MessageId>> {
    let batch = going.iter().map(|(id, number, fence)| vec![Value::from(*id), (*number).into(), (*fence).into()]);
    let rows: Vec<IdRow> = tx.sql(&ATTEMPTS_START, Args::of([now.into()]).with_batch(batch))?.all().await?;
    if carillon_entities::seeded_bugs::on("fence_unchecked") {
        return Ok(going.iter().map(|(id, _, _)| *id).collect());
    }
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The outcome of one attempt.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct Outcome {
    pub message: MessageId,
    pub number: i32,
    pub ended: AttemptOutcome,
    pub smtp_code: Option<i32>,
    pub enhanced_code: Option<String>,
    pub class: Option<&'static str>,
    pub rule: &'static str,
}

pub(in crate::messaging) async fn attempts_settle(
    tx: &mut TenantTx,
    outcomes: &[Outcome],
    now: Timestamp,
) -> Result<u64> {
    let batch = outcomes.iter().map(|settled| {
        vec![
            settled.message.into(),
            settled.number.into(),
            settled.ended.status().as_str().into(),
            settled.smtp_code.into(),
            settled.enhanced_code.clone().into(),
            settled.class.into(),
            settled.rule.into(),
        ]
    });
    Ok(tx.sql(&ATTEMPTS_SETTLE, Args::of([now.into()]).with_batch(batch))?.execute().await?)
}

/// Appends to the messages' history.
pub(in crate::messaging) async fn message_events_append(
    tx: &mut TenantTx,
    ports: &Ports,
    events: impl IntoIterator<Item = (MessageId, &'static str, Json)>,
    now: Timestamp,
) -> Result<()> {
    let rows = events.into_iter().map(|(message, kind, detail)| message_events::ActiveModel {
        id: Set(ports.new_id::<MessageEventId>()),
        message_id: Set(message),
        kind: Set(kind.to_owned()),
        detail: Set(detail),
        at: Set(now),
        ..Default::default()
    });
    tx.insert_many(rows.collect(), OnConflict::Fail).await?;
    Ok(())
}
