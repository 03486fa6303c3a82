//! Accepting intents: each has its own key and verdict, and the good ones of a call are queued together.
//!
//! An accepted intent is a committed row (L8). The same key again gives the message it made; the same key for something
//! else is refused. Cost in statements does not depend on the number of intents (L5).

use std::collections::HashMap;

use carillon_entities::ids::{
    BrandId, CampaignId, ContactId, EnrollmentId, MessageId, SenderId, TemplateVersionId, TopicId, WorkflowVersionId,
};
use carillon_entities::wall::TenantTx;
use serde_json::Value as Json;

use super::claim::unique;
use super::content::StoredVersion;
use super::store::{self, IntentContact, KnownIntent, NewMessage};
use super::template::Variables;
use super::{MessageClass, MessageStatus, TrackingMode};
use crate::consent::{self, Channel};
use crate::contacts::EmailAddress;
use crate::error::{Refusal, Result};
use crate::idempotency::check_key;
use crate::keys::{AddressHasher, Fingerprinter, Place};
use crate::ports::Ports;
use crate::tenancy::{Grant, SendMessages};
use crate::time::Timestamp;

/// The most intents of one call.
pub const INTENTS_MAX: usize = 500;
/// How far ahead a message may be scheduled.
pub const AHEAD_MAX: chrono::TimeDelta = chrono::TimeDelta::days(90);

/// How the keys of intents begin that come from a workflow's step.
pub const ORIGIN_KEYS: &str = "workflow:";
/// How the keys of intents begin that come from a campaign.
pub const CAMPAIGN_KEYS: &str = "campaign:";

/// To whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// A contact, at the address it has when it is sent; the gate refuses if that is another one by then.
    Contact(ContactId),
    /// A plain address; transactional messages only.
    Address(EmailAddress),
}

/// One message that somebody wants sent.
#[derive(Clone)]
pub struct Intent {
    /// Unique in the tenant, for ever.
    pub key: String,
    /// Its class; must be the template's.
    pub class: MessageClass,
    /// Its topic; marketing must have one.
    pub topic: Option<TopicId>,
    /// Who sends.
    pub sender: SenderId,
    /// What is sent.
    pub template_version: TemplateVersionId,
    /// To whom.
    pub to: Recipient,
    /// Values for `vars` in the template.
    pub variables: serde_json::Map<String, Json>,
    /// When it is due; now if nothing is said.
    pub send_at: Option<Timestamp>,
    /// When its content is stale; by class if nothing is said.
    pub expires_at: Option<Timestamp>,
    /// A test send (C-162); only [`super::send_test`] sets it.
    pub is_test: bool,
    /// The step of a workflow, or the campaign, that wants it.
    pub origin: Option<Origin>,
}

/// What of Carillon a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A step of a workflow.
    Step {
        /// The version.
        version: WorkflowVersionId,
        /// The person's way through it; when that has ended, the gate lets nothing of it go (C-184).
        enrollment: EnrollmentId,
        /// The node.
        node: String,
        /// The variant the person is in, as `node/label`.
        variant: Option<String>,
    },
    /// A campaign; what is queued of it waits while it is held, and goes nowhere once it is cancelled.
    Campaign {
        /// Which.
        campaign: CampaignId,
        /// The label of its variant, where it has several.
        variant: Option<String>,
    },
}

impl Origin {
    pub(super) fn version(&self) -> Option<WorkflowVersionId> {
        match self {
            Self::Step { version, .. } => Some(*version),
            Self::Campaign { .. } => None,
        }
    }

    pub(super) fn enrollment(&self) -> Option<EnrollmentId> {
        match self {
            Self::Step { enrollment, .. } => Some(*enrollment),
            Self::Campaign { .. } => None,
        }
    }

    pub(super) fn campaign(&self) -> Option<CampaignId> {
        match self {
            Self::Step { .. } => None,
            Self::Campaign { campaign, .. } => Some(*campaign),
        }
    }

    pub(super) fn node(&self) -> Option<String> {
        match self {
            Self::Step { node, .. } => Some(node.clone()),
            Self::Campaign { .. } => None,
        }
    }

    pub(super) fn variant(&self) -> Option<String> {
        match self {
            Self::Step { variant, .. } | Self::Campaign { variant, .. } => variant.clone(),
        }
    }
}

impl std::fmt::Debug for Intent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Intent({}, {})", self.class, self.template_version)
    }
}

/// What became of one intent.
#[derive(Debug, Clone)]
pub struct AcceptedIntent {
    /// The message.
    pub message: MessageId,
    /// False when the key had made it before.
    pub created: bool,
    /// Its state now.
    pub status: MessageStatus,
}

/// Queues messages; the results stand in the order of the intents.
///
/// # Errors
/// `QUOTA_EXCEEDED` for the whole call when the tenant's daily limit would be passed; nothing is queued then.
pub async fn send_messages(
    grant: &Grant<SendMessages>,
    tx: &mut TenantTx,
    ports: &Ports,
    intents: &[Intent],
) -> Result<Vec<Result<AcceptedIntent, Refusal>>> {
    let keys = intents.iter().map(|intent| &intent.key).filter(|key| check_key(key).is_ok());
    let made = store::messages_by_intent(tx, keys.cloned()).await?;
    let made: HashMap<String, KnownIntent> = made.into_iter().map(|known| (known.intent_key.clone(), known)).collect();
    let known = Known::load(tx, intents).await?;
    let hasher = ports.keys.address_hasher(grant.tenant());
    let fingerprints = ports.keys.fingerprinter(grant.tenant());
    let now = ports.now();
    let accepting = Accepting { grant, ports, known: &known, hasher: &hasher, fingerprints: &fingerprints, now };
    let mut verdicts: Vec<Verdict> = intents
        .iter()
        .map(|intent| match made.get(&intent.key) {
            // What was accepted stays accepted, whatever has become of its contact, sender or time since.
            Some(message) => Ok(Accepted::Before(message.matching(&fingerprints, intent)?)),
            None => accepting.accept(intent),
        })
        .collect();
    refuse_doubles(&mut verdicts);
    let stored = insert(tx, ports, &verdicts).await?;
    Ok(verdicts
        .into_iter()
        .zip(intents)
        .map(|(verdict, intent)| match verdict? {
            Accepted::Before(answer) => Ok(answer),
            Accepted::Now(new, _) => {
                let known = stored.get(&new.intent_key).ok_or_else(mismatch)?;
                Ok(AcceptedIntent { created: known.id == new.id, ..known.matching(&fingerprints, intent)? })
            }
        })
        .collect())
}

type Verdict = Result<Accepted, Refusal>;

/// An intent that is good.
enum Accepted {
    /// Its key had made this message in an earlier call.
    Before(AcceptedIntent),
    /// It is to be queued, for the person at an address; somebody else may be about to do the same.
    Now(Box<NewMessage>, consent::Recipient),
}

/// Queues the new messages and counts them; returns what their keys hold then, whoever was first.
async fn insert(tx: &mut TenantTx, ports: &Ports, verdicts: &[Verdict]) -> Result<HashMap<String, KnownIntent>> {
    let new = |verdict: &Verdict| match verdict {
        Ok(Accepted::Now(message, recipient)) => Some(((**message).clone(), recipient.clone())),
        _ => None,
    };
    let (mut new, recipients): (Vec<NewMessage>, Vec<_>) = verdicts.iter().filter_map(new).unzip();
    if new.is_empty() {
        return Ok(HashMap::new());
    }
    let resolved = consent::endpoints_resolve(tx, &recipients).await?;
    for (message, address) in new.iter_mut().zip(&resolved) {
        message.address = *address;
    }
    let addresses: Vec<_> = resolved.into_iter().map(|address| (address, Channel::Email)).collect();
    let ours: Vec<KnownIntent> = new.iter().map(KnownIntent::from).collect();
    consent::endpoints_ensure(tx, ports, &addresses).await?;
    let inserted = store::messages_insert(tx, new).await?;
    if inserted > 0 && !store::usage_add(tx, ports.now(), i64::try_from(inserted).unwrap_or(i64::MAX)).await? {
        return Err(
            Refusal::new("QUOTA_EXCEEDED", "messages", "The tenant's daily number of messages is used up.").into()
        );
    }
    // Who was first is asked only where somebody was.
    let are_ours = usize::try_from(inserted).is_ok_and(|inserted| inserted == ours.len());
    let keys = ours.iter().map(|known| known.intent_key.clone()).collect::<Vec<_>>();
    let stored = if are_ours { ours } else { store::messages_by_intent(tx, keys).await? };
    Ok(stored.into_iter().map(|known| (known.intent_key.clone(), known)).collect())
}

impl From<&NewMessage> for KnownIntent {
    fn from(new: &NewMessage) -> Self {
        let (intent_key, fingerprint) = (new.intent_key.clone(), new.fingerprint.to_vec());
        Self { intent_key, id: new.id, fingerprint, status: MessageStatus::Queued }
    }
}

impl KnownIntent {
    /// The message its key made, if it was for the same intent.
    fn matching(&self, fingerprints: &Fingerprinter, intent: &Intent) -> Result<AcceptedIntent, Refusal> {
        if !fingerprints.is_of(&self.fingerprint, &identity(intent)) {
            return Err(mismatch());
        }
        Ok(AcceptedIntent { message: self.id, created: false, status: self.status })
    }
}

fn mismatch() -> Refusal {
    Refusal::new("IDEMPOTENCY_MISMATCH", "idempotencyKey", "The key was used for another message.")
}

/// What the tenant has of what intents name.
struct Known {
    contacts: HashMap<ContactId, IntentContact>,
    versions: HashMap<TemplateVersionId, StoredVersion>,
    senders: HashMap<SenderId, BrandId>,
    topics: HashMap<TopicId, consent::Topic>,
}

impl Known {
    async fn load(tx: &mut TenantTx, intents: &[Intent]) -> Result<Self> {
        let contacts = unique(intents.iter().filter_map(|intent| match intent.to {
            Recipient::Contact(id) => Some(id),
            Recipient::Address(_) => None,
        }));
        let contacts = store::contacts_for_intents(tx, contacts).await?;
        let versions = unique(intents.iter().map(|intent| intent.template_version));
        let versions = store::template_versions_find(tx, versions).await?;
        let senders = store::senders_brands(tx, unique(intents.iter().map(|intent| intent.sender))).await?;
        let topics = unique(intents.iter().filter_map(|intent| intent.topic));
        let topics = consent::store::topics::topics_of(tx, &topics).await?;
        Ok(Self {
            contacts: contacts.into_iter().map(|contact| (contact.id, contact)).collect(),
            versions: versions.into_iter().map(|version| (version.id, version)).collect(),
            senders: senders.into_iter().collect(),
            topics: topics.into_iter().map(|topic| (topic.id, topic)).collect(),
        })
    }
}

struct Accepting<'a> {
    grant: &'a Grant<SendMessages>,
    ports: &'a Ports,
    known: &'a Known,
    hasher: &'a AddressHasher,
    fingerprints: &'a Fingerprinter,
    now: Timestamp,
}

impl Accepting<'_> {
    fn accept(&self, intent: &Intent) -> Verdict {
        check_key(&intent.key)?;
        // Workflows and campaigns name their own mails; nobody else may take such a name.
        if intent.origin.is_none() && [ORIGIN_KEYS, CAMPAIGN_KEYS].iter().any(|own| intent.key.starts_with(own)) {
            let message = "Keys that begin with workflow: or campaign: are Carillon's own.";
            return Err(Refusal::new("KEY_RESERVED", "idempotencyKey", message));
        }
        let version = self.known.versions.get(&intent.template_version);
        let version = version.ok_or_else(|| Refusal::not_found("templateVersionId"))?;
        if version.class != intent.class {
            return Err(Refusal::new("CLASS_MISMATCH", "class", "The template is of the other class."));
        }
        let brand = *self.known.senders.get(&intent.sender).ok_or_else(|| Refusal::not_found("senderId"))?;
        let topic = self.topic(intent, brand)?;
        let (contact, address) = self.recipient(intent)?;
        let (due_at, expires_at) = self.times(intent)?;
        let variables = variables(intent)?;
        let id: MessageId = self.ports.new_id();
        let tenant = self.grant.tenant();
        let seal = |column, plain: &[u8]| {
            self.ports.keys.seal(&Place::new(tenant, "messages", column, id), plain, self.ports.entropy.as_ref())
        };
        let recipient = consent::Recipient::hashed(self.hasher, &address);
        let message = NewMessage {
            id,
            intent_key: intent.key.clone(),
            fingerprint: self.fingerprints.of(&identity(intent)),
            class: intent.class,
            contact,
            address: recipient.active(),
            sealed_address: contact.is_none().then(|| seal("sealed_address", address.as_sent().as_bytes())),
            brand,
            topic,
            sender: intent.sender,
            template_version: intent.template_version,
            sealed_variables: (!intent.variables.is_empty()).then(|| seal("sealed_variables", &variables)),
            internet_message_id: format!("{id}@{}", self.ports.settings.mail_host()),
            is_test: intent.is_test,
            tracking: self.tracking(intent),
            origin: intent.origin.clone(),
            due_at,
            expires_at,
            created_at: self.now,
        };
        Ok(Accepted::Now(Box::new(message), recipient))
    }

    fn topic(&self, intent: &Intent, brand: BrandId) -> Result<Option<TopicId>, Refusal> {
        let Some(id) = intent.topic else {
            return match intent.class {
                MessageClass::Marketing => Err(Refusal::new("TOPIC_REQUIRED", "topicId", "Marketing needs a topic.")),
                MessageClass::Transactional => Ok(None),
            };
        };
        let topic = self.known.topics.get(&id).ok_or_else(|| Refusal::not_found("topicId"))?;
        if topic.brand != brand {
            return Err(Refusal::new("BRAND_MISMATCH", "topicId", "Topic and sender are of different brands."));
        }
        match intent.class {
            MessageClass::Marketing if topic.is_all_marketing() && !intent.is_test => {
                Err(Refusal::new("TOPIC_RESERVED", "topicId", "All marketing is no topic to write about."))
            }
            MessageClass::Marketing => Ok(Some(id)),
            // Transactional mail is about no subscription: it carries no way out of one (C-20).
            MessageClass::Transactional => {
                Err(Refusal::new("TOPIC_NOT_ALLOWED", "topicId", "Transactional messages have no topic."))
            }
        }
    }

    fn recipient(&self, intent: &Intent) -> Result<(Option<ContactId>, EmailAddress), Refusal> {
        match &intent.to {
            Recipient::Address(_) if intent.class == MessageClass::Marketing && !intent.is_test => {
                Err(Refusal::new("CONTACT_REQUIRED", "to", "Marketing goes to contacts only."))
            }
            Recipient::Address(address) => Ok((None, address.clone())),
            Recipient::Contact(id) => {
                let contact = self.known.contacts.get(id).ok_or_else(|| Refusal::not_found("to.contactId"))?;
                if !contact.is_active {
                    return Err(Refusal::new(
                        "CONTACT_INACTIVE",
                        "to.contactId",
                        "The contact is archived or deleted.",
                    ));
                }
                let address = contact.email.as_deref().and_then(|email| EmailAddress::parse(email).ok());
                let none = || Refusal::new("NO_ADDRESS", "to.contactId", "The contact has no e-mail address.");
                Ok((Some(*id), address.ok_or_else(none)?))
            }
        }
    }

    /// How the message is tracked as far as is known now; whatever becomes stricter until it is rendered counts then.
    fn tracking(&self, intent: &Intent) -> TrackingMode {
        let contact = match &intent.to {
            Recipient::Contact(id) => self.known.contacts.get(id),
            Recipient::Address(_) => None,
        };
        let facts = contact.map(|contact| contact.tracking.facts()).unwrap_or_default();
        facts.mode_of(intent.class, intent.is_test)
    }

    fn times(&self, intent: &Intent) -> Result<(Timestamp, Timestamp), Refusal> {
        let due_at = intent.send_at.unwrap_or(self.now).max(self.now);
        if due_at > self.now + AHEAD_MAX {
            return Err(Refusal::new("TOO_FAR_AHEAD", "sendAt", "A message can be scheduled 90 days ahead."));
        }
        let latest = due_at + MessageClass::LIFETIME_MAX;
        let expires_at = intent.expires_at.unwrap_or_else(|| intent.class.default_expiry(due_at));
        if expires_at <= due_at || expires_at > latest {
            return Err(Refusal::new("BAD_EXPIRY", "expiresAt", "A message expires within five days after it is due."));
        }
        Ok((due_at, expires_at))
    }
}

fn variables(intent: &Intent) -> Result<Vec<u8>, Refusal> {
    let json = Json::Object(intent.variables.clone());
    Variables::parse(&json).map_err(|why| Refusal::new("BAD_VARIABLES", "variables", why.to_string()))?;
    Ok(json.to_string().into_bytes())
}

/// Two intents of one call with the same key: the later ones are refused if they differ and follow the first if not.
fn refuse_doubles(verdicts: &mut [Verdict]) {
    let mut first: HashMap<String, ([u8; 32], MessageId)> = HashMap::new();
    for verdict in verdicts {
        let Ok(Accepted::Now(message, _)) = verdict else { continue };
        match first.get(&message.intent_key) {
            None => {
                first.insert(message.intent_key.clone(), (message.fingerprint, message.id));
            }
            Some((fingerprint, _)) if *fingerprint == message.fingerprint => {}
            Some(_) => {
                *verdict =
                    Err(Refusal::new("IDEMPOTENCY_MISMATCH", "idempotencyKey", "The key stands for two messages."));
            }
        }
    }
}

/// What makes two intents with one key the same. It holds the address: only its keyed fingerprint is stored.
fn identity(intent: &Intent) -> Vec<u8> {
    let to = match &intent.to {
        Recipient::Contact(id) => id.to_string(),
        Recipient::Address(address) => address.norm().to_string(),
    };
    let time = |at: Option<Timestamp>| at.map_or(String::new(), |at| at.timestamp_micros().to_string());
    let text = format!(
        "{}\n{:?}\n{}\n{}\n{to}\n{}\n{}\n{}\n{}",
        intent.class,
        intent.topic,
        intent.sender,
        intent.template_version,
        time(intent.send_at),
        time(intent.expires_at),
        intent.is_test,
        Json::Object(intent.variables.clone()),
    );
    text.into_bytes()
}
