//! What people may see of messages: states, attempts, decisions with their facts, and counts.

use std::collections::HashMap;

use carillon_entities::ids::{BrandId, ContactId, DecisionId, MessageId, SenderId, TemplateVersionId, TopicId};
use carillon_entities::wall::TenantTx;
use serde_json::Value as Json;

use super::state::AttemptStatus;
use super::{MessageClass, MessageStatus, TrackingMode, store};
use crate::consent;
use crate::error::Result;
use crate::paging::{Ahead, Page, Paged};
use crate::tenancy::{Grant, ReadConsent, ReadMessages};
use crate::time::Timestamp;

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its state.
    pub status: MessageStatus,
    /// Why it ended so, or why it waits.
    pub reason: Option<String>,
    /// Its class.
    pub class: MessageClass,
    /// Its contact; none for mail to a plain address.
    pub contact: Option<ContactId>,
    /// Its brand.
    pub brand: BrandId,
    /// Its topic.
    pub topic: Option<TopicId>,
    /// Its content.
    pub template_version: TemplateVersionId,
    /// Its sender.
    pub sender: SenderId,
    /// Its Message-ID, the same for every attempt.
    pub internet_message_id: String,
    /// How many attempts passed the gate.
    pub attempts: i32,
    /// A test send.
    pub is_test: bool,
    /// How it is tracked.
    pub tracking: TrackingMode,
    /// When it is (or was) due.
    pub due_at: Timestamp,
    /// When its content is stale.
    pub expires_at: Timestamp,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it ended.
    pub settled_at: Option<Timestamp>,
}

/// One attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// From 1.
    pub number: i32,
    /// Its state.
    pub status: AttemptStatus,
    /// When the gate let it through.
    pub cleared_at: Timestamp,
    /// When it was committed for hand-over.
    pub started_at: Option<Timestamp>,
    /// When its outcome was known.
    pub settled_at: Option<Timestamp>,
    /// Basic reply code.
    pub smtp_code: Option<i32>,
    /// Enhanced status code.
    pub enhanced_code: Option<String>,
    /// Failure class.
    pub class: Option<String>,
    /// The rule that judged the reply.
    pub rule: Option<String>,
}

/// A decision of the gate.
#[derive(Debug, Clone)]
pub struct DecisionRecord {
    /// Its id.
    pub id: DecisionId,
    /// For which attempt.
    pub attempt: i32,
    /// allow, deny or hold.
    pub verdict: String,
    /// What decided.
    pub reason: String,
    /// By which rules.
    pub rules_version: i32,
    /// What the gate looked at.
    pub facts: Json,
    /// What each rule found, in order.
    pub trace: Json,
    /// When.
    pub at: Timestamp,
}

/// Entries of a message's history that are shown.
pub const EVENTS_MAX: usize = 100;

/// One entry of a message's history.
#[derive(Debug, Clone)]
pub struct EventRecord {
    /// What happened: the state of an attempt, how the message ended, or what was reported of it.
    pub kind: String,
    /// What is known about it, without addresses.
    pub detail: Json,
    /// When it was written down.
    pub at: Timestamp,
}

impl DecisionRecord {
    /// What would change the answer; none for a reason that this build does not know.
    pub fn remedy(&self) -> Option<consent::Remedy> {
        self.reason.parse().ok().map(consent::Reason::remedy)
    }
}

/// Which messages are wanted.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// In this state.
    pub state: Option<MessageStatus>,
    /// To this contact.
    pub contact: Option<ContactId>,
    /// Accepted at or after this instant.
    pub since: Option<Timestamp>,
}

/// Messages in one state for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatRow {
    /// The state.
    pub status: MessageStatus,
    /// The reason; empty for none.
    pub reason: String,
    /// How many.
    pub messages: i64,
    /// How many of them needed more than one attempt.
    pub retried: i64,
}

/// Messages by id, in no order; unknown ids are left out.
pub async fn find_messages(
    _: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = MessageId>,
) -> Result<Vec<Message>> {
    store::messages_find(tx, ids).await
}

/// A page of messages, oldest first.
pub async fn messages(
    _: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    filter: &MessageFilter,
    page: &Page<MessageId>,
) -> Result<Paged<Message>> {
    store::messages_page(tx, filter, page).await
}

/// A page of each contact's messages, oldest first, in one statement for all of them; contacts without any are left out.
pub async fn messages_of(
    _: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    contacts: &[ContactId],
    page: Ahead<MessageId>,
) -> Result<HashMap<ContactId, Paged<Message>>> {
    store::messages_of(tx, contacts, page).await
}

/// The attempts of messages, in one statement for all of them.
pub async fn attempts(
    _: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    messages: impl IntoIterator<Item = MessageId>,
) -> Result<Vec<(MessageId, Attempt)>> {
    store::attempts_of(tx, messages).await
}

/// The gate's decisions on messages, oldest first, in one statement for all of them.
pub async fn decisions(
    _: &Grant<ReadConsent>,
    tx: &mut TenantTx,
    messages: impl IntoIterator<Item = MessageId>,
) -> Result<Vec<(MessageId, DecisionRecord)>> {
    store::decisions_of(tx, messages).await
}

/// The histories of messages, oldest first, [`EVENTS_MAX`] entries of each without opens and clicks, in one statement for all.
pub async fn events(
    _: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    messages: impl IntoIterator<Item = MessageId>,
) -> Result<Vec<(MessageId, EventRecord)>> {
    store::events_of(tx, messages).await
}

/// Counts by state and reason since an instant.
pub async fn stats(_: &Grant<ReadMessages>, tx: &mut TenantTx, since: Timestamp) -> Result<Vec<StatRow>> {
    store::message_stats(tx, since).await
}
