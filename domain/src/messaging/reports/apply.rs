//! What delivery reports and automatic answers change: the message's history always, its state along the lattice (C-58), the
//! address where its mailbox is gone (C-50) or was full for too long (C-52).

use carillon_entities::wall::{TenantTx, WallError};
use serde_json::json;

use super::RecipientReport;
use super::receive::ReportEnd;
use super::redact::redact;
use super::verdict::{Failure, Verdict, judge};
use crate::consent::{self, Channel, HardBounce, Heard, Recipient, SoftBounce};
use crate::contacts::EmailAddress;
use crate::error::Result;
use crate::keys::VerifiedBounce;
use crate::messaging::AttemptRef;
use crate::messaging::reply_class::{FailureClass, Operator, rules_version};
use crate::messaging::state::{AttemptStatus, MessageState, ProviderFact};
use crate::messaging::store::{self, AttemptStep, ReportedMessage};
use crate::messaging::tell::{Ended, tell_ends};
use crate::ports::Ports;
use crate::reruns::Reruns;
use crate::tenancy::{Grant, ReceiveReports};
use crate::time::Timestamp;

/// Entries of this kind that a message's history may have; what comes after is nothing new.
const ENTRIES_MAX: usize = 50;

/// What a report comes to, to be written down.
struct Entry {
    kind: &'static str,
    detail: serde_json::Value,
    end: ReportEnd,
}

/// Takes a delivery report.
pub(super) async fn delivery(
    grant: &Grant<ReceiveReports>,
    ports: &Ports,
    path: &VerifiedBounce,
    recipients: &[RecipientReport],
) -> Result<ReportEnd> {
    let mut reruns = Reruns::default();
    loop {
        match Box::pin(delivery_once(grant, ports, path, recipients)).await {
            Err(error) if reruns.after(&error) => {}
            result => return result,
        }
    }
}

async fn delivery_once(
    grant: &Grant<ReceiveReports>,
    ports: &Ports,
    path: &VerifiedBounce,
    recipients: &[RecipientReport],
) -> Result<ReportEnd> {
    let mut tx = grant.begin().await?;
    let Some(message) = store::message_reported(&mut tx, path.message).await? else { return Ok(ReportEnd::Untraced) };
    let hasher = ports.keys.address_hasher(grant.tenant());
    let is_ours = |text: &str| {
        let parsed = EmailAddress::parse(text);
        parsed.is_ok_and(|address| Recipient::hashed(&hasher, &address).bare().any(|hash| hash == message.address.hash))
    };
    let Some(verdict) = judge(recipients, is_ours) else { return Ok(ReportEnd::Unrecognised) };
    let now = ports.now();
    let entry = entry(&verdict, path, recipients);
    // Lock order: endpoints, then messages.
    let doubted = match &verdict {
        Verdict::Failed(failure) => blame(&mut tx, ports, &message, failure, now).await?,
        Verdict::Delayed | Verdict::Delivered => Vec::new(),
    };
    let Some(message) = locked(&mut tx, &message).await? else { return Ok(ReportEnd::Untraced) };
    if is_known(&mut tx, &message, &entry).await? {
        return Ok(ReportEnd::Repeated);
    }
    let moved = move_on(&mut tx, &message, path, &verdict, now).await?;
    let mut detail = entry.detail;
    if let Some((_, ending, _)) = &moved {
        detail["state"] = json!(ending.status());
    }
    store::message_events_append(&mut tx, ports, [(message.id, entry.kind, detail)], now).await?;
    tell_ends(&mut tx, ports, moved.iter().cloned().collect()).await?;
    tx.commit().await?;
    if let Some((_, ending, _)) = moved {
        ports.metrics.message(grant.tenant(), message.class.lane(), ending.status());
    }
    if let Verdict::Failed(failure) = &verdict {
        ports.metrics.bounces.one((failure.class,));
    }
    take_back(grant, ports, &doubted).await;
    Ok(entry.end)
}

/// Takes an automatic answer: nothing but an entry (C-57).
pub(super) async fn auto_reply(
    grant: &Grant<ReceiveReports>,
    ports: &Ports,
    path: &VerifiedBounce,
) -> Result<ReportEnd> {
    let detail = json!({ "attempt": path.attempt });
    note(grant, ports, path.message, Entry { kind: "auto_reply", detail, end: ReportEnd::AutoReply }).await
}

/// Takes a person's word that a mail is no spam: a signal and no more (C-59).
pub(super) async fn not_spam(
    grant: &Grant<ReceiveReports>,
    ports: &Ports,
    message: carillon_entities::ids::MessageId,
) -> Result<ReportEnd> {
    note(grant, ports, message, Entry { kind: "not_spam", detail: json!({}), end: ReportEnd::NotSpam }).await
}

async fn note(
    grant: &Grant<ReceiveReports>,
    ports: &Ports,
    message: carillon_entities::ids::MessageId,
    entry: Entry,
) -> Result<ReportEnd> {
    let mut tx = grant.begin().await?;
    let Some(message) = store::message_reported_locked(&mut tx, message).await? else { return Ok(ReportEnd::Untraced) };
    if is_known(&mut tx, &message, &entry).await? {
        return Ok(ReportEnd::Repeated);
    }
    store::message_events_append(&mut tx, ports, [(message.id, entry.kind, entry.detail)], ports.now()).await?;
    tx.commit().await?;
    Ok(entry.end)
}

/// The message under its lock. One that a worker has at this moment is asked for again: its outcome is about to be written, and
/// would overwrite what is known here.
async fn locked(tx: &mut TenantTx, message: &ReportedMessage) -> Result<Option<ReportedMessage>> {
    let found = store::message_reported_locked(tx, message.id).await?;
    if found.as_ref().is_some_and(|found| matches!(found.state, MessageState::Claimed { .. })) {
        return Err(WallError::Unavailable.into());
    }
    Ok(found)
}

/// Whether the history has it already. That its mailbox is missing is said of a mail once, whatever the words: else one return
/// path would count for as many missing mailboxes as there are rules, and make an operator seem in fault (C-53, C-55).
async fn is_known(tx: &mut TenantTx, message: &ReportedMessage, entry: &Entry) -> Result<bool> {
    let known = store::report_events(tx, message.id).await?;
    let class = entry.detail.get("class").and_then(serde_json::Value::as_str);
    let is_gone = class == Some(FailureClass::RecipientPermanent.as_str());
    let same = |(kind, detail): &(String, serde_json::Value)| {
        let is_same = |field: &str| detail.get(field) == entry.detail.get(field);
        kind == entry.kind && is_same("class") && (is_gone || is_same("attempt") && is_same("rule"))
    };
    Ok(known.len() >= ENTRIES_MAX || known.iter().any(same))
}

fn entry(verdict: &Verdict, path: &VerifiedBounce, recipients: &[RecipientReport]) -> Entry {
    let attempt = path.attempt;
    let plain = |kind, end| Entry { kind, detail: json!({ "attempt": attempt }), end };
    match verdict {
        Verdict::Delayed => plain("delayed", ReportEnd::Delayed),
        Verdict::Delivered => plain("delivered", ReportEnd::Delivered),
        Verdict::Failed(failure) => {
            let addresses: Vec<String> =
                recipients.iter().flat_map(|report| report.recipients.iter().cloned()).collect();
            let enhanced = failure.enhanced.map(|code| code.to_string());
            let detail = json!({
                "attempt": attempt,
                "class": failure.class,
                "rule": failure.rule,
                "rules": rules_version(),
                "code": Some(failure.code).filter(|code| *code > 0),
                "enhanced": enhanced,
                "text": redact(&failure.text, &addresses),
            });
            Entry { kind: "bounced", detail, end: ReportEnd::Bounced }
        }
    }
}

/// What a failure means for the address; returns the operators whose own fault it seems to be (C-53).
async fn blame(
    tx: &mut TenantTx,
    ports: &Ports,
    message: &ReportedMessage,
    failure: &Failure,
    now: Timestamp,
) -> Result<Vec<Operator>> {
    let (channel, address) = (Channel::Email, message.address);
    if failure.suppress {
        let bounce = HardBounce { channel, address, operator: failure.mailbox, at: now };
        return consent::suppress_hard_bounces(tx, ports, Heard::Later, &[bounce]).await;
    }
    if failure.class == FailureClass::RecipientTransient {
        let bounce = SoftBounce { channel, address, message: message.id, at: now };
        consent::count_soft_bounces(tx, ports, &[bounce]).await?;
    }
    Ok(Vec::new())
}

/// Moves the message along the lattice, and what is known of its attempt; returns how and why it ended, if that is new.
async fn move_on(
    tx: &mut TenantTx,
    message: &ReportedMessage,
    path: &VerifiedBounce,
    verdict: &Verdict,
    now: Timestamp,
) -> Result<Option<Ended>> {
    // A copy that was given up says nothing about a later one, unless nobody is there to read either.
    let newest = path.attempt.is_none_or(|attempt| i32::from(attempt) >= message.attempts);
    let (fact, reason) = match verdict {
        Verdict::Failed(failure) if failure.suppress => (Some(ProviderFact::Gone), Some(failure.class)),
        Verdict::Failed(failure) if newest => (Some(ProviderFact::Failed), Some(failure.class)),
        Verdict::Failed(_) => (None, None),
        Verdict::Delayed | Verdict::Delivered => (Some(ProviderFact::Taken), None),
    };
    if let (Some(number), true) = (path.attempt, message.is_open()) {
        let step = learnt(message, number.into(), verdict, now);
        store::attempts_step(tx, &[step], now).await?;
    }
    let next = fact.map_or(message.state, |fact| message.state.report(fact, now));
    let MessageState::Settled { ending, .. } = next else { return Ok(None) };
    if next.status() == message.state.status() {
        return Ok(None);
    }
    let reason = reason.map(FailureClass::as_str);
    store::message_end_reported(tx, message, ending.status(), reason, now).await?;
    Ok(Some((message.id, ending, reason.map(str::to_owned))))
}

/// What a report tells of an attempt whose outcome was hidden (C-168); of any other the attempt knows more.
fn learnt(message: &ReportedMessage, number: i32, verdict: &Verdict, now: Timestamp) -> AttemptStep {
    let attempt = AttemptRef { message: message.id, number, fence: 0, lease_until: now };
    let accepted = AttemptStep {
        attempt,
        to: AttemptStatus::Accepted,
        smtp_code: None,
        enhanced_code: None,
        class: None,
        rule: Some("late_evidence"),
    };
    match verdict {
        Verdict::Failed(failure) => AttemptStep {
            to: AttemptStatus::Rejected,
            smtp_code: Some(i32::from(failure.code)).filter(|code| *code > 0),
            enhanced_code: failure.enhanced.map(|code| code.to_string()),
            class: Some(failure.class.as_str()),
            rule: Some(failure.rule),
            ..accepted
        },
        Verdict::Delayed | Verdict::Delivered => accepted,
    }
}

/// Takes back what an operator's own fault suppressed (C-53). The report is written down whatever comes of it: the next one of
/// that hour tries again.
async fn take_back(grant: &Grant<ReceiveReports>, ports: &Ports, doubted: &[Operator]) {
    if doubted.is_empty() {
        return;
    }
    let done = async {
        let mut tx = grant.begin().await?;
        let taken = consent::take_back_doubted(&mut tx, ports, Heard::Later, doubted).await?;
        tx.commit().await?;
        Ok::<_, crate::error::Error>(taken)
    };
    consent::tell_doubted(grant.tenant(), doubted, done.await);
}

impl ReportedMessage {
    /// True where a report may settle what an attempt came to.
    fn is_open(&self) -> bool {
        use crate::messaging::MessageStatus::{Queued, Unknown};
        matches!(self.state.status(), Queued | Unknown)
    }
}
