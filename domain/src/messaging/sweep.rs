//! Sweeps: nothing stays with a worker that is gone, and no unknown outcome is left undecided (C-167, C-168).

use carillon_entities::ids::MessageId;
use carillon_entities::wall::TenantTx;
use serde_json::json;

use super::tell::{Ended, tell_ends};
use super::{AttemptStatus, Ending, MessageMove, MessageStatus, decide_reconciled, store};
use crate::error::Result;
use crate::metrics::labels::SweepFind;
use crate::ports::Ports;
use crate::tenancy::{Grant, SendMessages};
use crate::time::Timestamp;

/// How many messages one sweep takes at most.
const LIMIT: i64 = 500;

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Messages taken back from lapsed claims.
    pub taken_back: usize,
    /// Unknown outcomes decided.
    pub decided: usize,
}

/// Takes back what lapsed claims hold and decides unknown outcomes whose time for reconciling is over.
pub async fn sweep(grant: &Grant<SendMessages>, ports: &Ports) -> Result<Swept> {
    if !ports.clock.is_trustworthy() {
        return Ok(Swept::default());
    }
    let now = ports.now();
    let mut tx = grant.begin().await?;
    let taken_back = store::sweep_leases(&mut tx, now, ports.settings.reconcile, LIMIT).await?;
    let decided = sweep_unknown(&mut tx, ports, now).await?;
    let lapses = taken_back.iter().map(|(id, status)| {
        let state = match status {
            AttemptStatus::Accepted => MessageStatus::Sent,
            AttemptStatus::Unknown => MessageStatus::Unknown,
            _ => MessageStatus::Queued,
        };
        (*id, status.as_str(), json!({ "rule": "lease_lapsed", "state": state }))
    });
    let decisions = decided.iter().map(|(id, to)| (*id, "reconciled", json!({ "state": to.status() })));
    store::message_events_append(&mut tx, ports, lapses.chain(decisions), now).await?;
    tell_ends(&mut tx, ports, ends(&taken_back, &decided)).await?;
    tx.commit().await?;
    ports.metrics.sweeps.add((SweepFind::TakenBack,), taken_back.len());
    ports.metrics.sweeps.add((SweepFind::Decided,), decided.len());
    Ok(Swept { taken_back: taken_back.len(), decided: decided.len() })
}

/// What ended: messages whose outcome a lost worker had written or hid, and unknown ones that are decided. One that stays
/// unknown was told of before.
fn ends(taken_back: &[(MessageId, AttemptStatus)], decided: &[(MessageId, MessageMove)]) -> Vec<Ended> {
    let taken = taken_back.iter().filter_map(|(id, status)| match status {
        AttemptStatus::Accepted => Some((*id, Ending::Sent, None)),
        AttemptStatus::Unknown => Some((*id, Ending::Unknown, Some("OUTCOME_UNKNOWN".to_owned()))),
        _ => None,
    });
    let decided = decided.iter().filter_map(|(id, to)| match to {
        MessageMove::End(Ending::Unknown) | MessageMove::Requeue { .. } => None,
        MessageMove::End(ending) => Some((*id, *ending, None)),
    });
    taken.chain(decided).collect()
}

/// Decides unknown outcomes whose time for reconciling is over; returns the messages that were moved, and to what.
async fn sweep_unknown(tx: &mut TenantTx, ports: &Ports, now: Timestamp) -> Result<Vec<(MessageId, MessageMove)>> {
    let decide = |unknown: store::UnknownMessage| {
        let jitter = ports.entropy.below(u64::MAX);
        let to = decide_reconciled(unknown.attempt, unknown.facts, &ports.settings.retry, jitter, now);
        (unknown.id, to)
    };
    let decided: Vec<_> = store::unknown_due(tx, now, LIMIT).await?.into_iter().map(decide).collect();
    store::unknown_move(tx, &decided, now).await?;
    Ok(decided)
}
