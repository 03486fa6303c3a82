//! The one gate (L3, C-112, C-161): may this message go to this address now?
//!
//! [`decide`] is pure and total: the same facts give the same answer, live, in replay and for explain (C-158). Every rule
//! is looked at, in order; the first refusal decides, then the first hold, so a fact that adds a refusal can never turn
//! a refusal into a permission.

use carillon_entities::ids::ConsentEventId;
use serde::{Deserialize, Serialize};

use super::{
    Basis, ConsentStatus, ContactFact, GateFacts, Standing, SuppressionFact, SuppressionReason, SuppressionScope,
    WayFact,
};
use crate::messaging::MessageClass;
use crate::time::Timestamp;

/// Stored with each decision; raised when a rule changes, and [`replay`] keeps the older ones.
pub const RULES_VERSION: i32 = 3;
/// From here on what a suspended tenant sends waits; before it was refused.
const SUSPENDED_WAIT: i32 = 2;
/// From here on the gate asks how the campaign stands.
const CAMPAIGNS: i32 = 3;

text_code! {
    /// A rule of the gate, in the order they are looked at.
    pub enum Rule {
        /// The message is still worth sending.
        Expiry = "expiry",
        /// The tenant may send at all.
        Tenant = "tenant",
        /// Test sends go to verified users of the tenant only (C-162).
        TestSend = "test_send",
        /// Outside production only listed addresses are written to (C-194).
        Sink = "sink",
        /// The contact is there to be written to.
        Contact = "contact",
        /// The workflow that wants it has not let go of the person (C-184).
        Way = "way",
        /// The campaign that wants it is neither held nor over.
        Campaign = "campaign",
        /// The address is still the contact's.
        Address = "address",
        /// The address exists (C-50).
        Bounce = "bounce",
        /// The address belongs to the same person and its use is not restricted.
        Person = "person",
        /// Nothing forbids writing to the address (C-156).
        Suppression = "suppression",
        /// Marketing has a ground (C-112).
        Consent = "consent",
        /// The sender is verified and can sign (C-02).
        Sender = "sender",
        /// Sending is not paused.
        Pause = "pause",
        /// The quota has room.
        Quota = "quota",
    }
}

text_code! {
    /// What a rule found.
    pub enum Outcome {
        /// Nothing against it.
        Pass = "pass",
        /// The rule does not apply to this message.
        Skip = "skip",
        /// Not now.
        Hold = "hold",
        /// Not at all.
        Deny = "deny",
    }
}

text_code! {
    /// What the gate says.
    pub enum Verdict {
        /// It may go.
        Allow = "allow",
        /// It may not go, ever.
        Deny = "deny",
        /// It may not go now; ask again.
        Hold = "hold",
    }
}

text_code! {
    /// Why; the first thing in the way, or `clear`.
    pub enum Reason {
        /// Nothing in the way.
        Clear = "clear",
        /// `expires_at` has passed.
        Expired = "expired",
        /// The tenant or an account above it is suspended.
        TenantSuspended = "tenant_suspended",
        /// A test send to somebody who is not a verified user of the tenant.
        TestRecipientForeign = "test_recipient_foreign",
        /// Not on the list of sinks.
        SinkNotListed = "sink_not_listed",
        /// Marketing to somebody who is not a contact.
        NotAContact = "not_a_contact",
        /// The contact is archived.
        ContactArchived = "contact_archived",
        /// The contact is deleted.
        ContactGone = "contact_gone",
        /// The person's way on the workflow has ended: goal, exit, archive.
        WayOver = "way_over",
        /// The workflow, the person on it, or all workflows of the tenant are held.
        WayHeld = "way_held",
        /// The campaign was cancelled.
        CampaignOver = "campaign_over",
        /// The campaign is held.
        CampaignHeld = "campaign_held",
        /// The contact has another address now.
        AddressChanged = "address_changed",
        /// The address does not exist.
        HardBounced = "hard_bounced",
        /// The address belongs to somebody else now.
        Reassigned = "reassigned",
        /// Processing is restricted.
        Restricted = "restricted",
        /// Suppressed: the person unsubscribed.
        SuppressedUnsubscribe = "suppressed_unsubscribe",
        /// Suppressed: the person reported spam.
        SuppressedComplaint = "suppressed_complaint",
        /// Suppressed: the address does not exist.
        SuppressedHardBounce = "suppressed_hard_bounce",
        /// Suppressed: the mailbox could take no mail for a long time.
        SuppressedSoftBounce = "suppressed_soft_bounce",
        /// Suppressed: by the tenant.
        SuppressedManual = "suppressed_manual",
        /// Suppressed: by law.
        SuppressedLegal = "suppressed_legal",
        /// Marketing without a topic.
        NoTopic = "no_topic",
        /// Nobody agreed.
        NoConsent = "no_consent",
        /// Agreed, not yet confirmed (C-83).
        ConsentPending = "consent_pending",
        /// A grant whose ground carries no marketing (C-155).
        ConsentUnproven = "consent_unproven",
        /// Taken back.
        ConsentWithdrawn = "consent_withdrawn",
        /// Objected.
        ConsentObjected = "consent_objected",
        /// Ran out.
        ConsentExpired = "consent_expired",
        /// The sender is not verified.
        SenderUnverified = "sender_unverified",
        /// No key to sign with.
        SenderCannotSign = "sender_cannot_sign",
        /// Sending is paused.
        SendingPaused = "sending_paused",
        /// The daily quota is used up.
        QuotaUsedUp = "quota_used_up",
    }
}

text_code! {
    /// What would have to happen for the answer to change.
    pub enum Remedy {
        /// Nothing stands in the way.
        Nothing = "nothing",
        /// Nothing can be done about this message.
        Never = "never",
        /// Time passes.
        Wait = "wait",
        /// The person agrees, themselves (C-128).
        PersonAgrees = "person_agrees",
        /// Somebody records a consent with its ground.
        RecordConsent = "record_consent",
        /// The contact is restored.
        RestoreContact = "restore_contact",
        /// The contact gives another address, or an administrator lifts the suppression (C-235).
        AnotherAddress = "another_address",
        /// The message is given a topic.
        ChooseTopic = "choose_topic",
        /// The sender is verified and gets a key.
        SetUpSender = "set_up_sender",
        /// Sending is resumed, or the suspension lifted.
        ResumeSending = "resume_sending",
        /// The recipient becomes a verified user, or is put on the list of sinks.
        ChangeRecipient = "change_recipient",
    }
}

impl Reason {
    /// What would change the answer.
    pub const fn remedy(self) -> Remedy {
        match self {
            Self::Clear => Remedy::Nothing,
            Self::Expired
            | Self::ContactGone
            | Self::WayOver
            | Self::CampaignOver
            | Self::SuppressedComplaint
            | Self::SuppressedLegal => Remedy::Never,
            Self::QuotaUsedUp => Remedy::Wait,
            Self::Reassigned
            | Self::Restricted
            | Self::SuppressedUnsubscribe
            | Self::ConsentPending
            | Self::ConsentWithdrawn
            | Self::ConsentObjected => Remedy::PersonAgrees,
            Self::NoConsent | Self::ConsentUnproven | Self::ConsentExpired => Remedy::RecordConsent,
            Self::ContactArchived => Remedy::RestoreContact,
            Self::HardBounced
            | Self::SuppressedHardBounce
            | Self::SuppressedSoftBounce
            | Self::SuppressedManual
            | Self::AddressChanged => Remedy::AnotherAddress,
            Self::NoTopic => Remedy::ChooseTopic,
            Self::SenderUnverified | Self::SenderCannotSign => Remedy::SetUpSender,
            Self::TenantSuspended | Self::SendingPaused | Self::WayHeld | Self::CampaignHeld => Remedy::ResumeSending,
            Self::TestRecipientForeign | Self::SinkNotListed | Self::NotAContact => Remedy::ChangeRecipient,
        }
    }
}

/// What one rule found; as JSON `["consent","deny","no_consent"]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step(pub Rule, pub Outcome, pub Reason);

/// The answer, with everything each rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// What decided.
    pub reason: Reason,
    /// When to ask again, if that is known of a hold.
    pub until: Option<Timestamp>,
    /// The ledger entry that the permission (or the refusal for want of one) rests on.
    pub consent_event: Option<ConsentEventId>,
    /// The ground the permission rests on.
    pub basis: Option<Basis>,
    /// Every rule, in order.
    pub trace: Vec<Step>,
}

/// Decides by the current rules.
pub fn decide(facts: &GateFacts) -> Decision {
    decide_by(RULES_VERSION, facts)
}

fn decide_by(rules_version: i32, facts: &GateFacts) -> Decision {
    let standing = facts.topic_consent.standing_under(&facts.all_marketing_consent);
    let trace: Vec<Step> = Rule::ALL
        .iter()
        .filter(|rule| **rule != Rule::Campaign || rules_version >= CAMPAIGNS)
        .map(|rule| {
            let (outcome, reason) = match rule {
                Rule::Tenant if rules_version < SUSPENDED_WAIT => {
                    deny_if(facts.tenant.suspended, Reason::TenantSuspended)
                }
                rule => look(*rule, facts, &standing),
            };
            Step(*rule, outcome, reason)
        })
        .collect();
    let first = |outcome| trace.iter().find(|step| step.1 == outcome).map(|step| step.2);
    let (verdict, reason) = match (first(Outcome::Deny), first(Outcome::Hold)) {
        (Some(reason), _) => (Verdict::Deny, reason),
        (None, Some(reason)) => (Verdict::Hold, reason),
        (None, None) => (Verdict::Allow, Reason::Clear),
    };
    let until = facts.tenant.quota_used_up.filter(|_| reason == Reason::QuotaUsedUp).map(|quota| quota.resets_at);
    let marketing = facts.class == MessageClass::Marketing && facts.test.is_none();
    Decision {
        verdict,
        reason,
        until,
        consent_event: standing.event.filter(|_| marketing),
        basis: standing.basis.filter(|_| marketing),
        trace,
    }
}

/// Decides again from stored facts by the rules of then; none if version or facts are not ours.
pub fn replay(rules_version: i32, facts: &serde_json::Value) -> Option<Decision> {
    match rules_version {
        1..=RULES_VERSION => GateFacts::deserialize(facts).ok().map(|facts| decide_by(rules_version, &facts)),
        _ => None,
    }
}

type Finding = (Outcome, Reason);
const PASS: Finding = (Outcome::Pass, Reason::Clear);
const SKIP: Finding = (Outcome::Skip, Reason::Clear);

const fn deny(reason: Reason) -> Finding {
    (Outcome::Deny, reason)
}

fn deny_if(condition: bool, reason: Reason) -> Finding {
    if condition { deny(reason) } else { PASS }
}

fn hold_if(condition: bool, reason: Reason) -> Finding {
    if condition { (Outcome::Hold, reason) } else { PASS }
}

fn look(rule: Rule, facts: &GateFacts, standing: &Standing) -> Finding {
    match rule {
        Rule::Expiry => deny_if(facts.expires_at.is_some_and(|at| at <= facts.now), Reason::Expired),
        Rule::Tenant => hold_if(facts.tenant.suspended, Reason::TenantSuspended),
        Rule::TestSend => {
            facts.test.map_or(SKIP, |test| deny_if(!test.to_own_verified_user, Reason::TestRecipientForeign))
        }
        Rule::Sink => facts.sink_allowed.map_or(SKIP, |allowed| deny_if(!allowed, Reason::SinkNotListed)),
        Rule::Contact => contact(facts),
        Rule::Address => deny_if(!facts.address_is_current, Reason::AddressChanged),
        Rule::Bounce => deny_if(facts.hard_bounced, Reason::HardBounced),
        Rule::Person => match standing.status {
            ConsentStatus::Reassigned => deny(Reason::Reassigned),
            ConsentStatus::Restricted => deny(Reason::Restricted),
            _ => PASS,
        },
        Rule::Way => match facts.way {
            None => SKIP,
            Some(WayFact::Open) => PASS,
            Some(WayFact::Held) => (Outcome::Hold, Reason::WayHeld),
            Some(WayFact::Over) => deny(Reason::WayOver),
        },
        Rule::Campaign => match facts.campaign {
            None => SKIP,
            Some(WayFact::Open) => PASS,
            Some(WayFact::Held) => (Outcome::Hold, Reason::CampaignHeld),
            Some(WayFact::Over) => deny(Reason::CampaignOver),
        },
        Rule::Suppression => suppression(facts, standing),
        Rule::Consent => consent(facts, standing),
        Rule::Sender if !facts.sender.verified => (Outcome::Hold, Reason::SenderUnverified),
        Rule::Sender => hold_if(!facts.sender.can_sign, Reason::SenderCannotSign),
        Rule::Pause => hold_if(facts.tenant.paused, Reason::SendingPaused),
        Rule::Quota => hold_if(facts.tenant.quota_used_up.is_some(), Reason::QuotaUsedUp),
    }
}

fn contact(facts: &GateFacts) -> Finding {
    match facts.contact {
        ContactFact::Active => PASS,
        ContactFact::Archived => deny(Reason::ContactArchived),
        ContactFact::Gone => deny(Reason::ContactGone),
        // Users are written to as users: with service messages, and with tests of marketing (C-162).
        ContactFact::NotAContact => {
            deny_if(facts.class == MessageClass::Marketing && facts.test.is_none(), Reason::NotAContact)
        }
    }
}

/// The widest suppression that is in force decides.
fn suppression(facts: &GateFacts, standing: &Standing) -> Finding {
    let concerns = |suppression: &&SuppressionFact| match suppression.scope {
        SuppressionScope::All => true,
        SuppressionScope::Marketing => facts.class == MessageClass::Marketing,
        SuppressionScope::Topic(topic) => facts.class == MessageClass::Marketing && facts.topic == Some(topic),
    };
    let in_force = facts.suppressions.iter().filter(concerns).filter(|suppression| !lifted(suppression, standing));
    in_force.min_by_key(|suppression| (suppression.scope, suppression.reason)).map_or(PASS, |suppression| {
        deny(match suppression.reason {
            SuppressionReason::Unsubscribe => Reason::SuppressedUnsubscribe,
            SuppressionReason::Complaint => Reason::SuppressedComplaint,
            SuppressionReason::HardBounce => Reason::SuppressedHardBounce,
            SuppressionReason::SoftBounce => Reason::SuppressedSoftBounce,
            SuppressionReason::Manual => Reason::SuppressedManual,
            SuppressionReason::Legal => Reason::SuppressedLegal,
        })
    })
}

/// Only an unsubscribe is taken back, by a newer act of the person's own (C-128). No consent outweighs a complaint: what
/// looks like the person's act may be the tenant's word for it (C-60, C-235).
fn lifted(suppression: &SuppressionFact, standing: &Standing) -> bool {
    suppression.reason == SuppressionReason::Unsubscribe
        && suppression.scope != SuppressionScope::All
        && standing.proven_at.is_some_and(|agreed| agreed > suppression.since)
}

fn consent(facts: &GateFacts, standing: &Standing) -> Finding {
    if facts.class == MessageClass::Transactional || facts.test.is_some() {
        return SKIP;
    }
    if facts.topic.is_none() {
        return deny(Reason::NoTopic);
    }
    match standing.status {
        ConsentStatus::Granted => PASS,
        ConsentStatus::None => deny(Reason::NoConsent),
        ConsentStatus::Pending => deny(Reason::ConsentPending),
        ConsentStatus::Unproven => deny(Reason::ConsentUnproven),
        ConsentStatus::Withdrawn => deny(Reason::ConsentWithdrawn),
        ConsentStatus::Objected => deny(Reason::ConsentObjected),
        ConsentStatus::Expired => deny(Reason::ConsentExpired),
        ConsentStatus::Reassigned => deny(Reason::Reassigned),
        ConsentStatus::Restricted => deny(Reason::Restricted),
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
