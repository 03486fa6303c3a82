//! What bounces mean for an address: a missing mailbox suppresses it at once (C-50), one that fails for too long in the end
//! (C-52). A bounce is no consent: the ledger is not touched (C-67).

use std::collections::BTreeMap;

use carillon_entities::ids::MessageId;
use carillon_entities::wall::TenantTx;
use chrono::TimeDelta;

use super::fault::{self, Heard, Mails};
use super::store::addressees::{contact_was_reached, message_contact};
use super::store::endpoints::{
    SoftRun, endpoints_count_hard_bounces, endpoints_count_soft_bounces, endpoints_lock_for_change,
    endpoints_restart_soft_bounces,
};
use super::store::{operators, suppressions};
use super::{Channel, Suppression, SuppressionReason, SuppressionScope};
use crate::error::Result;
use crate::keys::AddressHmac;
use crate::messaging::MessageClass;
use crate::messaging::reply_class::Operator;
use crate::ports::Ports;
use crate::time::Timestamp;

/// So many failures of a mailbox, on as many days, suppress it (C-52).
const FAILURES: i32 = 4;
/// If they lie at least so far apart.
const APART: TimeDelta = TimeDelta::days(10);

/// An address that turned out not to exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HardBounce {
    /// The channel.
    pub channel: Channel,
    /// The address.
    pub address: AddressHmac,
    /// Who says so.
    pub operator: Operator,
    /// When it was found out.
    pub at: Timestamp,
}

/// A mailbox that is there and could not take a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoftBounce {
    /// The channel.
    pub channel: Channel,
    /// The address.
    pub address: AddressHmac,
    /// The mail.
    pub message: MessageId,
    /// When it was found out.
    pub at: Timestamp,
}

/// Suppresses addresses that do not exist, but for those of an operator that seems to be in fault itself; returns these
/// operators, of whose recent suppressions [`take_back_doubted`] takes care.
pub async fn suppress_hard_bounces(
    tx: &mut TenantTx,
    ports: &Ports,
    heard: Heard,
    bounces: &[HardBounce],
) -> Result<Vec<Operator>> {
    let addresses: Vec<_> = bounces.iter().map(|bounce| (bounce.address, bounce.channel)).collect();
    if !carillon_entities::seeded_bugs::on("bounce_without_lock") {
        endpoints_lock_for_change(tx, ports, &addresses).await?;
        endpoints_count_hard_bounces(tx, &addresses).await?;
    }
    let doubted = doubted(tx, ports, heard, bounces).await?;
    let suppression = |bounce: &HardBounce| Suppression {
        id: ports.new_id(),
        channel: bounce.channel,
        address: bounce.address,
        scope: SuppressionScope::All,
        reason: SuppressionReason::HardBounce,
        since: bounce.at,
        source_event: None,
    };
    let believed = bounces.iter().filter(|bounce| !doubted.contains(&bounce.operator));
    let new: Vec<_> = believed.map(|bounce| (suppression(bounce), bounce.operator)).collect();
    suppressions::suppressions_put_for(tx, &new).await?;
    Ok(doubted)
}

/// Counts missing mailboxes, and tells which operators say so of far too many (C-53).
async fn doubted(tx: &mut TenantTx, ports: &Ports, heard: Heard, bounces: &[HardBounce]) -> Result<Vec<Operator>> {
    let now = ports.now();
    let mut counts: BTreeMap<Operator, Mails> = BTreeMap::new();
    for bounce in bounces {
        counts.entry(bounce.operator).or_default().gone += 1;
    }
    operators::operators_count(tx, counts.clone(), now).await?;
    operators::operators_forget(tx, now).await?;
    let levels = operators::operators_levels(tx, counts.into_keys(), heard.since(now)).await?;
    let in_fault = levels.into_iter().filter(|(_, recent, before)| fault::is_in_fault(*recent, *before));
    Ok(in_fault.map(|(operator, ..)| operator).collect())
}

/// Counts mails that the gate let through, by whose mailboxes they are for.
pub async fn count_cleared(tx: &mut TenantTx, operators: &[Operator], now: Timestamp) -> Result<()> {
    let mut counts: BTreeMap<Operator, Mails> = BTreeMap::new();
    for operator in operators {
        counts.entry(*operator).or_default().handed += 1;
    }
    if !counts.is_empty() {
        operators::operators_count(tx, counts, now).await?;
    }
    Ok(())
}

/// Lets go whom the word of operators suppressed while they were in fault; returns how many those were. In a transaction of its
/// own, for it locks the endpoints first (L3).
pub async fn take_back_doubted(tx: &mut TenantTx, ports: &Ports, heard: Heard, doubted: &[Operator]) -> Result<usize> {
    let found = suppressions::suppressions_resting_on(tx, doubted, heard.since(ports.now())).await?;
    let addresses: Vec<_> = found.iter().map(|found| (found.address, found.channel)).collect();
    endpoints_lock_for_change(tx, ports, &addresses).await?;
    let ids: Vec<_> = found.iter().map(|found| found.id).collect();
    suppressions::suppressions_remove(tx, &ids).await?;
    Ok(ids.len())
}

/// Counts failures of mailboxes that are there, and suppresses those that failed on four days, ten days apart, with no mail in
/// between that arrived (C-52).
pub async fn count_soft_bounces(tx: &mut TenantTx, ports: &Ports, bounces: &[SoftBounce]) -> Result<()> {
    let mails: BTreeMap<_, &SoftBounce> =
        bounces.iter().map(|bounce| ((bounce.address.hash, bounce.channel), bounce)).collect();
    let addresses: Vec<_> = bounces.iter().map(|bounce| (bounce.address, bounce.channel)).collect();
    endpoints_lock_for_change(tx, ports, &addresses).await?;
    let keys: Vec<_> = mails.keys().copied().collect();
    let now = ports.now();
    let (mut over, mut again) = (Vec::new(), Vec::new());
    for run in endpoints_count_soft_bounces(tx, &keys, now).await? {
        let long = run.failures >= FAILURES && now - run.since >= APART;
        let Some(bounce) = mails.get(&run.endpoint).filter(|_| long) else { continue };
        match was_reached(tx, bounce, &run, now).await? {
            Some(false) => over.push(suppressed(ports, bounce)),
            Some(true) => again.push(run.endpoint),
            None => {}
        }
    }
    suppressions::suppressions_put(tx, &over).await?;
    if !again.is_empty() {
        endpoints_restart_soft_bounces(tx, &again, now).await?;
    }
    Ok(())
}

fn suppressed(ports: &Ports, bounce: &SoftBounce) -> Suppression {
    Suppression {
        id: ports.new_id(),
        channel: bounce.channel,
        address: bounce.address,
        scope: SuppressionScope::All,
        reason: SuppressionReason::SoftBounce,
        since: bounce.at,
        source_event: None,
    }
}

/// Whether mail arrived meanwhile. A bounce comes up to five days late, so what a server took within these says nothing yet. Of
/// mail to a plain address nothing is known: such an address is not suppressed for it.
async fn was_reached(tx: &mut TenantTx, bounce: &SoftBounce, run: &SoftRun, now: Timestamp) -> Result<Option<bool>> {
    let Some(contact) = message_contact(tx, bounce.message).await? else { return Ok(None) };
    let span = (run.since, now - MessageClass::LIFETIME_MAX);
    Ok(Some(contact_was_reached(tx, contact, bounce.address.hash, span).await?))
}
