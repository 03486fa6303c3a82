//! What an entry of a message's history is to who listens: its outcome, no address and no text of a server.

use carillon_entities::ids::{MessageEventId, MessageId};
use serde_json::Value as Json;

use crate::keys::FeedCursor;
use crate::messaging::store::PlacedEvent;
use crate::messaging::{HitClass, MessageStatus};
use crate::time::Timestamp;

text_code! {
    /// What happened to a message.
    pub enum FeedKind {
        /// A server took it.
        Accepted = "accepted",
        /// It was put off and will be tried again.
        Deferred = "deferred",
        /// The mailbox does not exist.
        Bounced = "bounced",
        /// It failed for good, and not for the mailbox.
        Failed = "failed",
        /// The gate said no.
        Refused = "refused",
        /// It was stale before it could go out.
        Expired = "expired",
        /// It was taken back.
        Cancelled = "cancelled",
        /// It was handed over, and nobody knows whether it arrived.
        Unknown = "unknown",
        /// It was opened.
        Opened = "opened",
        /// A link in it was followed.
        Clicked = "clicked",
        /// Somebody used its way out.
        Unsubscribed = "unsubscribed",
        /// Somebody complained about it.
        Complained = "complained",
    }
}

impl FeedKind {
    /// What an entry of the history tells: the state that the message came to, where it names one. A report of a bounce that
    /// moved nothing tells nothing.
    fn of(kind: &str, detail: &Json) -> Option<Self> {
        let name = match detail["state"].as_str() {
            Some(state) => state,
            None if kind == MessageStatus::Bounced.as_str() => return None,
            None => kind,
        };
        match name.parse() {
            Ok(MessageStatus::Sent) => Some(Self::Accepted),
            Ok(MessageStatus::Queued) => Some(Self::Deferred),
            // Every other has the name of what it tells.
            Ok(_) | Err(_) => name.parse().ok(),
        }
    }
}

/// An event of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// Where it stands.
    pub cursor: FeedCursor,
    /// Its id.
    pub id: MessageEventId,
    /// What it happened to.
    pub message: MessageId,
    /// What happened.
    pub kind: FeedKind,
    /// When.
    pub at: Timestamp,
    /// Why, or by which rule; a stable code.
    pub reason: Option<String>,
    /// Who did it, of an open or a click.
    pub class: Option<HitClass>,
    /// Which link was followed, from 0.
    pub link: Option<i32>,
}

impl FeedEvent {
    /// What is told of an entry; none where it tells nothing.
    pub(super) fn of(entry: &PlacedEvent) -> Option<Self> {
        let kind = FeedKind::of(&entry.kind, &entry.detail)?;
        let text = |name: &str| entry.detail[name].as_str().map(str::to_owned);
        let reason = text("reason").or_else(|| text("rule"));
        let is_hit = matches!(kind, FeedKind::Opened | FeedKind::Clicked);
        // The entry of a hit is written when it is judged.
        let at = is_hit.then(|| serde_json::from_value(entry.detail["at"].clone()).ok()).flatten();
        Some(Self {
            cursor: FeedCursor { place: entry.place, event: Some(entry.id) },
            id: entry.id,
            message: entry.message,
            kind,
            at: at.unwrap_or(entry.at),
            reason,
            class: entry.detail["class"].as_str().filter(|_| is_hit).and_then(|class| class.parse().ok()),
            link: entry.detail["link"].as_i64().and_then(|link| i32::try_from(link).ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_tells_what_the_message_came_to() {
        let of = |kind, detail| FeedKind::of(kind, &detail);
        assert_eq!(of("accepted", json!({ "attempt": 1, "rule": "accepted" })), Some(FeedKind::Accepted));
        assert_eq!(of("rejected", json!({ "state": "bounced" })), Some(FeedKind::Bounced));
        assert_eq!(of("rejected", json!({ "state": "failed" })), Some(FeedKind::Failed));
        assert_eq!(of("deferred", json!({ "state": "queued" })), Some(FeedKind::Deferred));
        assert_eq!(of("deferred", json!({ "state": "expired" })), Some(FeedKind::Expired));
        assert_eq!(of("reconciled", json!({ "state": "sent" })), Some(FeedKind::Accepted));
        assert_eq!(of("refused", json!({ "reason": "suppressed" })), Some(FeedKind::Refused));
        assert_eq!(of("unsubscribed", json!({})), Some(FeedKind::Unsubscribed));
        assert_eq!(
            of("bounced", json!({ "class": "policy_or_reputation", "state": "failed" })),
            Some(FeedKind::Failed)
        );
        assert_eq!(of("bounced", json!({ "class": "recipient_permanent" })), None, "it moved nothing");
        assert_eq!(of("delayed", json!({ "state": "sent" })), Some(FeedKind::Accepted));
        assert_eq!(of("delivered", json!({})), None);
        assert_eq!(of("complained", json!({ "rule": "feedback" })), Some(FeedKind::Complained));
        assert_eq!(of("lapsed", json!({})), None);
        assert_eq!(of("of another version", json!({})), None);
    }
}
