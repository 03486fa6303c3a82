//! A worker takes due messages: for a short lease, under a new fence, with what it needs to render them (L4).

use std::sync::Arc;

use carillon_entities::ids::{
    BrandId, CampaignId, ContactId, EnrollmentId, MessageId, SenderId, TemplateVersionId, TopicId, WorkflowVersionId,
};
use carillon_entities::wall::TenantTx;
use serde_json::json;

use super::content::{ContentCache, ReadySender, ReadyVersion};
use super::senders::{OwnRelayUrl, relay_url};
use super::tell::tell_ends;
use super::{AttemptFacts, AttemptStatus, Ending, MessageClass, MessageMove, RetryWindow, TrackingMode, store};
use crate::contacts::Attributes;
use crate::error::Result;
use crate::keys::{AddressHmac, Keyring};
use crate::ports::Ports;
use crate::tenancy::{Grant, SendMessages};
use crate::time::Timestamp;
use crate::trace::TraceParent;

/// A message in a worker's hands.
#[derive(Debug, Clone)]
pub struct ClaimedMessage {
    /// The message.
    pub id: MessageId,
    /// What every write must show.
    pub fence: i64,
    /// Its class.
    pub class: MessageClass,
    /// Its contact, as it was when it was claimed; the gate looks again.
    pub contact: Option<ContactFacts>,
    /// The address it was meant for.
    pub address: AddressHmac,
    /// The address itself, sealed, where there is no contact.
    pub(super) sealed_address: Option<Vec<u8>>,
    /// Its brand.
    pub brand: BrandId,
    /// Its topic.
    pub topic: Option<TopicId>,
    /// Its sender.
    pub sender: SenderId,
    /// Its content.
    pub template_version: TemplateVersionId,
    pub(super) sealed_variables: Option<Vec<u8>>,
    /// Its content, ready to render; none if it cannot be used.
    pub(super) content: Option<Arc<ReadyVersion>>,
    /// Its sender with the key to sign; none if it cannot be used.
    pub(super) ready_sender: Option<Arc<ReadySender>>,
    /// The Message-ID of every attempt (C-25).
    pub internet_message_id: String,
    /// Number of the attempt this claim may make, from 1.
    pub attempts: i32,
    /// How many attempts before this one were more than a permit.
    pub tries: u32,
    /// When the first of them passed the gate: the Date of every copy (C-26).
    pub first_cleared_at: Option<Timestamp>,
    /// A server had taken it after all, as came to be known when it was queued again (C-168).
    pub(super) is_accepted: bool,
    /// A test send (C-162).
    pub is_test: bool,
    /// How it is tracked: as it was accepted, or stricter by what was chosen since.
    pub tracking: TrackingMode,
    /// The step of a workflow it is from: version, node and variant.
    pub(super) origin: (Option<WorkflowVersionId>, Option<String>, Option<String>),
    /// The way on a workflow that it comes from.
    pub enrollment: Option<EnrollmentId>,
    /// The campaign that it comes from.
    pub campaign: Option<CampaignId>,
    /// When it was first due.
    pub send_at: Timestamp,
    /// When its content is stale.
    pub expires_at: Timestamp,
    /// The span that queued it, if that was exported.
    pub trace: Option<TraceParent>,
    /// Until when the claim holds.
    pub lease_until: Timestamp,
}

impl ClaimedMessage {
    /// True when any of it is kept under a key that is not here, so that this process could neither read it nor look up
    /// what its recipient said (C-157).
    fn lacks_keys(&self, keys: &Keyring) -> bool {
        let mut sealed = [&self.sealed_address, &self.sealed_variables].into_iter().flatten();
        !keys.has(self.address.key) || sealed.any(|sealed| keys.lacks_key_of(sealed))
    }

    /// The step of a workflow it is from, as `version/node/variant`, or the campaign, as `campaign/variant`; empty if none.
    pub(super) fn origin(&self) -> String {
        let (version, node, variant) = &self.origin;
        let from = version.map(|id| id.to_string()).or_else(|| self.campaign.map(|id| id.to_string()));
        let parts = [from, node.clone(), variant.clone()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("/")
    }

    /// What settling its attempt needs to know.
    pub fn facts(&self) -> AttemptFacts {
        let window = RetryWindow { queued_at: self.send_at, expires_at: self.expires_at };
        AttemptFacts { class: self.class, attempt: self.tries + 1, window }
    }
}

/// What rendering needs of a contact.
#[derive(Clone)]
pub struct ContactFacts {
    /// Which contact.
    pub id: ContactId,
    /// Its address, as stored.
    pub email: Option<String>,
    /// Its external id.
    pub external_id: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Locale.
    pub locale: Option<String>,
    /// Attributes by name.
    pub attributes: Attributes,
    /// The most that may be known of what they do with marketing mail.
    pub tracking: TrackingMode,
    /// A pixel may tell some of it (C-77).
    pub may_have_pixel: bool,
}

impl std::fmt::Debug for ContactFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContactFacts({})", self.id)
    }
}

impl ContactFacts {
    pub(super) fn gone(id: ContactId) -> Self {
        let (attributes, tracking) = (Attributes::default(), TrackingMode::None);
        Self {
            id,
            email: None,
            external_id: None,
            first_name: None,
            last_name: None,
            locale: None,
            attributes,
            tracking,
            may_have_pixel: false,
        }
    }
}

/// How long a held message waits before the gate is asked again, where the gate does not say.
pub(super) const HOLD: chrono::TimeDelta = chrono::TimeDelta::minutes(15);

/// What one claim took, and where it goes.
#[derive(Default)]
pub struct Claimed {
    /// The messages.
    pub messages: Vec<ClaimedMessage>,
    /// How many more were given back, for a process that has their keys.
    pub held: usize,
    /// The tenant's own relay, if it has one.
    pub relay: Option<OwnRelayUrl>,
}

/// Claims up to `size` due messages of a lane for `worker`, and loads the content they need into the cache. What is kept
/// under a key this process lacks is given back, for one that has it: while keys are rotated, nobody's message fails.
pub async fn claim(
    grant: &Grant<SendMessages>,
    ports: &Ports,
    cache: &ContentCache,
    lane: super::Lane,
    (size, worker): (i64, &str),
) -> Result<Claimed> {
    if !ports.clock.is_trustworthy() {
        return Ok(Claimed::default());
    }
    let now = ports.now();
    let mut tx = grant.begin().await?;
    let claim = store::Claim { lane: lane.as_str(), size, now, lease_until: now + ports.settings.lease, worker };
    let claimed = store::messages_claim(&mut tx, &claim).await?;
    let (accepted, claimed): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|message| message.is_accepted);
    end_accepted(&mut tx, ports, &accepted, now).await?;
    let (foreign, mut messages): (Vec<_>, Vec<_>) =
        claimed.into_iter().partition(|message| message.lacks_keys(&ports.keys));
    let held = foreign.len();
    if held > 0 {
        tracing::error!(tenant.id = %grant.tenant(), held, "messages are kept under a key that is not in CARILLON_KEYS");
        give_back(&mut tx, ports, &foreign, "KEY_UNKNOWN").await?;
    }
    if messages.is_empty() {
        tx.commit().await?;
        return Ok(Claimed { held, ..Claimed::default() });
    }
    tighten(&mut tx, &mut messages).await?;
    let versions = unique(messages.iter().map(|message| message.template_version));
    let senders = unique(messages.iter().map(|message| message.sender));
    let content = cache.load(&mut tx, ports, &versions, &senders).await?;
    let relay = relay_url(&mut tx, ports).await?;
    tx.commit().await?;
    for message in &mut messages {
        message.content = content.versions.get(&message.template_version).cloned().flatten();
        message.ready_sender = content.senders.get(&message.sender).cloned().flatten();
    }
    Ok(Claimed { messages, held, relay })
}

/// Tracks messages no more than their contacts, or the tenant, allow by now; what they are tracked as is written down, for
/// it is what is believed of them later (C-79).
async fn tighten(tx: &mut TenantTx, messages: &mut [ClaimedMessage]) -> Result<()> {
    let mut stricter = Vec::new();
    for message in messages {
        let allowed = message.contact.as_ref().map_or(TrackingMode::None, |contact| contact.tracking);
        if allowed < message.tracking {
            message.tracking = allowed;
            stricter.push((message.id, message.fence, allowed));
        }
    }
    store::messages_track(tx, stricter.into_iter()).await
}

/// Ends what a server had taken: evidence may come between two attempts, and then no copy leaves (C-168).
async fn end_accepted(tx: &mut TenantTx, ports: &Ports, accepted: &[ClaimedMessage], now: Timestamp) -> Result<()> {
    let step = |message: &ClaimedMessage| {
        let to = MessageMove::End(Ending::Sent);
        store::Move { id: message.id, fence: message.fence, to, reason: None, attempts: -1 }
    };
    let mut moves: Vec<_> = accepted.iter().map(step).collect();
    moves.sort_by_key(|step| step.id);
    store::messages_move(tx, &moves, ports.settings.reconcile, now).await?;
    let event = |step: &store::Move| (step.id, AttemptStatus::Accepted.as_str(), json!({ "rule": "late_evidence" }));
    store::message_events_append(tx, ports, moves.iter().map(event), now).await?;
    tell_ends(tx, ports, moves.into_iter().filter_map(store::Move::ended).collect()).await
}

/// Gives claimed messages back unsent, to be due again in a quarter of an hour; the attempt's number is not used.
pub async fn hold(grant: &Grant<SendMessages>, ports: &Ports, held: &[ClaimedMessage], reason: &str) -> Result<()> {
    let mut tx = grant.begin().await?;
    give_back(&mut tx, ports, held, reason).await?;
    Ok(tx.commit().await?)
}

async fn give_back(tx: &mut TenantTx, ports: &Ports, held: &[ClaimedMessage], reason: &str) -> Result<()> {
    let now = ports.now();
    let step = |message: &ClaimedMessage| {
        let stale = now >= message.expires_at;
        let to = if stale { MessageMove::End(Ending::Expired) } else { MessageMove::Requeue { due_at: now + HOLD } };
        store::Move { id: message.id, fence: message.fence, to, reason: Some(reason.to_owned()), attempts: -1 }
    };
    let mut moves: Vec<_> = held.iter().map(step).collect();
    moves.sort_by_key(|step| step.id);
    let done = store::messages_move(tx, &moves, ports.settings.reconcile, now).await?;
    moves.retain(|step| done.contains(&step.id));
    tell_ends(tx, ports, moves.into_iter().filter_map(store::Move::ended).collect()).await
}

pub(super) fn unique<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}
