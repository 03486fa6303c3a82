//! Reading consent: the states of a person and the ledger behind them, and the facts the gate asks for.

use std::collections::{BTreeMap, BTreeSet};

use carillon_entities::ids::{BrandId, ConsentEventId, TopicId};
use carillon_entities::wall::TenantTx;
use uuid::Uuid;

use super::ledger::{ConsentEvent, ConsentTopic};
use super::project::{Projected, Projection, StateKey};
use super::store::endpoints::EndpointKey;
use super::store::{ledger, states, suppressions};
use super::{
    Basis, Channel, ConsentState, ConsentStatus, Recipient, Standing, Suppression, SuppressionFact, SuppressionReason,
};
use crate::error::Result;
use crate::keys::AddressHash;
use crate::paging::{Ahead, Paged};
use crate::tenancy::{Grant, ReadConsent};
use crate::time::Timestamp;

/// What a person said about a topic, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ConsentView {
    /// The channel.
    pub channel: Channel,
    /// The brand.
    pub brand: BrandId,
    /// The topic, or the reserved topic of all marketing.
    pub topic: TopicId,
    /// What it means.
    pub status: ConsentStatus,
    /// The ground, when granted.
    pub basis: Option<Basis>,
    /// The entry it rests on.
    pub event: Option<ConsentEventId>,
    /// When the last entry was recorded.
    pub updated_at: Timestamp,
}

impl ConsentView {
    pub(super) fn new(recipient: &Recipient, topic: ConsentTopic, standing: Standing, updated_at: Timestamp) -> Self {
        Self {
            channel: recipient.channel(),
            brand: topic.brand,
            topic: topic.topic,
            status: standing.status,
            basis: standing.basis,
            event: standing.event,
            updated_at,
        }
    }
}

/// The states of recipients, a topic each, what was said under earlier keys included (C-157); an answer for each, in
/// one statement.
pub async fn list_consents(
    _grant: &Grant<ReadConsent>,
    tx: &mut TenantTx,
    recipients: &[Recipient],
) -> Result<Vec<Vec<ConsentView>>> {
    let mut by_address: BTreeMap<EndpointKey, Vec<(StateKey, Projected)>> = BTreeMap::new();
    for (key, row) in states::states_of(tx, recipients.iter().flat_map(Recipient::bare)).await? {
        by_address.entry((key.address, key.channel)).or_default().push((key, row));
    }
    Ok(recipients.iter().map(|recipient| consents(recipient, &by_address)).collect())
}

fn consents(recipient: &Recipient, states: &BTreeMap<EndpointKey, Vec<(StateKey, Projected)>>) -> Vec<ConsentView> {
    let mut joined: BTreeMap<(BrandId, TopicId), (ConsentState, Timestamp)> = BTreeMap::new();
    for (key, row) in recipient.keys().filter_map(|key| states.get(&key)).flatten() {
        let entry = joined.entry((key.brand, key.topic)).or_insert((ConsentState::default(), row.updated_at));
        *entry = (entry.0.join(row.state), entry.1.max(row.updated_at));
    }
    let view = |((brand, topic), (state, at)): ((BrandId, TopicId), (ConsentState, Timestamp))| {
        ConsentView::new(recipient, ConsentTopic { brand, topic, all_marketing: None }, state.standing(), at)
    };
    joined.into_iter().map(view).collect()
}

/// Entries of the ledger; unknown ids are left out.
pub async fn find_consent_events(
    _grant: &Grant<ReadConsent>,
    tx: &mut TenantTx,
    ids: &[ConsentEventId],
) -> Result<Vec<ConsentEvent>> {
    Ok(ledger::consent_events_find(tx, ids).await?)
}

/// A page of each recipient's ledger, in the order of arrival; an answer for each, in one statement.
pub async fn list_ledgers(
    _grant: &Grant<ReadConsent>,
    tx: &mut TenantTx,
    recipients: &[Recipient],
    page: Ahead<ConsentEventId>,
) -> Result<Vec<Paged<ConsentEvent>>> {
    let hashes: BTreeSet<AddressHash> = recipients.iter().flat_map(Recipient::bare).collect();
    let events = ledger::consent_events_behind(tx, hashes, page).await?;
    // A recipient has a hash under each live key, and its entries may be under any of them.
    let mut by_hash: BTreeMap<AddressHash, Vec<ConsentEvent>> = BTreeMap::new();
    for event in events {
        by_hash.entry(event.address.hash).or_default().push(event);
    }
    let of = |recipient: &Recipient| {
        let mut own: Vec<_> = recipient.bare().filter_map(|hash| by_hash.get(&hash)).flatten().cloned().collect();
        own.sort_by_key(|event| event.id);
        page.finish(own.into_iter().map(|event| ((), event))).remove(&()).unwrap_or_else(|| page.empty())
    };
    Ok(recipients.iter().map(of).collect())
}

/// What the gate asks about one message.
#[derive(Debug, Clone)]
pub struct FactsRequest {
    /// To whom.
    pub recipient: Recipient,
    /// About what; none for service messages.
    pub topic: Option<ConsentTopic>,
}

/// What consent knows about one message (C-158).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsentFacts {
    /// What is known about the topic.
    pub topic_consent: ConsentState,
    /// What is known about all marketing of the brand.
    pub all_marketing_consent: ConsentState,
    /// Every suppression of the address, under any live key.
    pub suppressions: Vec<SuppressionFact>,
    /// True when one of them says that the address does not exist.
    pub hard_bounced: bool,
}

/// The facts of a batch, one answer per request, in two statements, whatever the messages are about: who restricted the
/// use of an address, or has it no longer, gets no service messages either; the caller holds
/// [`super::endpoints_lock_for_send`] on the recipients, else they are worth nothing (C-175).
pub async fn load_facts(tx: &mut TenantTx, requests: &[FactsRequest]) -> Result<Vec<ConsentFacts>> {
    let hashes = || requests.iter().flat_map(|request| request.recipient.bare());
    let states: Projection = states::states_of(tx, hashes()).await?.into_iter().collect();
    let suppressions = suppressions::suppressions_of(tx, hashes()).await?;
    Ok(requests.iter().map(|request| facts(request, &states, &suppressions)).collect())
}

fn facts(request: &FactsRequest, states: &Projection, suppressions: &[Suppression]) -> ConsentFacts {
    let mut facts = ConsentFacts { topic_consent: bar(&request.recipient, states), ..ConsentFacts::default() };
    let state = |key: &StateKey| states.get(key).map(|row| row.state).unwrap_or_default();
    for (own, above) in state_keys(request) {
        facts.topic_consent = facts.topic_consent.join(state(&own));
        // A message about all marketing itself is judged by that state on both sides.
        let above = above.unwrap_or(own);
        facts.all_marketing_consent = facts.all_marketing_consent.join(state(&above));
    }
    let concerns = |suppression: &&Suppression| {
        suppression.channel == request.recipient.channel()
            && request.recipient.bare().any(|hash| hash == suppression.address.hash)
    };
    for suppression in suppressions.iter().filter(concerns) {
        facts.hard_bounced |= suppression.reason == SuppressionReason::HardBounce;
        facts.suppressions.push(SuppressionFact {
            scope: suppression.scope,
            reason: suppression.reason,
            since: suppression.since,
        });
    }
    facts
}

fn state_keys(request: &FactsRequest) -> Vec<(StateKey, Option<StateKey>)> {
    let (Some(topic), channel) = (request.topic, request.recipient.channel()) else { return Vec::new() };
    request.recipient.bare().map(|hash| topic.keys(hash, channel)).collect()
}

/// What bars a person from all mail, whatever it was recorded about, unless they agreed to something since.
fn bar(recipient: &Recipient, states: &Projection) -> ConsentState {
    let of = |(hash, channel)| {
        let first = StateKey { address: hash, channel, brand: BrandId(Uuid::nil()), topic: TopicId(Uuid::nil()) };
        states.range(first..).take_while(move |(key, _)| (key.address, key.channel) == (hash, channel))
    };
    recipient.keys().flat_map(of).fold(ConsentState::default(), |all, (_, row)| all.join(row.state)).bar()
}
