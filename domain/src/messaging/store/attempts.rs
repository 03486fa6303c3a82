//! Attempts and decisions: written before the effect (L8), changed only forward.

use carillon_entities::ids::{DecisionId, MessageId};
use carillon_entities::rows::consent::gate_decisions;
use carillon_entities::rows::messaging::attempts;
use carillon_entities::statements;
use carillon_entities::wall::{Alone, Args, OnConflict, TenantTx, TxMode};
use sea_orm::{ActiveValue::Set, FromQueryResult};
use serde_json::Value as Json;

use crate::error::Result;
use crate::messaging::AttemptRef;
use crate::messaging::state::AttemptStatus;
use crate::tenancy::{Grant, SendMessages};
use crate::time::Timestamp;

statements! {
    /// Adds outcomes and flips cleared attempts to started just before their hand-over, where the claim still holds the
    /// message and no server has taken it; returns what changed. What was never started lapses. An unknown outcome may be settled by the worker
    /// that had begun it, however late (L8).
    ATTEMPTS_STEP(Time) [message_id: Uuid, number: Int, fence: BigInt, state: Text, smtp_code: Int, enhanced_code: Text, class: Text, rule_id: Text] =
        "WITH steps AS ({batch}) UPDATE attempts SET \
         state = CASE WHEN attempts.state = 'cleared' AND steps.state = 'not_handed_over' THEN 'lapsed' ELSE steps.state END, \
         started_at = CASE WHEN steps.state = 'started' THEN $2 ELSE attempts.started_at END, \
         settled_at = CASE WHEN steps.state = 'started' THEN NULL ELSE $2 END, \
         smtp_code = steps.smtp_code, enhanced_code = steps.enhanced_code, class = steps.class, rule_id = steps.rule_id \
         FROM steps WHERE attempts.tenant_id = $1 AND attempts.message_id = steps.message_id \
         AND attempts.number = steps.number AND CASE steps.state \
         WHEN 'started' THEN attempts.state = 'cleared' AND attempts.fence = steps.fence \
         AND EXISTS (SELECT 1 FROM messages m WHERE m.tenant_id = $1 AND m.id = steps.message_id \
         AND m.fence = steps.fence AND m.state = 'claimed' AND m.lease_until > $2) \
         AND NOT EXISTS (SELECT 1 FROM attempts o WHERE o.tenant_id = $1 AND o.message_id = steps.message_id \
         AND o.state = 'accepted') \
         WHEN 'not_handed_over' THEN attempts.state IN ('cleared', 'started', 'unknown') \
         WHEN 'unknown' THEN attempts.state = 'started' \
         ELSE attempts.state IN ('started', 'unknown') END \
         RETURNING attempts.message_id AS id, attempts.state AS state";
}

/// A step that is nothing else is the one statement of its transaction: what a group of sixteen costs.
pub(super) static STEP_ALONE: Alone =
    Alone { sql: &ATTEMPTS_STEP, function: "carillon_alone_attempts_step", mode: TxMode::Write };

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

/// What becomes of one attempt.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct AttemptStep {
    pub attempt: AttemptRef,
    pub to: AttemptStatus,
    pub smtp_code: Option<i32>,
    pub enhanced_code: Option<String>,
    pub class: Option<&'static str>,
    pub rule: Option<&'static str>,
}

impl AttemptStep {
    /// The step to started.
    pub fn start(attempt: AttemptRef) -> Self {
        Self { attempt, to: AttemptStatus::Started, smtp_code: None, enhanced_code: None, class: None, rule: None }
    }
}

#[derive(FromQueryResult)]
struct SteppedRow {
    id: MessageId,
    state: String,
}

/// Moves attempts on; returns the messages whose attempts were started.
pub(in crate::messaging) async fn attempts_step(
    tx: &mut TenantTx,
    steps: &[AttemptStep],
    now: Timestamp,
) -> Result<Vec<MessageId>> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<SteppedRow> = tx.sql(&ATTEMPTS_STEP, step_args(steps, now))?.all().await?;
    Ok(started(steps, rows))
}

/// The same as a transaction of its own. Where its commit stays without an answer attempts may have been started, just as
/// where that of a transaction does.
pub(in crate::messaging) async fn attempts_step_alone(
    grant: &Grant<SendMessages>,
    steps: &[AttemptStep],
    now: Timestamp,
) -> Result<Vec<MessageId>> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let rows = grant.run_alone(&STEP_ALONE, step_args(steps, now)).await?;
    Ok(started(steps, rows.read()?))
}

fn step_args(steps: &[AttemptStep], now: Timestamp) -> Args {
    let batch = steps.iter().map(|step| {
        vec![
            step.attempt.message.into(),
            step.attempt.number.into(),
            step.attempt.fence.into(),
            step.to.as_str().into(),
            step.smtp_code.into(),
            step.enhanced_code.clone().into(),
            step.class.into(),
            step.rule.into(),
        ]
    });
    let unchecked = carillon_entities::seeded_bugs::on("lease_unchecked");
    let now = if unchecked { now - chrono::TimeDelta::days(1) } else { now };
    Args::of([now.into()]).with_batch(batch)
}

fn started(steps: &[AttemptStep], rows: Vec<SteppedRow>) -> Vec<MessageId> {
    let started = AttemptStatus::Started;
    if carillon_entities::seeded_bugs::on("fence_unchecked") {
        return steps.iter().filter(|step| step.to == started).map(|step| step.attempt.message).collect();
    }
    rows.into_iter().filter(|row| row.state == started.as_str()).map(|row| row.id).collect()
}
