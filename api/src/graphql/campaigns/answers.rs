//! Numbers of campaigns, and what became of each recipient, as the API shows them.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use carillon_domain::campaigns::{self as domain, RecipientOutcome as Outcome};
use chrono::{DateTime, Utc};

use crate::graphql::contacts::Contact;
use crate::graphql::messaging::types::Message;
use crate::graphql::workflows::Proportion;

/// What became of somebody whom a campaign goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::campaigns::RecipientOutcome")]
pub enum CampaignRecipientOutcome {
    /// It is not their turn yet.
    Waiting,
    /// They get the variant that is chosen after the sample.
    Resting,
    /// A message is queued or on its way.
    Queued,
    /// A server took it.
    Sent,
    /// It may not go to them; the reason says why.
    Refused,
    /// The mailbox does not exist.
    Bounced,
    /// It failed for another reason than theirs.
    Failed,
    /// It was stale before it could leave.
    Expired,
    /// It was taken back.
    Cancelled,
    /// Nobody knows what became of it; it is not sent again.
    Unknown,
}

/// People of a campaign who were refused, for one reason.
#[derive(Debug, SimpleObject)]
pub struct CampaignReasonCount {
    /// The reason; a stable code, of the gate in lower case.
    reason: String,
    /// How many.
    count: i64,
}

/// How many people of a campaign came to what; each is counted once.
#[derive(Debug, SimpleObject)]
pub struct CampaignCounts {
    /// All who are written down: the sum of what follows.
    recipients: i64,
    /// Whose turn has not come.
    waiting: i64,
    /// Who get the variant that is chosen after the sample.
    resting: i64,
    /// Whose message is queued or on its way.
    queued: i64,
    /// Whose message a server took.
    sent: i64,
    /// To whom it may not go.
    refused: i64,
    /// Whose mailbox does not exist.
    bounced: i64,
    /// Whose message failed for another reason than theirs.
    failed: i64,
    /// Whose message was stale before it could leave.
    expired: i64,
    /// Whose message was taken back.
    cancelled: i64,
    /// Of whose message nobody knows.
    unknown: i64,
    /// Why those who were refused were.
    refused_by_reason: Vec<CampaignReasonCount>,
    /// Who opened it, of those whose mail was sent and is tracked individually; opens of machines do not count.
    opened: Proportion,
    /// Who clicked in it, of the same.
    clicked: Proportion,
}

impl From<domain::VariantCounts> for CampaignCounts {
    fn from(counts: domain::VariantCounts) -> Self {
        let of = |outcome| counts.of(outcome);
        let by_reason = counts.refused.iter();
        Self {
            recipients: counts.recipients(),
            waiting: of(Outcome::Waiting),
            resting: of(Outcome::Resting),
            queued: of(Outcome::Queued),
            sent: of(Outcome::Sent),
            refused: of(Outcome::Refused),
            bounced: of(Outcome::Bounced),
            failed: of(Outcome::Failed),
            expired: of(Outcome::Expired),
            cancelled: of(Outcome::Cancelled),
            unknown: of(Outcome::Unknown),
            refused_by_reason: by_reason
                .map(|(reason, count)| CampaignReasonCount { reason: reason.clone(), count: *count })
                .collect(),
            opened: counts.opened().into(),
            clicked: counts.clicked().into(),
        }
    }
}

/// The numbers of a campaign's variant.
#[derive(Debug, SimpleObject)]
pub struct CampaignVariantCounts {
    /// The variant; null for those who wait for the one that is chosen.
    label: Option<String>,
    /// How many came to what.
    counts: CampaignCounts,
}

impl From<domain::VariantCounts> for CampaignVariantCounts {
    fn from(counts: domain::VariantCounts) -> Self {
        Self { label: counts.variant.clone(), counts: counts.into() }
    }
}

/// Somebody whom a campaign goes to.
#[derive(Debug)]
pub struct CampaignRecipient(pub domain::CampaignRecipient);

/// Somebody whom a campaign goes to, and what became of it.
#[Object]
impl CampaignRecipient {
    /// Who. Needs the right to see contacts.
    async fn contact(&self, ctx: &Context<'_>) -> Option<Result<Contact>> {
        Box::pin(Contact::find(ctx, self.0.contact)).await.transpose()
    }

    /// The contact's id, without looking it up.
    async fn contact_id(&self) -> ID {
        self.0.contact.into()
    }

    /// What became of it.
    async fn outcome(&self) -> CampaignRecipientOutcome {
        self.0.outcome.into()
    }

    /// Why, where it needs one; a stable code, of the gate in lower case.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The variant they were given; null for those who wait for a choice.
    async fn variant(&self) -> Option<&str> {
        self.0.variant.as_deref()
    }

    /// Not before this it is their turn.
    async fn release_at(&self) -> DateTime<Utc> {
        self.0.release_at
    }

    /// Their message, with its attempts and the gate's decisions; null before their turn. Needs the right to see messages.
    async fn message(&self, ctx: &Context<'_>) -> Option<Result<Message>> {
        match self.0.message {
            Some(id) => Box::pin(Message::find(ctx, id)).await.transpose(),
            None => None,
        }
    }
}
