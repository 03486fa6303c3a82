//! Before and after a hand-over (L8): one transaction writes what came of a group and flips the next one to started.
//!
//! As long as servers take what they are given that is all there is to write, and the transaction is one statement: a group of
//! sixteen costs one, where BEGIN, the statement and COMMIT were three. It is what most of a campaign costs. What was refused
//! changes endpoints and messages as well, and has a transaction around it, as the end of a claim has.
//!
//! So a worker never has more than one group started without an outcome. Messages that a server took stay claimed, with
//! their attempts accepted, until the claim's last transaction ends them all at once; if the worker dies before that,
//! the sweep finds the accepted attempts and ends their messages the same way.

use std::collections::HashSet;

use carillon_entities::ids::{MessageId, TenantId};
use carillon_entities::wall::TenantTx;
use serde_json::json;

use super::cleared::AttemptRef;
use super::reply_class::{EnhancedCode, FailureClass, Operator, Reply, rules_version};
use super::state::{AttemptStatus, MessageStatus};
use super::store::{self, AttemptStep, MessageEvent, Move};
use super::tell::{Ended, tell_ends};
use super::{AttemptFacts, Ending, HandOver, MessageMove, NotHandedOver, Settlement, decide_after};
use crate::consent::{self, Channel, HardBounce, Heard, SoftBounce};
use crate::error::Result;
use crate::keys::AddressHmac;
use crate::ports::Ports;
use crate::tenancy::{Grant, SendMessages};
use crate::time::Timestamp;

/// No more attempts than this are started and without an outcome in one claim (L8).
pub const GROUP: usize = 16;

/// What became of one attempt.
#[derive(Debug)]
pub struct Settled {
    /// Which attempt.
    pub attempt: AttemptRef,
    /// What happened. What was not handed over need not have been started.
    pub outcome: HandOver,
    /// What its settlement depends on.
    pub facts: AttemptFacts,
    /// The address it went to.
    pub address: AddressHmac,
    /// Whose mailbox that is, as the gate counted it (C-53).
    pub mailbox: Operator,
}

/// What one transaction of a hand-over writes.
#[derive(Debug, Default)]
pub struct HandOverStep {
    /// What came of attempts.
    pub outcomes: Vec<Settled>,
    /// Attempts to flip to started.
    pub starting: Vec<AttemptRef>,
    /// Messages that a server took and that end now.
    pub ending: Vec<AttemptRef>,
}

impl HandOverStep {
    /// True when there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty() && self.starting.is_empty() && self.ending.is_empty()
    }

    /// True when nothing but attempts changes: the messages of what was taken end with the claim.
    fn is_of_attempts(&self) -> bool {
        self.ending.is_empty() && self.outcomes.iter().all(|settled| settled.outcome == HandOver::Accepted)
    }
}

/// Writes a step; returns the messages whose attempts were flipped to started: only those may be handed over.
///
/// A message whose claim was lost meanwhile is not changed; its attempt still gets its outcome (L8). Repeating a step
/// changes nothing that it changed before.
pub async fn record(grant: &Grant<SendMessages>, ports: &Ports, step: &HandOverStep) -> Result<HashSet<MessageId>> {
    let now = ports.now();
    let decided: Vec<(&Settled, Settlement)> =
        step.outcomes.iter().map(|settled| (settled, decide(ports, settled, now))).collect();
    let outcomes = decided.iter().map(|(settled, settlement)| to_step(settled, settlement));
    let steps: Vec<_> = outcomes.chain(step.starting.iter().copied().map(AttemptStep::start)).collect();
    if step.is_of_attempts() {
        let started = store::attempts_step_alone(grant, &steps, now).await?;
        count_all((ports, grant.tenant()), &HashSet::new(), &decided);
        return Ok(started.into_iter().collect());
    }
    let mut tx = grant.begin().await?;
    // Lock order: endpoints, then messages.
    let doubted = blame(&mut tx, ports, &decided, now).await?;
    let open = decided.iter().filter(|(settled, _)| settled.outcome != HandOver::Accepted);
    let open = open.map(|(settled, end)| (to_move(settled, end), event_of(settled, end)));
    let ending =
        step.ending.iter().map(|attempt| (sent(*attempt), event(*attempt, AttemptStatus::Accepted, "accepted")));
    let held = messages_move(&mut tx, ports, open.chain(ending).unzip(), now).await?;
    let started = store::attempts_step(&mut tx, &steps, now).await?;
    tx.commit().await?;
    count_all((ports, grant.tenant()), &held, &decided);
    if !doubted.is_empty() {
        consent::tell_doubted(grant.tenant(), &doubted, take_back(grant, ports, &doubted).await);
    }
    Ok(started.into_iter().collect())
}

/// What outcomes mean for the addresses: a missing mailbox suppresses, one that is full is counted (C-50, C-52). Returns the
/// operators of mailboxes whose own fault it seems to be (C-53).
async fn blame(
    tx: &mut TenantTx,
    ports: &Ports,
    decided: &[(&Settled, Settlement)],
    now: Timestamp,
) -> Result<Vec<Operator>> {
    let channel = Channel::Email;
    let gone = decided.iter().filter(|(_, settlement)| settlement.suppress).map(|(settled, _)| HardBounce {
        channel,
        address: settled.address,
        operator: settled.mailbox,
        at: now,
    });
    let gone: Vec<HardBounce> = gone.collect();
    let is_full = |settlement: &Settlement| settlement.class == Some(FailureClass::RecipientTransient);
    let full = decided.iter().filter(|(_, settlement)| is_full(settlement)).map(|(settled, _)| SoftBounce {
        channel,
        address: settled.address,
        message: settled.attempt.message,
        at: now,
    });
    let full: Vec<SoftBounce> = full.collect();
    // All at once, in the order of their hashes: two steps that lock each other's never wait for each other (L3).
    let addresses = gone.iter().map(|bounce| bounce.address).chain(full.iter().map(|bounce| bounce.address));
    let addresses: Vec<_> = addresses.map(|address| (address, channel)).collect();
    if !gone.is_empty() && !full.is_empty() {
        consent::endpoints_lock_for_change(tx, ports, &addresses).await?;
    }
    if !full.is_empty() {
        consent::count_soft_bounces(tx, ports, &full).await?;
    }
    if gone.is_empty() { Ok(Vec::new()) } else { consent::suppress_hard_bounces(tx, ports, Heard::AtOnce, &gone).await }
}

/// Takes back what an operator's own fault suppressed (C-53). What was settled is written whatever comes of it: the next missing
/// mailbox of that hour tries again.
async fn take_back(grant: &Grant<SendMessages>, ports: &Ports, doubted: &[Operator]) -> Result<usize> {
    let mut tx = grant.begin().await?;
    let taken = consent::take_back_doubted(&mut tx, ports, Heard::AtOnce, doubted).await?;
    tx.commit().await?;
    Ok(taken)
}

/// Counts what was settled, once it is committed.
fn count_all(of: (&Ports, TenantId), held: &HashSet<MessageId>, decided: &[(&Settled, Settlement)]) {
    for (settled, settlement) in decided {
        count(of, held, settled, settlement);
    }
}

/// Counts what became of a message: one that a server took is sent, whoever ends it.
fn count((ports, tenant): (&Ports, TenantId), held: &HashSet<MessageId>, settled: &Settled, settlement: &Settlement) {
    let status = match settlement.message {
        _ if settled.outcome == HandOver::Accepted => MessageStatus::Sent,
        _ if !held.contains(&settled.attempt.message) => return,
        MessageMove::End(ending) => ending.status(),
        MessageMove::Requeue { .. } => MessageStatus::Queued,
    };
    ports.metrics.message(tenant, settled.facts.class.lane(), status);
    if let (AttemptStatus::Rejected, Some(class)) = (settlement.attempt.status(), settlement.class) {
        ports.metrics.bounces.one((class,));
    }
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

fn decide(ports: &Ports, settled: &Settled, now: Timestamp) -> Settlement {
    decide_after(&settled.outcome, settled.facts, &ports.settings.retry, ports.entropy.below(u64::MAX), now)
}

/// Moves what the claim still holds, and adds to the history of just those; returns them.
async fn messages_move(
    tx: &mut TenantTx,
    ports: &Ports,
    (mut moves, events): (Vec<Move>, Vec<MessageEvent>),
    now: Timestamp,
) -> Result<HashSet<MessageId>> {
    moves.sort_by_key(|step| step.id);
    let reconcile = ports.settings.reconcile;
    let held: HashSet<MessageId> = store::messages_move(tx, &moves, reconcile, now).await?.into_iter().collect();
    // The claim was lost, and the sweep took the outcome for unknown: here is the evidence it waits for (C-168). One that
    // is still unknown is none.
    let is_evidence = |step: &&Move| !held.contains(&step.id) && step.to != MessageMove::End(Ending::Unknown);
    let late: Vec<MessageId> = moves.iter().filter(is_evidence).map(|step| step.id).collect();
    store::unknown_wake(tx, &late, now).await?;
    let events = events.into_iter().filter(|event| held.contains(&event.0));
    store::message_events_append(tx, ports, events, now).await?;
    let ended = moves.into_iter().filter(|step| held.contains(&step.id));
    let ended: Vec<Ended> = ended.filter_map(Move::ended).collect();
    tell_ends(tx, ports, ended).await?;
    Ok(held)
}

fn event(attempt: AttemptRef, status: AttemptStatus, rule: &str) -> MessageEvent {
    (attempt.message, status.as_str(), json!({ "attempt": attempt.number, "rule": rule, "rules": rules_version() }))
}

/// What became of an attempt that was not taken, and of its message by it: with the class, where it failed.
fn event_of(settled: &Settled, settlement: &Settlement) -> MessageEvent {
    let (message, kind, mut detail) = event(settled.attempt, settlement.attempt.status(), settlement.rule);
    detail["state"] = json!(settlement.message.status());
    if let Some(class) = settlement.class {
        let step = to_step(settled, settlement);
        detail["class"] = json!(class);
        detail["code"] = json!(step.smtp_code);
        detail["enhanced"] = json!(step.enhanced_code);
    }
    (message, kind, detail)
}

fn sent(attempt: AttemptRef) -> Move {
    Move { id: attempt.message, fence: attempt.fence, to: MessageMove::End(Ending::Sent), reason: None, attempts: 0 }
}

fn to_move(settled: &Settled, settlement: &Settlement) -> Move {
    let reason = match (settlement.message, settlement.class) {
        (MessageMove::End(_), Some(class)) => Some(class.as_str().to_owned()),
        (MessageMove::End(Ending::Unknown), None) => Some("OUTCOME_UNKNOWN".to_owned()),
        _ => None,
    };
    let (id, fence) = (settled.attempt.message, settled.attempt.fence);
    // An attempt that lapsed before its start was none on the recipient; its number stays used.
    Move { id, fence, to: settlement.message, reason, attempts: 0 }
}

fn to_step(settled: &Settled, settlement: &Settlement) -> AttemptStep {
    let reply = match &settled.outcome {
        HandOver::Refused(reply) => Some(reply),
        _ => None,
    };
    let enhanced = |reply: &Reply| reply.enhanced.or_else(|| EnhancedCode::at_start_of(&reply.text));
    let enhanced = match settled.outcome {
        // What a server without SMTPUTF8 would answer (C-28, RFC 6531).
        HandOver::NotHandedOver(NotHandedOver::Capability("eai_unsupported")) => Some("5.6.7".to_owned()),
        _ => reply.and_then(enhanced).map(|code| code.to_string()),
    };
    AttemptStep {
        attempt: settled.attempt,
        to: settlement.attempt.status(),
        smtp_code: reply.map(|reply| i32::from(reply.code)),
        enhanced_code: enhanced,
        class: settlement.class.map(super::reply_class::FailureClass::as_str),
        rule: Some(settlement.rule),
    }
}
