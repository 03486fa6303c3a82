//! Suppressions: what is never written to, whoever brings the address back.
//!
//! Kept by keyed hash, without a link to contacts and without an end (C-124, C-156). Whoever adds or lifts one locks the
//! endpoint first (L3). A bounce is no consent: it suppresses and leaves the ledger alone (C-67).

use carillon_entities::ids::{ConsentEventId, SuppressionId};
use carillon_entities::wall::TenantTx;

use super::evidence::{self, Evidence};
use super::ledger::{NewConsentEvent, append_locked};
use super::store::endpoints::{endpoints_lock_for_change, endpoints_resolve};
use super::store::ledger::consent_event_find;
use super::store::suppressions;
use super::{
    Basis, Channel, ConsentAction, ConsentTopic, Recipient, SourceKind, SuppressionReason, SuppressionScope,
    all_marketing, consent_topic,
};
use crate::contacts::EmailAddress;
use crate::error::{Error, Refusal, Result};
use crate::keys::AddressHmac;
use crate::paging::{Page, Paged};
use crate::ports::Ports;
use crate::tenancy::{AdministerConsent, Deed, Grant, ReadConsent, RecordConsent, record};
use crate::time::Timestamp;

/// A suppression.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Suppression {
    /// Its id.
    pub id: SuppressionId,
    /// The channel.
    pub channel: Channel,
    /// The address.
    pub address: AddressHmac,
    /// What it forbids.
    pub scope: SuppressionScope,
    /// Why.
    pub reason: SuppressionReason,
    /// Since when.
    pub since: Timestamp,
    /// The ledger entry that made it, if one did.
    pub source_event: Option<ConsentEventId>,
}

/// What `suppress_address` needs.
#[derive(Debug, Clone)]
pub struct SuppressAddress {
    /// The address.
    pub email: EmailAddress,
    /// What is forbidden.
    pub scope: SuppressionScope,
    /// Why: `Manual`, `Complaint` or `Legal`; the others are findings of Carillon's own.
    pub reason: SuppressionReason,
}

/// Suppresses an address by hand; doing it again is a success.
pub async fn suppress_address(
    grant: &Grant<RecordConsent>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: SuppressAddress,
) -> Result<Suppression> {
    use SuppressionReason::{Complaint, Legal, Manual};
    if !matches!(command.reason, Manual | Complaint | Legal) {
        let message = "Only MANUAL, COMPLAINT and LEGAL can be given.";
        return Err(Refusal::new("INVALID_REASON", "reason", message).into());
    }
    let scope = match (command.reason, command.scope) {
        // C-13: a complaint ends all marketing, whatever it was about.
        (Complaint, SuppressionScope::Topic(_)) => SuppressionScope::Marketing,
        (_, SuppressionScope::Topic(topic)) => {
            consent_topic(tx, topic).await?.ok_or_else(|| Refusal::not_found("topicId"))?;
            command.scope
        }
        (_, scope) => scope,
    };
    let recipient = Recipient::of_email(&ports.keys, tx.tenant(), &command.email);
    let address = endpoints_resolve(tx, std::slice::from_ref(&recipient)).await?[0];
    endpoints_lock_for_change(tx, ports, &[(address, recipient.channel())]).await?;
    let (id, since, reason) = (ports.new_id(), ports.now(), command.reason);
    let new = Suppression { id, channel: recipient.channel(), address, scope, reason, since, source_event: None };
    suppressions::suppressions_put(tx, std::slice::from_ref(&new)).await?;
    let stored = suppressions::suppressions_of(tx, [address.hash]).await?.into_iter();
    let mut same = stored.filter(|old| old.channel == new.channel && old.scope == scope && old.reason == reason);
    let stored = same.next().ok_or_else(|| Error::fault("a suppression got lost"))?;
    record(tx, ports, grant.actor(), Deed::new("suppression.add", stored.id.0)).await?;
    Ok(stored)
}

/// Suppressions; unknown ids are left out.
pub async fn find_suppressions(
    _grant: &Grant<ReadConsent>,
    tx: &mut TenantTx,
    ids: &[SuppressionId],
) -> Result<Vec<Suppression>> {
    Ok(suppressions::suppressions_find(tx, ids).await?)
}

/// A page of the suppressions, in the order they were made.
pub async fn list_suppressions(
    _grant: &Grant<ReadConsent>,
    tx: &mut TenantTx,
    page: &Page<SuppressionId>,
) -> Result<Paged<Suppression>> {
    Ok(suppressions::suppressions_page(tx, page).await?)
}

/// The suppressions of recipients under every live key, an answer each, in one statement (C-124, C-157).
pub async fn suppressions_of(
    _grant: &Grant<ReadConsent>,
    tx: &mut TenantTx,
    recipients: &[Recipient],
) -> Result<Vec<Vec<Suppression>>> {
    let found = suppressions::suppressions_of(tx, recipients.iter().flat_map(Recipient::bare)).await?;
    let mut by_address = std::collections::HashMap::<_, Vec<Suppression>>::new();
    for suppression in found {
        by_address.entry((suppression.address.hash, suppression.channel)).or_default().push(suppression);
    }
    let of =
        |recipient: &Recipient| recipient.keys().filter_map(|key| by_address.get(&key)).flatten().cloned().collect();
    Ok(recipients.iter().map(of).collect())
}

/// What `lift_suppression` needs.
#[derive(Debug, Clone)]
pub struct LiftSuppression {
    /// Which one.
    pub id: SuppressionId,
    /// Why; at least a few words.
    pub reason: String,
    /// What proves that the address may be written to again.
    pub evidence: Evidence,
}

/// Lifts a suppression.
///
/// What the person ended by unsubscribing begins again with a grant of theirs, for which the evidence stands. Bounces
/// and manual suppressions are no consent: their evidence is kept, and the ledger is not touched (C-67).
///
/// # Errors
/// `NOT_LIFTABLE` for complaints and legal suppressions, and for an unsubscribe beside one, whatever the role; `REQUIRED`
/// without reason or evidence (C-235); `NOT_FOUND`.
pub async fn lift_suppression(
    grant: &Grant<AdministerConsent>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: LiftSuppression,
) -> Result<()> {
    let found = suppressions::suppression_find(tx, command.id).await?.ok_or_else(|| Refusal::not_found("id"))?;
    if found.reason.is_beyond_the_tenant() {
        return Err(not_liftable());
    }
    let evidence = proof(&command.reason, command.evidence)?;
    let recipient = Recipient::of_hash(found.channel, found.address);
    let endpoints = endpoints_lock_for_change(tx, ports, &[(found.address, found.channel)]).await?;
    // Read again under the lock: what the person said meanwhile stands.
    let found = suppressions::suppression_find(tx, command.id).await?.ok_or_else(|| Refusal::not_found("id"))?;
    if found.reason.is_beyond_the_tenant() {
        return Err(not_liftable());
    }
    suppressions::suppression_remove(tx, found.id).await?;
    if found.reason == SuppressionReason::Unsubscribe {
        // The grant that follows would speak for the person, who has complained.
        let rest = suppressions::suppressions_of(tx, [found.address.hash]).await?;
        if rest.iter().any(|other| other.channel == found.channel && other.reason.is_beyond_the_tenant()) {
            return Err(not_liftable());
        }
        let topic = ended_topic(tx, &found).await?.ok_or_else(|| Refusal::not_found("id"))?;
        // A microsecond later than the suppression, lest clocks that differ keep it in force.
        let at = ports.now().max(found.since + chrono::TimeDelta::microseconds(1));
        let mut new = NewConsentEvent::new(recipient, topic, ConsentAction::Grant, at, grant.actor());
        new.source.kind = SourceKind::Subject;
        new.basis = Basis::Consent;
        new.evidence = Some(evidence);
        new.supersedes = found.source_event;
        append_locked(tx, ports, vec![(new, found.address)], &endpoints).await?;
    } else {
        let subject = endpoints.values().next().map(|endpoint| endpoint.subject);
        let subject = subject.ok_or_else(|| Error::fault("an endpoint was not locked"))?;
        evidence::store(tx, ports, vec![(ports.new_id(), subject, evidence)]).await?;
    }
    record(tx, ports, grant.actor(), Deed::new("suppression.lift", found.id.0)).await?;
    Ok(())
}

fn not_liftable() -> Error {
    let message = "The tenant cannot lift complaints and legal suppressions, nor an unsubscribe beside one.";
    Refusal::new("NOT_LIFTABLE", "id", message).into()
}

/// What the person had ended; all marketing of the brand they ended it for, where it was all marketing.
async fn ended_topic(tx: &mut TenantTx, suppression: &Suppression) -> Result<Option<ConsentTopic>> {
    if let SuppressionScope::Topic(topic) = suppression.scope {
        return consent_topic(tx, topic).await;
    }
    let event = match suppression.source_event {
        Some(id) => consent_event_find(tx, id).await?,
        None => None,
    };
    match event {
        Some(event) => {
            Ok(Some(ConsentTopic { brand: event.brand, topic: event.topic, all_marketing: Some(event.topic) }))
        }
        None => all_marketing(tx, None).await,
    }
}

/// Reason and evidence in one, sealed together: both are free text about a person (C-235).
fn proof(reason: &str, evidence: Evidence) -> Result<Evidence> {
    let required = |field, message| Err(Error::from(Refusal::new("REQUIRED", field, message)));
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > 2048 || reason.contains('\0') {
        return required("reason", "A reason of at most 2048 bytes is needed.");
    }
    if evidence == Evidence::default() {
        return required("evidence", "New evidence is needed.");
    }
    let text = evidence.text.map_or_else(|| reason.to_owned(), |text| format!("{reason}\n{text}"));
    Ok(Evidence { text: Some(text), ..evidence })
}
