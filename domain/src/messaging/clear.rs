//! The gate's transaction (L3): lock, read again, decide, record; only its commit gives permits.
//!
//! The recipients' rows are locked before anything about them is read, and an unsubscribe changes the same rows, so
//! either the unsubscribe is seen here or it waits until the decision is committed (C-175).

use std::collections::{HashMap, HashSet};

use carillon_entities::ids::{CampaignId, ContactId, DecisionId, EnrollmentId, MessageId, SenderId, TenantId};
use carillon_entities::wall::TenantTx;
use serde_json::{Value as Json, json};

use super::claim::{ClaimedMessage, HOLD, unique};
use super::cleared::{AttemptRef, Cleared};
use super::prepare::Draft;
use super::reply_class::Operator;
use super::tell::{Ended, tell_ends};
use super::{EmailMessage, Ending, Lane, MessageMove, MessageStatus, TrackingMode, store};
use crate::campaigns::campaigns_at_gate;
use crate::consent::{
    self, Channel, ConsentFacts, ConsentTopic, ContactFact, FactsRequest, GateFacts, Reason, SenderFact, TenantFact,
    TestSend, Verdict, WayFact,
};
use crate::contacts::EmailAddress;
use crate::error::Result;
use crate::ports::Ports;
use crate::tenancy::{Grant, SendMessages};
use crate::time::Timestamp;
use crate::workflows::ways_at_gate;

/// Puts a batch through the gate; returns the permits of those it let through.
///
/// Refused messages end, held ones are queued again, and messages whose claim was lost are left alone.
pub async fn clear(
    grant: &Grant<SendMessages>,
    ports: &Ports,
    worker: &str,
    drafts: Vec<Draft>,
) -> Result<Vec<Cleared<EmailMessage>>> {
    let testers = own_users(grant, ports, &drafts).await?;
    let mut tx = grant.begin().await?;
    let facts = if carillon_entities::seeded_bugs::on("gate_reads_before_locking") {
        let facts = Facts::load(&mut tx, ports, &drafts).await?;
        lock(&mut tx, &drafts).await?;
        facts
    } else {
        lock(&mut tx, &drafts).await?;
        Facts::load(&mut tx, ports, &drafts).await?
    };
    // Permits run from before the commit: time spent in it counts against them.
    let expires = crate::time::Monotonic(
        ports.clock.monotonic().0 + ports.settings.permit_life.num_microseconds().unwrap_or_default(),
    );
    let mut batch = Batch::default();
    for (place, draft) in drafts.into_iter().enumerate() {
        if facts.held.contains(&draft.claimed.id) {
            let gate_facts = facts.of(place, &draft, testers.contains(&draft.claimed.id));
            batch.decide(ports, &gate_facts, draft);
        }
    }
    batch.store(&mut tx, ports, worker, facts.now).await?;
    tx.commit().await?;
    batch.count(ports, grant.tenant());
    Ok(batch.going.into_iter().map(|(mail, attempt)| Cleared::new(mail, attempt, expires)).collect())
}

/// The test sends whose recipients are still verified users of the tenant's own (C-162).
async fn own_users(grant: &Grant<SendMessages>, ports: &Ports, drafts: &[Draft]) -> Result<HashSet<MessageId>> {
    let mut own = HashSet::new();
    for draft in drafts.iter().filter(|draft| draft.claimed.is_test) {
        if let Ok(mail) = &draft.mail
            && store::is_verified_member(ports, grant.tenant(), &mail.to).await?
        {
            own.insert(draft.claimed.id);
        }
    }
    Ok(own)
}

/// Locks the recipients' rows.
async fn lock(tx: &mut TenantTx, drafts: &[Draft]) -> Result<()> {
    consent::endpoints_lock_for_send(tx, drafts.iter().flat_map(|draft| draft.recipient.keys())).await?;
    Ok(())
}

/// Everything the gate looks at, read under the lock.
struct Facts {
    now: Timestamp,
    /// The messages that the claim still holds.
    held: HashSet<MessageId>,
    /// One for each draft, in their order.
    consent: Vec<ConsentFacts>,
    contacts: HashMap<ContactId, (ContactFact, Option<String>)>,
    verified_senders: HashSet<SenderId>,
    ways: HashMap<EnrollmentId, WayFact>,
    campaigns: HashMap<CampaignId, WayFact>,
    suspended: bool,
}

impl Facts {
    async fn load(tx: &mut TenantTx, ports: &Ports, drafts: &[Draft]) -> Result<Self> {
        let senders = unique(drafts.iter().map(|draft| draft.claimed.sender));
        let claims = drafts.iter().map(|draft| {
            let claimed = &draft.claimed;
            (claimed.id, claimed.fence, claimed.contact.as_ref().map(|contact| contact.id))
        });
        let rows = store::gate_facts(tx, claims, &senders).await?;
        let requests: Vec<FactsRequest> = drafts
            .iter()
            .map(|draft| FactsRequest {
                recipient: if carillon_entities::seeded_bugs::on("gate_forgets_retired_keys") {
                    consent::Recipient::of_hash(Channel::Email, draft.recipient.active())
                } else {
                    draft.recipient.clone()
                },
                topic: draft.claimed.topic.map(|topic| ConsentTopic {
                    brand: draft.claimed.brand,
                    topic,
                    all_marketing: rows.all_marketing.get(&draft.claimed.brand).copied(),
                }),
            })
            .collect();
        let contact = |(id, (state, email)): (_, (String, _))| {
            let fact = match state.as_str() {
                "active" => ContactFact::Active,
                "archived" => ContactFact::Archived,
                _ => ContactFact::Gone,
            };
            (id, (fact, email))
        };
        let ways = unique(drafts.iter().filter_map(|draft| draft.claimed.enrollment));
        let campaigns = unique(drafts.iter().filter_map(|draft| draft.claimed.campaign));
        Ok(Self {
            now: ports.now(),
            held: rows.held,
            ways: ways_at_gate(tx, ways).await?.into_iter().collect(),
            campaigns: campaigns_at_gate(tx, campaigns).await?,
            consent: consent::load_facts(tx, &requests).await?,
            contacts: rows.contacts.into_iter().map(contact).collect(),
            verified_senders: rows.senders.into_iter().filter(|sender| sender.1).map(|sender| sender.0).collect(),
            suspended: rows.tenant_suspended,
        })
    }

    /// The facts about one message, without personal data, as they are stored with the decision (C-158).
    fn of(&self, place: usize, draft: &Draft, to_own_verified_user: bool) -> GateFacts {
        let claimed = &draft.claimed;
        let consent = self.consent.get(place).cloned().unwrap_or_default();
        let (contact, address_is_current) = self.contact(claimed);
        GateFacts {
            now: self.now,
            expires_at: Some(claimed.expires_at),
            class: claimed.class,
            channel: Channel::Email,
            topic: claimed.topic,
            contact,
            // A way that is not there was somebody else's, or never was.
            way: claimed.enrollment.map(|way| self.ways.get(&way).copied().unwrap_or(WayFact::Over)),
            campaign: claimed.campaign.map(|id| self.campaigns.get(&id).copied().unwrap_or(WayFact::Over)),
            address_is_current: address_is_current && draft.recipient.bare().any(|hash| hash == claimed.address.hash),
            topic_consent: consent.topic_consent,
            all_marketing_consent: consent.all_marketing_consent,
            suppressions: consent.suppressions,
            hard_bounced: consent.hard_bounced,
            sender: SenderFact {
                verified: self.verified_senders.contains(&claimed.sender),
                can_sign: claimed.ready_sender.is_some(),
            },
            tenant: TenantFact { suspended: self.suspended, paused: false, quota_used_up: None },
            test: claimed.is_test.then_some(TestSend { to_own_verified_user }),
            sink_allowed: None,
        }
    }

    /// The contact as it is now, and whether its address is still the one that was claimed.
    fn contact(&self, claimed: &ClaimedMessage) -> (ContactFact, bool) {
        let Some(then) = &claimed.contact else { return (ContactFact::NotAContact, true) };
        let Some((fact, email)) = self.contacts.get(&then.id) else { return (ContactFact::Gone, false) };
        let norm = |text: &Option<String>| {
            let address = text.as_deref().and_then(|text| EmailAddress::parse(text).ok());
            address.map(|address| address.norm().to_owned())
        };
        (*fact, norm(email) == norm(&then.email))
    }
}

/// What the transaction writes.
#[derive(Default)]
struct Batch {
    decisions: Vec<store::NewDecision>,
    attempts: Vec<store::NewAttempt>,
    moves: Vec<store::Move>,
    going: Vec<(EmailMessage, AttemptRef)>,
    /// Whose mailboxes those are for (C-53).
    operators: Vec<Operator>,
    /// Those of them that tell less than was meant; it is believed of them later (C-79).
    stricter: Vec<(MessageId, i64, TrackingMode)>,
    /// What was decided, for the operator: in which lane, why, and what became of the message if it goes no further.
    told: Vec<(Lane, Verdict, Reason, Option<MessageStatus>)>,
}

impl Batch {
    fn decide(&mut self, ports: &Ports, gate_facts: &GateFacts, draft: Draft) {
        let decision = consent::decide(gate_facts);
        let claimed = draft.claimed;
        let number = claimed.attempts;
        let id: DecisionId = ports.new_id();
        self.decisions.push(store::NewDecision {
            id,
            message: claimed.id,
            attempt: number,
            verdict: decision.verdict.as_str(),
            reason: decision.reason.as_str().to_owned(),
            rules_version: consent::RULES_VERSION,
            facts: serde_json::to_value(gate_facts).unwrap_or(Json::Null),
            trace: json!(decision.trace),
        });
        let (to, reason, attempts) = match (decision.verdict, draft.mail) {
            (Verdict::Allow, Ok(mut mail)) => {
                // What is stored as the attempt's time, so that a later copy can repeat it.
                mail.date = claimed.first_cleared_at.unwrap_or(gate_facts.now);
                let fence = claimed.fence;
                self.attempts.push(store::NewAttempt { message: claimed.id, number, decision: id, fence });
                if draft.tracking < claimed.tracking {
                    self.stricter.push((claimed.id, fence, draft.tracking));
                }
                let lease_until = claimed.lease_until;
                self.operators.push(mail.mailbox());
                self.going.push((mail, AttemptRef { message: claimed.id, number, fence, lease_until }));
                (None, None, 0)
            }
            (Verdict::Allow, Err(code)) => (Some(MessageMove::End(Ending::Failed)), Some(code.to_owned()), 0),
            (Verdict::Deny, _) if decision.reason == Reason::Expired => {
                (Some(MessageMove::End(Ending::Expired)), Some(decision.reason.as_str().to_owned()), 0)
            }
            (Verdict::Deny, _) => {
                (Some(MessageMove::End(Ending::Refused)), Some(decision.reason.as_str().to_owned()), 0)
            }
            (Verdict::Hold, _) => {
                let due_at = decision.until.unwrap_or(gate_facts.now + HOLD);
                // Nothing was tried on the recipient.
                (Some(MessageMove::Requeue { due_at }), Some(decision.reason.as_str().to_owned()), -1)
            }
        };
        let status = to.map(MessageMove::status);
        self.told.push((claimed.class.lane(), decision.verdict, decision.reason, status));
        // What goes on stays claimed, and is not written.
        if let Some(to) = to {
            self.moves.push(store::Move { id: claimed.id, fence: claimed.fence, to, reason, attempts });
        }
    }

    /// Counts what was decided, once it is committed.
    fn count(&self, ports: &Ports, tenant: TenantId) {
        for (lane, verdict, reason, status) in &self.told {
            ports.metrics.decisions.one((*verdict,));
            if *verdict != Verdict::Allow {
                ports.metrics.refusals.one((*reason,));
            }
            if let Some(status) = status {
                ports.metrics.message(tenant, *lane, *status);
            }
        }
    }

    async fn store(&mut self, tx: &mut TenantTx, ports: &Ports, worker: &str, now: Timestamp) -> Result<()> {
        self.moves.sort_by_key(|step| step.id);
        // A claim lost since the look at it moves nothing here, and the start of its attempt will be refused.
        let moved = store::messages_move(tx, &self.moves, ports.settings.reconcile, now).await?;
        let moved: HashSet<MessageId> = moved.into_iter().collect();
        store::decisions_append(tx, std::mem::take(&mut self.decisions), now).await?;
        store::attempts_insert(tx, &self.attempts, worker, now).await?;
        store::messages_track(tx, std::mem::take(&mut self.stricter).into_iter()).await?;
        let moved = self.moves.iter().filter(|step| moved.contains(&step.id)).cloned();
        let ended: Vec<Ended> = moved.filter_map(store::Move::ended).collect();
        let event = |(id, ending, reason): &Ended| (*id, ending.status().as_str(), json!({ "reason": reason }));
        let events: Vec<store::MessageEvent> = ended.iter().map(event).collect();
        store::message_events_append(tx, ports, events, now).await?;
        tell_ends(tx, ports, ended).await?;
        // Last, for all gates of a tenant write the same few rows.
        consent::count_cleared(tx, &self.operators, now).await
    }
}
