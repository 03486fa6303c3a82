//! A campaign, its parts, and the people it goes to, as the rest of the house sees them.

use std::collections::BTreeMap;

use carillon_entities::ids::{
    CampaignId, ContactId, ListId, MessageId, SenderId, TemplateId, TemplateVersionId, TopicId,
};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::CampaignState;
use crate::segments::Condition;
use crate::time::Timestamp;

/// A campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// Unique in the tenant.
    pub name: String,
    /// Where it stands.
    pub state: CampaignState,
    /// Counts changes; a change must name the one it saw.
    pub version: i64,
    /// To whom.
    pub audience: Audience,
    /// Who sends.
    pub sender: SenderId,
    /// About what.
    pub topic: TopicId,
    /// What is sent, one or several.
    pub variants: Vec<CampaignVariant>,
    /// The share of the audience that the variants are tried on; the rest waits for the one that is chosen. None has
    /// everybody get a variant at once.
    pub sample_bp: Option<u32>,
    /// When.
    pub schedule: Schedule,
    /// How many in an hour at most.
    pub per_hour: Option<u32>,
    /// The versions that are sent, by variant and locale, as they were published when it was started.
    pub contents: Contents,
    /// The variant that the rest gets.
    pub chosen_variant: Option<String>,
    /// How many people it goes to, once that is known.
    pub recipients: Option<i64>,
    /// Who made it.
    pub created_by: Option<Uuid>,
    /// Who started it.
    pub started_by: Option<Uuid>,
    /// Who approved it.
    pub approved_by: Option<Uuid>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it was approved.
    pub approved_at: Option<Timestamp>,
    /// When its audience was known in full.
    pub frozen_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// The versions that are sent, by variant and locale.
pub type Contents = BTreeMap<String, BTreeMap<String, TemplateVersionId>>;

/// Whom a campaign goes to: who is on any of the lists, if there are some, the condition holds for, if there is one, and who is
/// on none of those that are excluded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Audience {
    /// What must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Lists, one of which they must be on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListId>,
    /// Lists that they must not be on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<ListId>,
}

impl Audience {
    /// Every list that it names.
    pub fn all_lists(&self) -> impl Iterator<Item = ListId> + '_ {
        self.lists.iter().chain(&self.excluded).copied()
    }
}

/// Something that is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignVariant {
    /// Its name, unique in the campaign.
    pub label: String,
    /// The template, which has subject and content.
    pub template: TemplateId,
    /// Its share of those whom variants are given to, in basis points.
    pub weight_bp: u32,
}

/// When a campaign goes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Schedule {
    /// As soon as it is started.
    Now,
    /// At an instant.
    At {
        /// Which.
        at: Timestamp,
    },
    /// On a day at a time of day, in each person's own zone; where that is not known, in the tenant's.
    LocalTime {
        /// The day.
        day: NaiveDate,
        /// The time, as `09:30`.
        time: String,
    },
}

/// Where the engine is with a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignRun {
    /// Which.
    pub campaign: CampaignId,
    /// When it is looked at next.
    pub due_at: Option<Timestamp>,
    /// The instant that its audience is of.
    pub as_of: Option<Timestamp>,
    /// The last contact that the freeze has looked at.
    pub reached: Option<ContactId>,
    /// When the next may leave, where there are so many in an hour.
    pub next_slot_at: Option<Timestamp>,
}

text_code! {
    /// What became of somebody whom a campaign goes to.
    pub enum RecipientOutcome {
        /// It is not their turn yet.
        Waiting = "waiting",
        /// They get the variant that is chosen after the sample.
        Resting = "resting",
        /// A message is queued or on its way.
        Queued = "queued",
        /// A server took it.
        Sent = "sent",
        /// It may not go to them; the reason says why.
        Refused = "refused",
        /// The mailbox does not exist.
        Bounced = "bounced",
        /// It failed for another reason than theirs.
        Failed = "failed",
        /// It was stale before it could leave.
        Expired = "expired",
        /// It was taken back.
        Cancelled = "cancelled",
        /// Nobody knows (C-168).
        Unknown = "unknown",
    }
}

/// Somebody whom a campaign goes to, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignRecipient {
    /// Who.
    pub contact: ContactId,
    /// What became of it.
    pub outcome: RecipientOutcome,
    /// Why, where it needs one; a stable code.
    pub reason: Option<String>,
    /// The variant they were given.
    pub variant: Option<String>,
    /// Not before this it is their turn.
    pub release_at: Timestamp,
    /// Their message.
    pub message: Option<MessageId>,
}

/// A static list of contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactList {
    /// Its id.
    pub id: ListId,
    /// Unique in the tenant.
    pub name: String,
    /// Counts changes of the list itself, not of who is on it.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Which campaigns of a tenant wait for an approval (C-202).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CampaignRules {
    /// Those that go to more people than this; none waits without.
    pub approve_above: Option<i64>,
    /// Whoever made or started a campaign may not approve it.
    pub four_eyes: bool,
}

/// A campaign to more people than this is a large one, where a tenant has no rules of its own.
pub const LARGE: i64 = 50_000;
