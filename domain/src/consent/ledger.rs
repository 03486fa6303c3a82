//! The ledger's one way in: [`append`], for one entry or for a batch.
//!
//! In one transaction and a constant number of statements per batch: the endpoints are locked (L3, C-175), evidence is
//! sealed, the projection moves on by the pure fold, a withdrawal or objection suppresses, and the entries are written
//! last. Nobody else writes any of these tables, so the projection is always what a rebuild would make (C-152).

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use carillon_entities::ids::{BrandId, ConsentEventId, EvidenceId, MessageId, SubjectId, SuppressionId, TopicId};
use carillon_entities::wall::TenantTx;
use uuid::Uuid;

use super::evidence::{self, Evidence};
use super::project::{Projection, StateKey, project};
use super::store::endpoints::{Endpoint, Endpoints, endpoints_lock_for_change, endpoints_resolve};
use super::store::{ledger, states, suppressions};
use super::{
    ActorKind, Basis, Channel, ConsentAction, ConsentState, ConsentStatus, LedgerEntry, Recipient, SourceKind,
    Standing, Suppression, SuppressionReason, SuppressionScope,
};
use crate::error::{Refusal, Result};
use crate::keys::{AddressHash, AddressHmac};
use crate::ports::Ports;
use crate::tenancy::Actor;
use crate::time::{Timestamp, to_micros};
use crate::webhooks::{self, ConsentSaid, Happening};

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentTopic {
    /// The brand.
    pub brand: BrandId,
    /// The topic.
    pub topic: TopicId,
    /// The brand's reserved topic, which may be the topic itself; none where the brand is gone.
    pub all_marketing: Option<TopicId>,
}

impl ConsentTopic {
    /// True when it is all marketing of the brand.
    pub fn is_all_marketing(self) -> bool {
        self.all_marketing == Some(self.topic)
    }

    /// What ending it forbids (C-13).
    pub fn scope(self) -> SuppressionScope {
        if self.is_all_marketing() { SuppressionScope::Marketing } else { SuppressionScope::Topic(self.topic) }
    }

    /// The keys of the states that count for it at an address: its own, then that of all marketing.
    pub(super) fn keys(self, address: AddressHash, channel: Channel) -> (StateKey, Option<StateKey>) {
        let key = |topic| StateKey { address, channel, brand: self.brand, topic };
        let above = self.all_marketing.filter(|_| !self.is_all_marketing());
        (key(self.topic), above.map(key))
    }
}

/// Where an entry came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The kind.
    pub kind: SourceKind,
    /// The message, import or other thing it came through.
    pub id: Option<Uuid>,
    /// The line of an import's file (C-155).
    pub line: Option<i64>,
}

/// Which words the person saw (C-154).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wording {
    /// Version of the form.
    pub form_version: Option<String>,
    /// Version of the privacy notice.
    pub notice_version: Option<String>,
    /// SHA-256 of the words agreed to.
    pub hash: Option<Vec<u8>>,
    /// Their language.
    pub locale: Option<String>,
}

impl Wording {
    /// Parses what a caller gave; of the words themselves only the SHA-256 is kept.
    ///
    /// # Errors
    /// `INVALID_WORDING` on the part of `field` that is to blame.
    pub fn parse(
        field: &str,
        form_version: Option<String>,
        notice_version: Option<String>,
        text: Option<&str>,
        locale: Option<String>,
    ) -> Result<Self, Refusal> {
        for (name, value) in [("formVersion", &form_version), ("noticeVersion", &notice_version), ("locale", &locale)] {
            if value.as_ref().is_some_and(|value| value.len() > 100 || value.chars().any(char::is_control)) {
                let message = "At most 100 bytes, without control characters.";
                return Err(Refusal::new("INVALID_WORDING", format!("{field}.{name}"), message));
            }
        }
        let hash = text.map(|text| digest(&SHA256, text.as_bytes()).as_ref().to_vec());
        Ok(Self { form_version, notice_version, hash, locale })
    }
}

/// An entry to be.
#[derive(Debug, Clone)]
pub struct NewConsentEvent {
    /// Whom it is about.
    pub recipient: Recipient,
    /// What it is about.
    pub topic: ConsentTopic,
    /// What it says.
    pub action: ConsentAction,
    /// The ground of a grant; `Unknown` for anything else.
    pub basis: Basis,
    /// Countries whose law it was taken under (ISO 3166 alpha-2).
    pub jurisdictions: Vec<String>,
    /// From when it holds; already checked by [`super::effective_at`].
    pub effective_at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// Where it came from.
    pub source: Source,
    /// Which words the person saw.
    pub wording: Wording,
    /// What proves it.
    pub evidence: Option<Evidence>,
    /// What proves it together with many others, such as a whole file; stored before.
    pub evidence_ref: Option<EvidenceId>,
    /// The entry it corrects.
    pub supersedes: Option<ConsentEventId>,
}

impl NewConsentEvent {
    /// An entry with what every entry has; the rest empty, the basis unknown.
    pub fn new(recipient: Recipient, topic: ConsentTopic, action: ConsentAction, at: Timestamp, by: Actor) -> Self {
        let kind = match by {
            Actor::User(_) => SourceKind::Agent,
            Actor::ApiKey(_) => SourceKind::Api,
            Actor::Recipient => SourceKind::Subject,
            Actor::System => SourceKind::System,
        };
        Self {
            recipient,
            topic,
            action,
            basis: Basis::Unknown,
            jurisdictions: Vec::new(),
            effective_at: at,
            actor: by,
            source: Source { kind, id: None, line: None },
            wording: Wording::default(),
            evidence: None,
            evidence_ref: None,
            supersedes: None,
        }
    }
}

/// An entry of the ledger (C-148).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentEvent {
    /// The entry.
    pub id: ConsentEventId,
    /// The random name of whoever it is about.
    pub subject: SubjectId,
    /// The address.
    pub address: AddressHmac,
    /// The channel.
    pub channel: Channel,
    /// The brand.
    pub brand: BrandId,
    /// The topic.
    pub topic: TopicId,
    /// What it says.
    pub action: ConsentAction,
    /// The ground of a grant.
    pub basis: Basis,
    /// Countries whose law it was taken under.
    pub jurisdictions: Vec<String>,
    /// From when it holds.
    pub effective_at: Timestamp,
    /// When it was written.
    pub recorded_at: Timestamp,
    /// Kind of who caused it.
    pub actor_kind: ActorKind,
    /// Who caused it.
    pub actor_id: Option<Uuid>,
    /// Where it came from.
    pub source: Source,
    /// Which words the person saw.
    pub wording: Wording,
    /// What proves it.
    pub evidence: Option<EvidenceId>,
    /// The entry it corrects.
    pub supersedes: Option<ConsentEventId>,
}

impl ConsentEvent {
    /// What it is about.
    pub fn key(&self) -> StateKey {
        StateKey { address: self.address.hash, channel: self.channel, brand: self.brand, topic: self.topic }
    }

    /// What the fold needs of it.
    pub fn entry(&self) -> LedgerEntry {
        LedgerEntry {
            id: self.id,
            action: self.action,
            basis: self.basis,
            effective_at: self.effective_at,
            source: self.source.kind,
        }
    }
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The entry.
    pub event: ConsentEventId,
    /// The address, under the key its rows are kept by.
    pub address: AddressHmac,
    /// What all entries on address and topic, and on all marketing, add up to now, this batch included.
    pub standing: Standing,
}

impl Appended {
    /// True when a grant changed nothing because the person had said no (C-128): to be reported, never retried.
    pub fn is_kept_out(&self) -> bool {
        use ConsentStatus::{Objected, Reassigned, Restricted, Withdrawn};
        matches!(self.standing.status, Withdrawn | Objected | Restricted | Reassigned)
    }
}

/// Appends entries to the ledger, one answer each, in their order.
pub async fn append(tx: &mut TenantTx, ports: &Ports, new: Vec<NewConsentEvent>) -> Result<Vec<Appended>> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let recipients: Vec<Recipient> = new.iter().map(|event| event.recipient.clone()).collect();
    let addresses = endpoints_resolve(tx, &recipients).await?;
    let keys: Vec<_> = addresses.iter().zip(&new).map(|(address, new)| (*address, new.recipient.channel())).collect();
    let endpoints = endpoints_lock_for_change(tx, ports, &keys).await?;
    append_locked(tx, ports, new.into_iter().zip(addresses).collect(), &endpoints).await
}

/// Appends entries whose endpoints this transaction has locked for change.
pub(crate) async fn append_locked(
    tx: &mut TenantTx,
    ports: &Ports,
    new: Vec<(NewConsentEvent, AddressHmac)>,
    endpoints: &Endpoints,
) -> Result<Vec<Appended>> {
    let now = to_micros(ports.now());
    let mut events = Vec::with_capacity(new.len());
    let mut proofs = Vec::new();
    let mut ended = Vec::new();
    let about: Vec<(Recipient, ConsentTopic)> = new.iter().map(|(new, _)| (new.recipient.clone(), new.topic)).collect();
    for (new, address) in new {
        let endpoint = endpoints
            .get(&(address.hash, new.recipient.channel()))
            .ok_or_else(|| crate::error::Error::fault("an endpoint was not locked"))?;
        let proof = new.evidence.as_ref().map(|evidence| (ports.new_id(), endpoint.subject, evidence.clone()));
        let evidence = proof.as_ref().map(|proof| proof.0).or(new.evidence_ref);
        let event = entry(&new, ports.new_id(), endpoint, evidence, now);
        ended.extend(suppression(&event, new.topic, ports.new_id()));
        proofs.extend(proof);
        events.push(event);
    }
    evidence::store(tx, ports, proofs).await?;
    let projection = move_projection(tx, &events, &about, endpoints).await?;
    suppressions::suppressions_put(tx, &ended).await?;
    ledger::consent_append(tx, &events).await?;
    webhooks::tell(tx, ports, events.iter().filter_map(happening).collect()).await?;
    let appended = |(event, (recipient, topic)): (&ConsentEvent, &(Recipient, ConsentTopic))| Appended {
        event: event.id,
        address: event.address,
        standing: standing(&projection, *topic, recipient),
    };
    Ok(events.iter().zip(&about).map(appended).collect())
}

/// What webhooks are told of an entry; a restriction ends nothing and begins nothing.
fn happening(event: &ConsentEvent) -> Option<Happening> {
    let said = ConsentSaid {
        consent_event_id: event.id,
        brand_id: event.brand,
        topic_id: event.topic,
        channel: event.channel.as_str(),
        action: event.action.as_str(),
        source: event.source.kind.as_str(),
        message_id: event.source.id.filter(|_| event.source.kind == SourceKind::Subject).map(MessageId),
    };
    match event.action {
        ConsentAction::Grant | ConsentAction::Confirm => Some(Happening::ConsentGranted(said)),
        ConsentAction::Withdraw | ConsentAction::Object | ConsentAction::Expire | ConsentAction::Reassign => {
            Some(Happening::ConsentWithdrawn(said))
        }
        ConsentAction::Restrict => None,
    }
}

/// What a projection says about a topic, all marketing included (C-13), under every key of the recipient (C-157).
fn standing(projection: &Projection, topic: ConsentTopic, recipient: &Recipient) -> Standing {
    let state = |key: StateKey| projection.get(&key).map(|row| row.state).unwrap_or_default();
    let (mut topic_state, mut all_marketing) = (ConsentState::default(), ConsentState::default());
    for (own, above) in state_keys(recipient, topic) {
        topic_state = topic_state.join(state(own));
        all_marketing = all_marketing.join(above.map(state).unwrap_or_default());
    }
    topic_state.standing_under(&all_marketing)
}

fn state_keys(recipient: &Recipient, topic: ConsentTopic) -> impl Iterator<Item = (StateKey, Option<StateKey>)> {
    recipient.keys().map(move |(hash, channel)| topic.keys(hash, channel))
}

/// Loads the states the entries are about, folds the entries in and writes the changed states back.
async fn move_projection(
    tx: &mut TenantTx,
    events: &[ConsentEvent],
    about: &[(Recipient, ConsentTopic)],
    endpoints: &Endpoints,
) -> Result<Projection> {
    // An endpoint on its first change has no state yet, which spares an import of new people the look-up.
    let seen = |key: &StateKey| endpoints.get(&(key.address, key.channel)).is_none_or(|row| row.consent_version > 1);
    let own: BTreeSet<StateKey> = events.iter().map(ConsentEvent::key).collect();
    let all = about.iter().flat_map(|(recipient, topic)| state_keys(recipient, *topic));
    let all = all.flat_map(|(key, above)| std::iter::once(key).chain(above));
    let keys: BTreeSet<StateKey> = own.iter().copied().chain(all).filter(seen).collect();
    let keys: Vec<StateKey> = keys.into_iter().collect();
    let mut projection: Projection = states::states_find(tx, &keys).await?.into_iter().collect();
    for event in events {
        project(&mut projection, event);
    }
    states::states_put(tx, projection.iter().filter(|(key, _)| own.contains(key))).await?;
    Ok(projection)
}

fn entry(
    new: &NewConsentEvent,
    id: ConsentEventId,
    endpoint: &Endpoint,
    evidence: Option<EvidenceId>,
    now: Timestamp,
) -> ConsentEvent {
    ConsentEvent {
        id,
        subject: endpoint.subject,
        address: endpoint.address,
        channel: new.recipient.channel(),
        brand: new.topic.brand,
        topic: new.topic.topic,
        action: new.action,
        basis: new.basis,
        jurisdictions: new.jurisdictions.clone(),
        effective_at: to_micros(new.effective_at),
        recorded_at: now,
        actor_kind: new.actor.kind(),
        actor_id: new.actor.id(),
        source: new.source,
        wording: new.wording.clone(),
        evidence,
        supersedes: new.supersedes,
    }
}

/// A withdrawal or objection forbids writing, whatever becomes of the contact (C-08, C-156).
fn suppression(event: &ConsentEvent, topic: ConsentTopic, id: SuppressionId) -> Option<Suppression> {
    matches!(event.action, ConsentAction::Withdraw | ConsentAction::Object).then(|| Suppression {
        id,
        channel: event.channel,
        address: event.address,
        scope: topic.scope(),
        reason: SuppressionReason::Unsubscribe,
        since: event.effective_at,
        source_event: Some(event.id),
    })
}
