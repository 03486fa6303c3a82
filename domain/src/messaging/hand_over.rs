//! Before and after a hand-over (L8): flip to started, and settle what came of it.

use std::collections::HashSet;

use carillon_entities::ids::MessageId;
use serde_json::json;

use super::cleared::AttemptRef;
use super::reply_class::{EnhancedCode, Reply};
use super::{
    AttemptFacts, AttemptOutcome, HandOver, MessageClass, MessageMove, RetryWindow, Settlement, decide_after, store,
};
use crate::consent::{self, Channel, HardBounce};
use crate::error::Result;
use crate::keys::AddressHmac;
use crate::ports::Ports;
use crate::tenancy::{Grant, SendMessages};
use crate::time::Timestamp;

/// No more attempts than this are started and unsettled in one worker (L8).
pub const GROUP: usize = 16;

/// Flips cleared attempts to started, in one committed statement under the fence; only those returned may be handed
/// over.
pub async fn start(grant: &Grant<SendMessages>, ports: &Ports, attempts: &[AttemptRef]) -> Result<HashSet<MessageId>> {
    let mut tx = grant.begin().await?;
    let going: Vec<_> = attempts.iter().map(|attempt| (attempt.message, attempt.number, attempt.fence)).collect();
    let started = store::attempts_start(&mut tx, &going, ports.now()).await?;
    tx.commit().await?;
    Ok(started.into_iter().collect())
}

/// Gives the messages of a worker that is alive another lease; returns until when, or `None` when any was lost.
pub async fn renew(grant: &Grant<SendMessages>, ports: &Ports, held: &[AttemptRef]) -> Result<Option<Timestamp>> {
    let now = ports.now();
    let until = now + ports.settings.lease;
    let mut tx = grant.begin().await?;
    let held: Vec<_> = held.iter().map(|attempt| (attempt.message, attempt.fence)).collect();
    let renewed = store::lease_renew(&mut tx, &held, now, until).await?;
    tx.commit().await?;
    Ok((usize::try_from(renewed).ok() == Some(held.len())).then_some(until))
}

/// What became of one attempt.
#[derive(Debug)]
pub struct Settled {
    /// Which attempt.
    pub attempt: AttemptRef,
    /// True when the attempt was started.
    pub started: bool,
    /// What happened.
    pub outcome: HandOver,
    /// The message's class.
    pub class: MessageClass,
    /// The address it went to.
    pub address: AddressHmac,
    /// Between when and when it may be tried.
    pub window: RetryWindow,
}

/// Writes outcomes in one transaction: attempts, messages, history, and suppressions for mailboxes that do not exist.
///
/// A message whose claim was lost meanwhile is not changed; its attempt still gets its outcome (L8).
pub async fn settle(grant: &Grant<SendMessages>, ports: &Ports, settled: &[Settled]) -> Result<()> {
    let now = ports.now();
    let decided: Vec<(&Settled, Settlement)> = settled
        .iter()
        .map(|settled| {
            let attempt = u32::try_from(settled.attempt.number).unwrap_or(u32::MAX);
            let facts = AttemptFacts { class: settled.class, attempt, window: settled.window };
            let jitter = ports.entropy.below(u64::MAX);
            (settled, decide_after(&settled.outcome, facts, &ports.settings.retry, jitter, now))
        })
        .collect();
    let mut tx = grant.begin().await?;
    // Lock order: endpoints, then messages.
    let bounce = |settled: &Settled| HardBounce { channel: Channel::Email, address: settled.address, at: now };
    let gone: Vec<HardBounce> =
        decided.iter().filter(|(_, settlement)| settlement.suppress).map(|(settled, _)| bounce(settled)).collect();
    if !gone.is_empty() {
        consent::suppress_hard_bounces(&mut tx, ports, &gone).await?;
    }
    let mut moves: Vec<store::Move> =
        decided.iter().map(|(settled, settlement)| to_move(settled, settlement)).collect();
    moves.sort_by_key(|step| step.id);
    store::messages_move(&mut tx, &moves, now).await?;
    let outcomes: Vec<_> = decided.iter().map(|(settled, settlement)| to_outcome(settled, settlement)).collect();
    store::attempts_settle(&mut tx, &outcomes, now).await?;
    let events = decided.iter().map(|(settled, settlement)| {
        let detail = json!({ "attempt": settled.attempt.number, "rule": settlement.rule });
        (settled.attempt.message, settlement.attempt.status().as_str(), detail)
    });
    store::message_events_append(&mut tx, ports, events, now).await?;
    Ok(tx.commit().await?)
}

fn to_move(settled: &Settled, settlement: &Settlement) -> store::Move {
    let reason = match (settlement.message, settlement.class) {
        (MessageMove::End(_), Some(class)) => Some(class.as_str().to_owned()),
        (MessageMove::End(super::Ending::Unknown), None) => Some("OUTCOME_UNKNOWN".to_owned()),
        _ => None,
    };
    let (id, fence) = (settled.attempt.message, settled.attempt.fence);
    // An attempt that lapsed before its start was none on the recipient; its number stays used.
    store::Move { id, fence, to: Some(settlement.message), reason, attempts: 0 }
}

fn to_outcome(settled: &Settled, settlement: &Settlement) -> store::Outcome {
    let reply = match &settled.outcome {
        HandOver::Refused(reply) => Some(reply),
        _ => None,
    };
    let enhanced = |reply: &Reply| reply.enhanced.or_else(|| EnhancedCode::at_start_of(&reply.text));
    store::Outcome {
        message: settled.attempt.message,
        number: settled.attempt.number,
        // What was never started did not reach anybody; it lapsed.
        ended: if settled.started { settlement.attempt } else { AttemptOutcome::Lapsed },
        smtp_code: reply.map(|reply| i32::from(reply.code)),
        enhanced_code: reply.and_then(enhanced).map(|code| format!("{}.{}.{}", code.class, code.subject, code.detail)),
        class: settlement.class.map(super::reply_class::FailureClass::as_str),
        rule: settlement.rule,
    }
}
