//! What consent looks like from outside. Nothing here names a person: addresses are keyed hashes inside, and stay there.

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use carillon_domain::consent as domain;
use carillon_domain::ids::{BrandId, ConsentEventId, EvidenceId, ImportId, SuppressionId, TopicId};
use chrono::{DateTime, Utc};

use super::proof::{ConsentEvidence, actor_id, source_id};
use crate::graphql::contacts::Import;
use crate::graphql::loader;

/// How a person is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::consent::Channel")]
pub enum Channel {
    /// E-mail.
    Email,
}

/// What messages about a topic are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::messaging::MessageClass")]
pub enum TopicPurpose {
    /// Something the person asked for or must be told.
    Transactional,
    /// Everything else; needs consent.
    Marketing,
}

/// What all that a person said about a topic adds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::consent::ConsentStatus")]
pub enum ConsentStatus {
    /// Nothing is known.
    None,
    /// Marketing may be sent.
    Granted,
    /// A grant waits for the person's confirmation.
    Pending,
    /// There is a grant, on a ground that carries no marketing.
    Unproven,
    /// The person took consent back.
    Withdrawn,
    /// The person objected.
    Objected,
    /// Consent ran out.
    Expired,
    /// The address belongs to somebody else now.
    Reassigned,
    /// Processing is restricted.
    Restricted,
}

/// The legal ground of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::consent::Basis")]
pub enum ConsentBasis {
    /// Consent.
    Consent,
    /// Existing customers, similar goods.
    SoftOptIn,
    /// Legitimate interest.
    LegitimateInterest,
    /// Needed for a contract; carries service messages only.
    Contract,
    /// Legal duty; carries service messages only.
    LegalDuty,
    /// Asked for, not yet confirmed by the person.
    Unconfirmed,
    /// Not stated; marketing is denied.
    Unknown,
}

/// What an entry of the ledger says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::consent::ConsentAction")]
pub enum ConsentAction {
    /// Somebody agrees, or attests that the person did.
    Grant,
    /// The person confirms a pending grant.
    Confirm,
    /// The person takes consent back.
    Withdraw,
    /// The person objects.
    Object,
    /// Consent has run out.
    Expire,
    /// The address now belongs to somebody else.
    Reassign,
    /// Processing is restricted.
    Restrict,
}

/// Where an entry of the ledger came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::consent::SourceKind")]
pub enum ConsentSource {
    /// The person, through a page or link of ours.
    Subject,
    /// The person, through a keyword in a message.
    Keyword,
    /// A file.
    Import,
    /// Another system, through the API.
    Api,
    /// A user of the tenant.
    Agent,
    /// The mailbox provider.
    Provider,
    /// A court or an authority.
    Court,
    /// Carillon itself.
    System,
}

/// Why an address is not written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::consent::SuppressionReason")]
pub enum SuppressionReason {
    /// The person unsubscribed.
    Unsubscribe,
    /// The person reported spam; no user of the tenant can lift it.
    Complaint,
    /// The address does not exist.
    HardBounce,
    /// The mailbox could take no mail for a long time.
    SoftBounce,
    /// A user of the tenant says so.
    Manual,
    /// A court, an authority or a lawyer; no user of the tenant can lift it.
    Legal,
}

/// How much a suppression forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum SuppressionScope {
    /// Everything on the channel.
    All,
    /// All marketing on the channel.
    Marketing,
    /// Marketing about one topic.
    Topic,
}

/// A name under which the tenant writes.
#[derive(Debug, Clone, SimpleObject)]
pub struct Brand {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// The name people see.
    pub name: String,
    /// True for the one brand that was made with the tenant.
    pub is_default: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl Brand {
    /// The brand with this id.
    pub async fn find(ctx: &Context<'_>, id: BrandId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self::from))
    }
}

impl From<domain::Brand> for Brand {
    fn from(brand: domain::Brand) -> Self {
        let id = brand.id.to_string().into();
        Self { id, name: brand.name, is_default: brand.is_default, created_at: brand.created_at }
    }
}

/// What people agree to be written to about.
#[derive(Debug, Clone, SimpleObject)]
pub struct Topic {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// The brand it belongs to.
    pub brand_id: ID,
    /// Stable name for programs, unique in the brand; `all_marketing` is the reserved one for everything.
    pub key: String,
    /// The name people see.
    pub name: String,
    /// What messages about it are for.
    pub purpose: TopicPurpose,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl Topic {
    /// The topic with this id.
    pub async fn find(ctx: &Context<'_>, id: TopicId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self::from))
    }
}

impl From<domain::Topic> for Topic {
    fn from(topic: domain::Topic) -> Self {
        Self {
            id: topic.id.to_string().into(),
            brand_id: topic.brand.to_string().into(),
            key: topic.key,
            name: topic.name,
            purpose: topic.purpose.into(),
            created_at: topic.created_at,
        }
    }
}

/// What a person said about a topic, added up.
#[derive(Debug, Clone, SimpleObject)]
pub struct ConsentState {
    /// How the person is reached.
    pub channel: Channel,
    /// The brand.
    pub brand_id: ID,
    /// The topic.
    pub topic_id: ID,
    /// What it means.
    pub status: ConsentStatus,
    /// The ground, when granted.
    pub basis: Option<ConsentBasis>,
    /// The entry of the ledger it rests on.
    pub event_id: Option<ID>,
    /// When the last entry was recorded.
    pub updated_at: DateTime<Utc>,
}

impl From<domain::ConsentView> for ConsentState {
    fn from(view: domain::ConsentView) -> Self {
        Self {
            channel: view.channel.into(),
            brand_id: view.brand.to_string().into(),
            topic_id: view.topic.to_string().into(),
            status: view.status.into(),
            basis: view.basis.map(Into::into),
            event_id: view.event.map(|event| event.to_string().into()),
            updated_at: view.updated_at,
        }
    }
}

/// One entry of the ledger; entries are only ever added.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct ConsentEvent {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// How the person is reached.
    pub channel: Channel,
    /// The brand.
    pub brand_id: ID,
    /// The topic.
    pub topic_id: ID,
    /// What it says.
    pub action: ConsentAction,
    /// The ground of a grant.
    pub basis: ConsentBasis,
    /// Countries whose law it was taken under.
    pub jurisdictions: Vec<String>,
    /// From when it holds.
    pub effective_at: DateTime<Utc>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// Who caused it: `subject`, `user`, `api_key` or `system`.
    pub actor_kind: String,
    /// Which one, where there is one.
    pub actor_id: Option<ID>,
    /// Where it came from.
    pub source: ConsentSource,
    /// The message or import it came through.
    pub source_id: Option<ID>,
    /// The line of the import's file that says so.
    pub source_line: Option<i64>,
    /// Version of the form.
    pub form_version: Option<String>,
    /// Version of the privacy notice.
    pub notice_version: Option<String>,
    /// SHA-256 of the words the person saw, in hexadecimal.
    pub wording_hash: Option<String>,
    /// Language of the words the person saw.
    pub locale: Option<String>,
    /// Id of what proves it, kept apart under the person's own key.
    pub evidence_id: Option<ID>,
    /// The entry it corrects.
    pub supersedes_id: Option<ID>,
    #[graphql(skip)]
    evidence: Option<EvidenceId>,
    #[graphql(skip)]
    import: Option<ImportId>,
}

impl ConsentEvent {
    /// The entry with this id.
    pub async fn find(ctx: &Context<'_>, id: ConsentEventId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self::from))
    }
}

#[ComplexObject]
impl ConsentEvent {
    /// What proves it; null once it was erased. Needs the right to see personal data.
    async fn evidence(&self, ctx: &Context<'_>) -> Option<Result<ConsentEvidence>> {
        ConsentEvidence::find(ctx, self.evidence).await.transpose()
    }

    /// The import it came through. Needs the right to import.
    async fn import(&self, ctx: &Context<'_>) -> Option<Result<Import>> {
        Import::find(ctx, self.import?).await.transpose()
    }
}

impl From<domain::ConsentEvent> for ConsentEvent {
    fn from(event: domain::ConsentEvent) -> Self {
        Self {
            id: event.id.to_string().into(),
            channel: event.channel.into(),
            brand_id: event.brand.to_string().into(),
            topic_id: event.topic.to_string().into(),
            action: event.action.into(),
            basis: event.basis.into(),
            jurisdictions: event.jurisdictions,
            effective_at: event.effective_at,
            recorded_at: event.recorded_at,
            actor_kind: event.actor_kind.to_string(),
            actor_id: actor_id(event.actor_kind, event.actor_id),
            source: event.source.kind.into(),
            source_id: source_id(event.source.kind, event.source.id),
            source_line: event.source.line,
            form_version: event.wording.form_version,
            notice_version: event.wording.notice_version,
            wording_hash: event.wording.hash.map(hex::encode),
            locale: event.wording.locale,
            evidence_id: event.evidence.map(|id| id.to_string().into()),
            supersedes_id: event.supersedes.map(|id| id.to_string().into()),
            evidence: event.evidence,
            import: event.source.id.filter(|_| event.source.kind == domain::SourceKind::Import).map(ImportId),
        }
    }
}

/// An address that is not written to. It is kept as a keyed hash and cannot be shown.
#[derive(Debug, Clone, SimpleObject)]
pub struct Suppression {
    /// Its id.
    #[graphql(owned)]
    pub id: ID,
    /// The channel.
    pub channel: Channel,
    /// How much it forbids.
    pub scope: SuppressionScope,
    /// The topic, where the scope is one.
    pub topic_id: Option<ID>,
    /// Why.
    pub reason: SuppressionReason,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The entry of the ledger that made it, if one did.
    pub event_id: Option<ID>,
}

impl Suppression {
    /// The suppression with this id.
    pub async fn find(ctx: &Context<'_>, id: SuppressionId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self::from))
    }
}

impl From<domain::Suppression> for Suppression {
    fn from(suppression: domain::Suppression) -> Self {
        let (scope, topic) = match suppression.scope {
            domain::SuppressionScope::All => (SuppressionScope::All, None),
            domain::SuppressionScope::Marketing => (SuppressionScope::Marketing, None),
            domain::SuppressionScope::Topic(topic) => (SuppressionScope::Topic, Some(topic.to_string().into())),
        };
        Self {
            id: suppression.id.to_string().into(),
            channel: suppression.channel.into(),
            scope,
            topic_id: topic,
            reason: suppression.reason.into(),
            since: suppression.since,
            event_id: suppression.source_event.map(|event| event.to_string().into()),
        }
    }
}
