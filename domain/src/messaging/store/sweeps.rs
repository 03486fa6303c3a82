//! Sweeps: what lapsed claims held is taken back, and unknown outcomes are decided (C-167, C-168).

use std::collections::HashMap;

use carillon_entities::ids::MessageId;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use chrono::TimeDelta;
use sea_orm::{FromQueryResult, Value};

use crate::error::{Error, Result};
use crate::messaging::reply_class::FailureClass;
use crate::messaging::{AttemptFacts, AttemptStatus, MessageMove, MessageStatus, RetryWindow};
use crate::time::Timestamp;

statements! {
    /// Messages whose lease ran out.
    SWEEP_LEASES(Time, BigInt) =
        "SELECT m.id, m.fence FROM messages m WHERE m.tenant_id = $1 AND m.state = 'claimed' \
         AND m.lease_until < $2 ORDER BY m.id LIMIT $3 {skip_locked}";
    /// Their open attempts: a cleared one lapses, a started one is unknown (C-167).
    SWEEP_ATTEMPTS(Time) [id: Uuid] =
        "UPDATE attempts SET state = CASE WHEN state = 'cleared' THEN 'lapsed' ELSE 'unknown' END, settled_at = $2 \
         WHERE tenant_id = $1 AND state IN ('cleared', 'started') \
         AND message_id IN (SELECT b.id FROM ({batch}) AS b)";
    /// What their last attempts have come to. Asked only now that none is open: a worker that is slow, not dead, may have
    /// started or settled one until the very statement before.
    SWEEP_OUTCOMES() [id: Uuid] =
        "SELECT m.id, a.state, a.class FROM ({batch}) AS b JOIN messages m ON m.tenant_id = $1 AND m.id = b.id \
         JOIN attempts a ON a.tenant_id = $1 AND a.message_id = m.id AND a.number = m.attempts";
    /// Takes swept messages back: a new fence, so that the old worker changes nothing any more.
    SWEEP_MOVE(Time) [id: Uuid, fence: BigInt, state: Text, due_at: Time] =
        "WITH moves AS ({batch}) UPDATE messages SET state = moves.state, due_at = moves.due_at, \
         fence = messages.fence + 1, lease_until = NULL, claimed_by = NULL, \
         settled_at = CASE WHEN moves.state = 'queued' THEN NULL ELSE $2 END, \
         reason = CASE WHEN moves.state = 'unknown' THEN 'OUTCOME_UNKNOWN' ELSE NULL END \
         FROM moves WHERE messages.tenant_id = $1 AND messages.id = moves.id AND messages.fence = moves.fence \
         AND messages.state = 'claimed'";
    /// Messages of unknown outcome whose time for reconciling is over. Whoever brings evidence changes the same rows, so
    /// what their attempts came to is asked under these locks (SWEEP_OUTCOMES). Tries are counted as in MESSAGES_CLAIM: an
    /// attempt of which nothing left does not make the recipient wait longer (C-61).
    UNKNOWN_DUE(Time, BigInt) =
        "SELECT m.id, m.class, m.send_at, m.expires_at, (SELECT COUNT(*) FROM attempts a WHERE a.tenant_id = $1 \
         AND a.message_id = m.id AND a.state <> 'lapsed' \
         AND COALESCE(a.rule_id, '') NOT IN ('permit_expired', 'draining', 'busy')) AS tries FROM messages m \
         WHERE m.tenant_id = $1 AND m.state = 'unknown' AND m.due_at <= $2 ORDER BY m.due_at LIMIT $3 {skip_locked}";
    /// Settles them.
    UNKNOWN_MOVE(Time) [id: Uuid, state: Text, due_at: Time] =
        "WITH moves AS ({batch}) UPDATE messages SET state = moves.state, due_at = moves.due_at, \
         settled_at = CASE WHEN moves.state = 'queued' THEN NULL ELSE $2 END, \
         reason = CASE WHEN moves.state = 'unknown' THEN 'OUTCOME_UNKNOWN' ELSE NULL END \
         FROM moves WHERE messages.tenant_id = $1 AND messages.id = moves.id AND messages.state = 'unknown'";
    /// Has unknown outcomes looked at again now that there is evidence.
    UNKNOWN_WAKE(Time) [id: Uuid] =
        "UPDATE messages SET due_at = $2 WHERE tenant_id = $1 AND state = 'unknown' \
         AND id IN (SELECT b.id FROM ({batch}) AS b)";
}

#[derive(FromQueryResult)]
struct SweptRow {
    id: MessageId,
    fence: i64,
}

#[derive(FromQueryResult)]
struct SweptAttempt {
    id: MessageId,
    state: String,
    class: Option<String>,
}

/// Takes messages back whose lease ran out: one that a server took ends, one whose outcome nobody knows waits to be
/// reconciled, the others are due again. Returns them with what their attempts came to.
pub(in crate::messaging) async fn sweep_leases(
    tx: &mut TenantTx,
    now: Timestamp,
    reconcile: TimeDelta,
    limit: i64,
) -> Result<Vec<(MessageId, AttemptStatus)>> {
    let swept: Vec<SweptRow> = tx.sql(&SWEEP_LEASES, Args::of([now.into(), limit.into()]))?.all().await?;
    if swept.is_empty() {
        return Ok(Vec::new());
    }
    let ids = || swept.iter().map(|row| vec![Value::from(row.id)]);
    tx.sql(&SWEEP_ATTEMPTS, Args::of([now.into()]).with_batch(ids()))?.execute().await?;
    let outcomes = last_outcomes(tx, swept.iter().map(|row| row.id)).await?;
    let outcome = |id| outcomes.get(id).map_or(AttemptStatus::Lapsed, |(status, _)| *status);
    let moves = swept.iter().map(|row| {
        let (state, due_at) = match outcome(&row.id) {
            AttemptStatus::Accepted if !carillon_entities::seeded_bugs::on("sweep_ignores_accepted") => {
                (MessageStatus::Sent, now)
            }
            AttemptStatus::Unknown => (MessageStatus::Unknown, now + reconcile),
            _ => (MessageStatus::Queued, now),
        };
        vec![Value::from(row.id), row.fence.into(), state.as_str().into(), due_at.into()]
    });
    tx.sql(&SWEEP_MOVE, Args::of([now.into()]).with_batch(moves))?.execute().await?;
    Ok(swept.iter().map(|row| (row.id, outcome(&row.id))).collect())
}

/// A message of unknown outcome, with what its attempt has come to and why.
#[derive(Debug)]
pub(in crate::messaging) struct UnknownMessage {
    pub id: MessageId,
    pub attempt: Option<LastOutcome>,
    pub facts: AttemptFacts,
}

#[derive(FromQueryResult)]
struct UnknownRow {
    id: MessageId,
    class: String,
    send_at: Timestamp,
    expires_at: Timestamp,
    tries: i64,
}

type LastOutcome = (AttemptStatus, Option<FailureClass>);

/// What the last attempts of messages have come to.
async fn last_outcomes(
    tx: &mut TenantTx,
    ids: impl Iterator<Item = MessageId>,
) -> Result<HashMap<MessageId, LastOutcome>> {
    let ids = ids.map(|id| vec![Value::from(id)]);
    let rows: Vec<SweptAttempt> = tx.sql(&SWEEP_OUTCOMES, Args::batch(ids))?.all().await?;
    let outcome = |row: SweptAttempt| {
        let failure = row.class.as_deref().and_then(|code| code.parse().ok());
        Ok((row.id, (row.state.parse().map_err(Error::fault)?, failure)))
    };
    rows.into_iter().map(outcome).collect()
}

/// Unknown outcomes whose time for reconciling is over; locked.
pub(in crate::messaging) async fn unknown_due(
    tx: &mut TenantTx,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<UnknownMessage>> {
    let rows: Vec<UnknownRow> = tx.sql(&UNKNOWN_DUE, Args::of([now.into(), limit.into()]))?.all().await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let outcomes = last_outcomes(tx, rows.iter().map(|row| row.id)).await?;
    let unknown = |row: UnknownRow| {
        let window = RetryWindow { queued_at: row.send_at, expires_at: row.expires_at };
        let attempt = u32::try_from(row.tries.max(1)).unwrap_or(u32::MAX);
        let facts = AttemptFacts { class: row.class.parse().map_err(Error::fault)?, attempt, window };
        Ok(UnknownMessage { id: row.id, attempt: outcomes.get(&row.id).copied(), facts })
    };
    rows.into_iter().map(unknown).collect()
}

/// Moves unknown outcomes on.
pub(in crate::messaging) async fn unknown_move(
    tx: &mut TenantTx,
    moves: &[(MessageId, MessageMove)],
    now: Timestamp,
) -> Result<()> {
    if moves.is_empty() {
        return Ok(());
    }
    // A settled one is looked at no more, unless evidence wakes it: its due time lies beyond any clock.
    let never = Timestamp::from_timestamp(253_402_300_799, 0).unwrap_or(now);
    let batch = moves.iter().map(|(id, to)| {
        let (state, due_at) = match to {
            MessageMove::Requeue { due_at } => (MessageStatus::Queued, *due_at),
            MessageMove::End(ending) => (ending.status(), never),
        };
        vec![Value::from(*id), state.as_str().into(), due_at.into()]
    });
    tx.sql(&UNKNOWN_MOVE, Args::of([now.into()]).with_batch(batch))?.execute().await?;
    Ok(())
}

/// Has unknown outcomes decided at once, for there is evidence.
pub(in crate::messaging) async fn unknown_wake(tx: &mut TenantTx, ids: &[MessageId], now: Timestamp) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let batch = ids.iter().map(|id| vec![Value::from(*id)]);
    tx.sql(&UNKNOWN_WAKE, Args::of([now.into()]).with_batch(batch))?.execute().await?;
    Ok(())
}
