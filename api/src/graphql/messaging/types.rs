//! What the API shows of messaging. Addresses of recipients are in none of these types.

use async_graphql::{Context, Enum, ID, Json, Object, Result, SimpleObject};
use carillon_domain::ids::{MessageId, TenantId};
use carillon_domain::keys::HitKind;
use carillon_domain::messaging::{self, AttemptStatus, MessageStatus};
use carillon_domain::tenancy::ReadMessages;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::content_types::{Sender, TemplateVersion};
use super::history::MessageHistoryEntry;
use super::loaders::{AttemptsOf, DecisionsOf, EventsOf, StatsOf};
use super::tracking::{Hits, HitsOf, TrackingMode};
use crate::graphql::consent::{Brand, Topic};
use crate::graphql::contacts::Contact;
use crate::graphql::loader;
use crate::graphql::node::named;
use crate::graphql::scope::RequestScope;
use crate::graphql::time::Instant;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::messaging::MessageClass")]
pub enum MessageClass {
    /// Asked for by what the person just did: an order, a password reset.
    Transactional,
    /// Everything else; needs consent and carries the way out.
    Marketing,
}

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::messaging::MessageStatus")]
pub enum MessageState {
    /// Waits for its time.
    Queued,
    /// On its way.
    Claimed,
    /// A server took it.
    Sent,
    /// Over, and not the recipient's fault.
    Failed,
    /// Over, the mailbox does not exist.
    Bounced,
    /// Consent, a suppression or another rule forbade it.
    Refused,
    /// Stale before it could go out.
    Expired,
    /// Taken back.
    Cancelled,
    /// Handed over, and nobody knows whether it arrived.
    Unknown,
}

/// The state of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::messaging::AttemptStatus")]
pub enum AttemptState {
    /// Allowed, nothing has happened yet.
    Cleared,
    /// The permission ran out before anything happened.
    Lapsed,
    /// Being handed over.
    Started,
    /// A server took it.
    Accepted,
    /// A server said later.
    Deferred,
    /// A server said no.
    Rejected,
    /// Nothing reached a server.
    NotHandedOver,
    /// Nobody knows.
    Unknown,
}

/// One intended mail to one person.
#[derive(Debug)]
pub struct Message(pub messaging::Message);

impl Message {
    /// The message with this id.
    pub async fn find(ctx: &Context<'_>, id: MessageId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }

    async fn hits(&self, ctx: &Context<'_>, kind: HitKind) -> Result<Hits> {
        let counts = loader::of(ctx).load_one(HitsOf(self.0.id, kind)).await?;
        Ok(counts.unwrap_or_default().into())
    }
}

/// A mail to one recipient, from the intent to its end.
#[Object]
impl Message {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Its state.
    async fn state(&self) -> MessageState {
        self.0.status.into()
    }

    /// Why it ended so, or why it waits; a stable code.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// What it is for.
    async fn class(&self) -> MessageClass {
        self.0.class.into()
    }

    /// Its contact; null for mail to a plain address.
    async fn contact(&self, ctx: &Context<'_>) -> Result<Option<Contact>> {
        named(self.0.contact, |id| Contact::find(ctx, id)).await
    }

    /// Its contact's id, without looking it up.
    async fn contact_id(&self) -> Option<ID> {
        self.0.contact.map(ID::from)
    }

    /// Its topic; null for transactional mail.
    async fn topic(&self, ctx: &Context<'_>) -> Result<Option<Topic>> {
        named(self.0.topic, |id| Topic::find(ctx, id)).await
    }

    /// Its brand.
    async fn brand(&self, ctx: &Context<'_>) -> Result<Option<Brand>> {
        Brand::find(ctx, self.0.brand).await
    }

    /// Who sends it.
    async fn sender(&self, ctx: &Context<'_>) -> Result<Option<Sender>> {
        Sender::find(ctx, self.0.sender).await
    }

    /// What is sent.
    async fn template_version(&self, ctx: &Context<'_>) -> Result<Option<TemplateVersion>> {
        TemplateVersion::find(ctx, self.0.template_version).await
    }

    /// Its Message-ID, the same for every attempt.
    async fn internet_message_id(&self) -> &str {
        &self.0.internet_message_id
    }

    /// True for a test send.
    async fn is_test(&self) -> bool {
        self.0.is_test
    }

    /// How it is tracked.
    async fn tracking(&self) -> TrackingMode {
        self.0.tracking.into()
    }

    /// How often it was opened; nothing unless it is tracked individually.
    async fn opens(&self, ctx: &Context<'_>) -> Result<Hits> {
        self.hits(ctx, HitKind::Open).await
    }

    /// How often links in it were followed; nothing unless it is tracked individually.
    async fn clicks(&self, ctx: &Context<'_>) -> Result<Hits> {
        self.hits(ctx, HitKind::Click).await
    }

    /// When it was accepted.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it is due, or was.
    async fn due_at(&self) -> DateTime<Utc> {
        self.0.due_at
    }

    /// When its content is stale.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.0.expires_at
    }

    /// When it ended.
    async fn settled_at(&self) -> Option<DateTime<Utc>> {
        self.0.settled_at
    }

    /// Its attempts, oldest first.
    async fn attempts(&self, ctx: &Context<'_>) -> Result<Vec<Attempt>> {
        let attempts = loader::of(ctx).load_one(AttemptsOf(self.0.id)).await?;
        Ok(attempts.unwrap_or_default().into_iter().map(Attempt::from).collect())
    }

    /// What happened to it, oldest first, at most 100 entries; bounces and complaints come days later, too.
    async fn history(&self, ctx: &Context<'_>) -> Result<Vec<MessageHistoryEntry>> {
        let events = loader::of(ctx).load_one(EventsOf(self.0.id)).await?;
        Ok(events.unwrap_or_default().into_iter().map(MessageHistoryEntry::from).collect())
    }

    /// Whether it might be sent, as decided before each attempt, oldest first. Needs the right to see consent.
    async fn decisions(&self, ctx: &Context<'_>) -> Option<Result<Vec<GateDecision>>> {
        let found = loader::of(ctx).load_one(DecisionsOf(self.0.id)).await;
        let shown = |found: Vec<_>| found.into_iter().map(GateDecision::from).collect();
        Some(found.map(|found| shown(found.unwrap_or_default())).map_err(Into::into))
    }
}

/// One attempt to hand a message over.
#[derive(Debug, SimpleObject)]
pub struct Attempt {
    /// From 1.
    number: i32,
    /// Its state.
    state: AttemptState,
    /// When it was allowed.
    cleared_at: DateTime<Utc>,
    /// When its hand-over began.
    started_at: Option<DateTime<Utc>>,
    /// When its outcome was known.
    settled_at: Option<DateTime<Utc>>,
    /// The server's reply code.
    smtp_code: Option<i32>,
    /// The server's enhanced status code, such as 5.1.1.
    enhanced_code: Option<String>,
    /// Class of the failure; a stable code.
    failure: Option<String>,
    /// The rule that judged the outcome.
    rule: Option<String>,
}

impl From<messaging::Attempt> for Attempt {
    fn from(attempt: messaging::Attempt) -> Self {
        let state = |status: AttemptStatus| status.into();
        Self {
            number: attempt.number,
            state: state(attempt.status),
            cleared_at: attempt.cleared_at,
            started_at: attempt.started_at,
            settled_at: attempt.settled_at,
            smtp_code: attempt.smtp_code,
            enhanced_code: attempt.enhanced_code,
            failure: attempt.class,
            rule: attempt.rule,
        }
    }
}

/// A decision whether a message might be sent, with what it was decided from.
#[derive(Debug, SimpleObject)]
pub struct GateDecision {
    /// Its id.
    id: ID,
    /// For which attempt, from 1.
    attempt: i32,
    /// allow, deny or hold.
    verdict: String,
    /// What decided; a stable code.
    reason: String,
    /// What would have to happen for the answer to change; a stable code, such as `person_agrees`.
    remedy: Option<String>,
    /// Version of the rules.
    rules_version: i32,
    /// When it was decided.
    at: DateTime<Utc>,
    /// What each rule found, in order.
    trace: Json<Value>,
    /// The facts it was decided from, without personal data.
    facts: Json<Value>,
}

impl From<messaging::DecisionRecord> for GateDecision {
    fn from(decision: messaging::DecisionRecord) -> Self {
        Self {
            id: decision.id.into(),
            attempt: decision.attempt,
            remedy: decision.remedy().map(|remedy| remedy.as_str().to_owned()),
            verdict: decision.verdict,
            reason: decision.reason,
            rules_version: decision.rules_version,
            at: decision.at,
            trace: Json(decision.trace),
            facts: Json(decision.facts),
        }
    }
}

/// Messages in one state.
#[derive(Debug, SimpleObject)]
pub struct StateCount {
    /// The state.
    state: MessageState,
    /// How many.
    messages: i64,
}

/// Refused messages of one reason.
#[derive(Debug, SimpleObject)]
pub struct ReasonCount {
    /// The reason; a stable code.
    reason: String,
    /// How many.
    messages: i64,
}

/// Counts of messages.
#[derive(Debug, Default, SimpleObject)]
pub struct MessageStats {
    /// All of them.
    total: i64,
    /// How many needed more than one attempt.
    retried: i64,
    /// By state; states without a message are left out.
    by_state: Vec<StateCount>,
    /// Refused messages by reason.
    refused: Vec<ReasonCount>,
}

impl MessageStats {
    /// The counts of a tenant: the caller's own, or one that they reach from outside.
    pub async fn of(ctx: &Context<'_>, tenant: TenantId, since: Option<Instant>) -> Result<Self> {
        /// Counts go back this far unless asked otherwise.
        const SINCE: TimeDelta = TimeDelta::days(30);
        let scope = RequestScope::of(ctx);
        let since = since.map_or_else(|| scope.ports().now() - SINCE, Instant::get);
        if scope.tenant().is_ok_and(|inside| inside.tenant() == tenant) {
            let (grant, mut tx) = scope.read::<ReadMessages>().await?;
            return Ok(messaging::stats(&grant, &mut tx, since).await?.into_iter().collect());
        }
        let found = loader::of(ctx).load_one(StatsOf(tenant, since)).await?;
        Ok(found.unwrap_or_else(|| Ok(Vec::new()))?.into_iter().collect())
    }
}

impl FromIterator<messaging::StatRow> for MessageStats {
    fn from_iter<I: IntoIterator<Item = messaging::StatRow>>(rows: I) -> Self {
        let mut stats = Self::default();
        for row in rows {
            stats.total += row.messages;
            stats.retried += row.retried;
            let wanted = row.status.into();
            match stats.by_state.iter_mut().find(|count| count.state == wanted) {
                Some(count) => count.messages += row.messages,
                None => stats.by_state.push(StateCount { state: wanted, messages: row.messages }),
            }
            if row.status == MessageStatus::Refused {
                stats.refused.push(ReasonCount { reason: row.reason, messages: row.messages });
            }
        }
        stats
    }
}
