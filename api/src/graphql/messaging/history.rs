//! A message's history: what became of its attempts, how it ended, and what was reported of it later.

use async_graphql::SimpleObject;
use carillon_domain::messaging::EventRecord;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// One entry of a message's history. Bounces and complaints have it, whenever they come; opens and clicks have counts of their
/// own.
#[derive(Debug, SimpleObject)]
pub struct MessageHistoryEntry {
    /// What happened; a stable code: the state of an attempt, how the message ended, `reconciled`, `unsubscribed`, `bounced`,
    /// `delayed`, `delivered`, `complained`, `not_spam` or `auto_reply`.
    kind: String,
    /// When it was written down.
    at: DateTime<Utc>,
    /// The attempt that it is about, from 1.
    attempt: Option<i32>,
    /// Class of the failure; a stable code, such as `recipient_permanent`.
    failure: Option<String>,
    /// The rule that decided.
    rule: Option<String>,
    /// The version of the rules that had it.
    rules_version: Option<i32>,
    /// The server's reply code.
    smtp_code: Option<i32>,
    /// The server's enhanced status code, such as 5.1.1.
    enhanced_code: Option<String>,
    /// What the server said, without addresses.
    diagnostic: Option<String>,
}

impl From<EventRecord> for MessageHistoryEntry {
    fn from(event: EventRecord) -> Self {
        let text = |field: &str| event.detail.get(field).and_then(Value::as_str).map(str::to_owned);
        let number = |field: &str| event.detail.get(field).and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
        Self {
            attempt: number("attempt"),
            failure: text("class"),
            rule: text("rule"),
            rules_version: number("rules"),
            smtp_code: number("code"),
            enhanced_code: text("enhanced"),
            diagnostic: text("text"),
            kind: event.kind,
            at: event.at,
        }
    }
}
