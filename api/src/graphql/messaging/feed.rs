//! The feed of events: what happened to the tenant's messages, to be told from any place on.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use carillon_domain::error::Result as Done;
use carillon_domain::keys::{FeedCursor, FeedSeal};
use carillon_domain::messaging::{self, FEED_PAGE_MAX, FeedEvent, FeedKind, HitClass};
use carillon_domain::tenancy::ReadMessages;
use chrono::{DateTime, Utc};

use super::types::Message;
use crate::graphql::live::Step;
use crate::graphql::scope::RequestScope;

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::messaging::FeedKind")]
pub enum MessageEventKind {
    /// A server took it.
    Accepted,
    /// It was put off and will be tried again.
    Deferred,
    /// Over, the mailbox does not exist; a report may say so days after it was accepted.
    Bounced,
    /// Over, and not the recipient's fault.
    Failed,
    /// Consent, a suppression or another rule forbade it.
    Refused,
    /// It was stale before it could go out.
    Expired,
    /// It was taken back.
    Cancelled,
    /// It was handed over, and nobody knows whether it arrived.
    Unknown,
    /// It was opened; told only of mail that is tracked individually, once it is judged by whom.
    Opened,
    /// A link in it was followed; told as opens are.
    Clicked,
    /// Somebody used its way out.
    Unsubscribed,
    /// Somebody complained about it to their provider.
    Complained,
}

/// Something that happened to a message.
#[derive(Debug)]
pub struct MessageEvent {
    event: FeedEvent,
    cursor: String,
}

/// Something that happened to a message. Neither addresses nor texts of servers are in it.
#[Object]
impl MessageEvent {
    /// Its id; an event that is told twice has the same.
    async fn id(&self) -> ID {
        self.event.id.into()
    }

    /// The place behind it, for `after`.
    async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// What happened.
    async fn kind(&self) -> MessageEventKind {
        self.event.kind.into()
    }

    /// When it happened; events are told in the order in which they came to be known.
    async fn at(&self) -> DateTime<Utc> {
        self.event.at
    }

    /// The message's id, without looking it up.
    async fn message_id(&self) -> ID {
        self.event.message.into()
    }

    /// The message as it is now.
    async fn message(&self, ctx: &Context<'_>) -> Result<Option<Message>> {
        Message::find(ctx, self.event.message).await
    }

    /// Why, or by which rule; a stable code.
    async fn reason(&self) -> Option<&str> {
        self.event.reason.as_deref()
    }

    /// Of an open or a click: true if a person did it, false if a program did, or nobody can say.
    async fn is_person(&self) -> Option<bool> {
        self.event.class.map(|class| class == HitClass::Human)
    }

    /// Of a click: which link of the mail, from 0.
    async fn link(&self) -> Option<i32> {
        self.event.link
    }
}

/// Events in their order, at most a hundred.
#[derive(Debug, SimpleObject)]
pub struct MessageEventPage {
    /// The events.
    events: Vec<MessageEvent>,
    /// The place behind all of them, for `after`; also where there is none to tell.
    cursor: String,
}

/// Where who listens stands.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// As they said when they came.
    Named(Option<String>),
    /// As they were told.
    Known(FeedCursor),
}

/// The feed's end.
pub(super) async fn end(scope: RequestScope) -> Done<i64> {
    let (grant, mut tx) = scope.read::<ReadMessages>().await?;
    messaging::feed_end(&grant, &mut tx).await
}

/// The next page.
pub(super) async fn page(
    scope: RequestScope,
    standing: Standing,
    head: Arc<i64>,
    kinds: Option<Arc<[FeedKind]>>,
) -> Done<Step<Standing, MessageEventPage>> {
    let (grant, mut tx) = scope.read::<ReadMessages>().await?;
    let after = match standing {
        Standing::Known(cursor) => cursor,
        Standing::Named(after) => messaging::feed_after(&grant, &mut tx, scope.ports(), after.as_deref()).await?,
    };
    let mut page = messaging::feed_page(&grant, &mut tx, after, FEED_PAGE_MAX).await?;
    drop(tx);
    if let Some(kinds) = kinds {
        page.events.retain(|event| kinds.contains(&event.kind));
    }
    let is_still = page.end == after;
    Ok(Step {
        state: Standing::Known(page.end),
        is_empty: page.events.is_empty(),
        is_still,
        has_more: !is_still && page.end.place < *head,
        page: MessageEventPage::new(page, &scope.ports().keys.feed_seal(grant.tenant())),
    })
}

impl MessageEventPage {
    fn new(page: messaging::FeedPage, seal: &FeedSeal) -> Self {
        let event = |event: FeedEvent| MessageEvent { cursor: seal.encode(event.cursor), event };
        Self { cursor: seal.encode(page.end), events: page.events.into_iter().map(event).collect() }
    }

    /// The place behind it.
    pub(super) fn place(&self) -> &str {
        &self.cursor
    }
}
