//! What the gate looks at: loaded by the caller under the recipient's lock, stored with the decision (C-158).

use carillon_entities::ids::TopicId;
use serde::{Deserialize, Serialize};

use super::{Channel, ConsentState, SuppressionReason, SuppressionScope};
use crate::messaging::MessageClass;
use crate::time::Timestamp;

/// Everything a decision rests on, without personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateFacts {
    /// When the gate decides.
    pub now: Timestamp,
    /// After this the message is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What the message is for.
    pub class: MessageClass,
    /// How it travels.
    pub channel: Channel,
    /// What it is about; marketing always has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicId>,
    /// The contact it is meant for.
    pub contact: ContactFact,
    /// True when the contact's address is still the one the message was meant for.
    pub address_is_current: bool,
    /// Set when it comes from a workflow: how the person's way through it stands (C-184).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<WayFact>,
    /// Set when it comes from a campaign: how that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<WayFact>,
    /// What is known about this topic.
    #[serde(default)]
    pub topic_consent: ConsentState,
    /// What is known about all marketing of the brand.
    #[serde(default)]
    pub all_marketing_consent: ConsentState,
    /// Every suppression of the address on the channel, under any live key (C-157).
    #[serde(default)]
    pub suppressions: Vec<SuppressionFact>,
    /// True when the address is known not to exist.
    pub hard_bounced: bool,
    /// Who sends.
    pub sender: SenderFact,
    /// The tenant the message belongs to.
    pub tenant: TenantFact,
    /// Set when this is a test send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestSend>,
    /// Set where only listed addresses may be written to (C-194): true when this one is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink_allowed: Option<bool>,
}

text_code! {
    /// The contact a message is meant for.
    pub enum ContactFact {
        /// Not a contact: mail of Carillon to its own users.
        NotAContact = "not_a_contact",
        /// A living contact.
        Active = "active",
        /// Archived: kept, never written to.
        Archived = "archived",
        /// Deleted or erased.
        Gone = "gone",
    }
}

text_code! {
    /// The way on a workflow, or the campaign, that a message comes from.
    pub enum WayFact {
        /// Under way, or came to its end in order.
        Open = "open",
        /// Held.
        Held = "held",
        /// The goal was met, or something else ended it.
        Over = "over",
    }
}

/// A suppression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionFact {
    /// What it forbids.
    pub scope: SuppressionScope,
    /// Why.
    pub reason: SuppressionReason,
    /// Since when.
    pub since: Timestamp,
}

/// The sender of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderFact {
    /// The identity has been verified.
    pub verified: bool,
    /// There is a key to sign for the From domain (C-02).
    pub can_sign: bool,
}

/// The tenant of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantFact {
    /// The tenant or an account above it is suspended.
    pub suspended: bool,
    /// Sending is paused.
    pub paused: bool,
    /// The daily quota, when it is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_used_up: Option<QuotaFact>,
}

/// A used-up quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaFact {
    /// When there is room again.
    pub resets_at: Timestamp,
}

/// A test send (C-162).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSend {
    /// The recipient is a user of the tenant whose address is verified.
    pub to_own_verified_user: bool,
}
