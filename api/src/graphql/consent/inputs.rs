//! What callers say about consent, and how it becomes commands.

use async_graphql::{ID, InputObject, OneofObject};
use carillon_domain::consent::{self as domain, CreateTopic, DisplayName, Evidence, TopicKey, Wording};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::error::{Error, Refusal, Result};

use super::types::{ConsentBasis, ConsentSource, SuppressionReason, SuppressionScope, TopicPurpose};
use crate::graphql::node::parse_id;
use crate::graphql::time::Instant;

/// A brand to be.
#[derive(Debug, Clone, InputObject)]
pub struct CreateBrandInput {
    /// The name people see; at most 100 characters.
    pub name: String,
    /// The same key with the same input has the same answer and no second effect.
    pub idempotency_key: Option<String>,
}

/// A topic to be.
#[derive(Debug, Clone, InputObject)]
pub struct CreateTopicInput {
    /// The brand it will belong to.
    pub brand_id: ID,
    /// A lower-case letter followed by at most 63 of a-z, 0-9, `_` and `-`.
    pub key: String,
    /// The name people see; at most 100 characters.
    pub name: String,
    /// What messages about it are for.
    #[graphql(default_with = "TopicPurpose::Marketing")]
    pub purpose: TopicPurpose,
    /// The same key with the same input has the same answer and no second effect.
    pub idempotency_key: Option<String>,
}

impl CreateTopicInput {
    pub fn command(&self) -> Result<CreateTopic> {
        let brand = parse_id(&self.brand_id, "brandId");
        let (key, name) = (TopicKey::parse("key", &self.key), DisplayName::parse("name", &self.name));
        match (brand, key, name) {
            (Ok(brand), Ok(key), Ok(name)) => Ok(CreateTopic { brand, key, name, purpose: self.purpose.into() }),
            (brand, key, name) => {
                Err(Error::Refused([brand.err(), key.err(), name.err()].into_iter().flatten().collect()))
            }
        }
    }
}

/// What proves that somebody agreed; kept under the person's own key.
#[derive(Debug, Clone, Default, InputObject)]
pub struct EvidenceInput {
    /// From where the person acted.
    pub ip: Option<String>,
    /// With which browser; at most 512 bytes.
    pub user_agent: Option<String>,
    /// On which page; at most 2,048 bytes.
    pub url: Option<String>,
    /// What they saw, ticked or wrote; at most 8,192 bytes.
    pub text: Option<String>,
}

impl EvidenceInput {
    pub fn parse(&self) -> Result<Option<Evidence>> {
        let (agent, url, text) = (self.user_agent.clone(), self.url.clone(), self.text.clone());
        Evidence::parse("evidence", self.ip.as_deref(), agent, url, text).map_err(Error::Refused)
    }
}

/// The words the person agreed to.
#[derive(Debug, Clone, Default, InputObject)]
pub struct WordingInput {
    /// Version of the form.
    pub form_version: Option<String>,
    /// Version of the privacy notice.
    pub notice_version: Option<String>,
    /// The words themselves; their SHA-256 is recorded.
    pub text: Option<String>,
    /// Their language, such as `de-AT`.
    pub locale: Option<String>,
}

/// Somebody agreed.
#[derive(Debug, Clone, InputObject)]
pub struct RecordOptInInput {
    /// Who.
    pub contact_id: ID,
    /// To what.
    pub topic_id: ID,
    /// On which ground.
    pub basis: ConsentBasis,
    /// When; now if not said. Not in the future.
    pub effective_at: Option<Instant>,
    /// Where the record comes from: `AGENT`, `API`, `IMPORT` or `PROVIDER`; the caller if not said.
    pub source: Option<ConsentSource>,
    /// The words the person saw.
    pub wording: Option<WordingInput>,
    /// What proves it.
    pub evidence: Option<EvidenceInput>,
    /// The same key with the same input has the same answer and no second effect.
    pub idempotency_key: Option<String>,
}

impl RecordOptInInput {
    pub fn command(&self) -> Result<domain::RecordOptIn> {
        let wording = self.wording.clone().unwrap_or_default();
        Ok(domain::RecordOptIn {
            contact: parse_id(&self.contact_id, "contactId")?,
            topic: parse_id(&self.topic_id, "topicId")?,
            basis: self.basis.into(),
            effective_at: self.effective_at.map(Instant::get),
            source: self.source.map(Into::into),
            wording: Wording::parse(
                "wording",
                wording.form_version,
                wording.notice_version,
                wording.text.as_deref(),
                wording.locale,
            )?,
            evidence: self.evidence.as_ref().map(EvidenceInput::parse).transpose()?.flatten(),
        })
    }
}

/// What somebody wants no more of.
#[derive(Debug, Clone, OneofObject)]
pub enum OptOutInput {
    /// This topic, and nothing else.
    TopicId(ID),
    /// All marketing of the topic's brand and every other: true.
    AllMarketing(bool),
}

/// Somebody wants no more: of a topic, or of all marketing.
#[derive(Debug, Clone, InputObject)]
pub struct RecordOptOutInput {
    /// Who.
    pub contact_id: ID,
    /// Of what.
    pub of: OptOutInput,
    /// The same key with the same input has the same answer and no second effect.
    pub idempotency_key: Option<String>,
}

impl RecordOptOutInput {
    pub fn command(&self) -> Result<domain::RecordOptOut> {
        let topic = match &self.of {
            OptOutInput::TopicId(topic) => Some(parse_id(topic, "of.topicId")?),
            OptOutInput::AllMarketing(true) => None,
            OptOutInput::AllMarketing(false) => {
                return Err(Refusal::new("NOTHING_TO_END", "of.allMarketing", "Give topicId, or true.").into());
            }
        };
        Ok(domain::RecordOptOut { contact: parse_id(&self.contact_id, "contactId")?, topic })
    }
}

/// An address that shall not be written to.
#[derive(Debug, Clone, InputObject)]
pub struct SuppressAddressInput {
    /// The address.
    pub email: String,
    /// How much is forbidden.
    pub scope: SuppressionScope,
    /// The topic, where the scope is one.
    pub topic_id: Option<ID>,
    /// `MANUAL`, `COMPLAINT` or `LEGAL`.
    pub reason: SuppressionReason,
    /// The same key with the same input has the same answer and no second effect.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

impl SuppressAddressInput {
    pub fn command(&self) -> Result<domain::SuppressAddress> {
        let scope = match (self.scope, &self.topic_id) {
            (SuppressionScope::All, None) => domain::SuppressionScope::All,
            (SuppressionScope::Marketing, None) => domain::SuppressionScope::Marketing,
            (SuppressionScope::Topic, Some(topic)) => domain::SuppressionScope::Topic(parse_id(topic, "topicId")?),
            _ => {
                let message = "A topicId goes with the scope TOPIC, and with no other.";
                return Err(Refusal::new("INVALID_SCOPE", "topicId", message).into());
            }
        };
        let email = EmailAddress::parse(self.email.trim()).map_err(Refusal::from)?;
        Ok(domain::SuppressAddress { email, scope, reason: self.reason.into() })
    }
}

/// A suppression that shall be lifted.
#[derive(Debug, Clone, InputObject)]
pub struct LiftSuppressionInput {
    /// Which one.
    pub id: ID,
    /// Why.
    pub reason: String,
    /// What proves that the address may be written to again.
    pub evidence: EvidenceInput,
    /// The same key with the same input has the same answer and no second effect.
    pub idempotency_key: Option<String>,
}

impl LiftSuppressionInput {
    pub fn command(&self) -> Result<domain::LiftSuppression> {
        let evidence = self.evidence.parse()?.unwrap_or_default();
        Ok(domain::LiftSuppression { id: parse_id(&self.id, "id")?, reason: self.reason.clone(), evidence })
    }
}
