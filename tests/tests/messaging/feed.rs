//! The feed of events: from whatever place it is read on, nothing is missing, however commits and readers interleave.

use std::collections::HashSet;

use carillon_domain::consent::{self, Channel, OptOutScope};
use carillon_domain::error::{Error, Result};
use carillon_domain::keys::{FeedCursor, LinkPurpose, LinkToken};
use carillon_domain::messaging::reply_class::{Reply, SmtpStage};
use carillon_domain::messaging::{
    FEED_KEPT, FeedEvent, FeedKind, FeedPage, HandOver, Lane, cancel_messages, feed_after, feed_end, feed_page,
    place_events,
};
use carillon_domain::ports::TenantTx;
use carillon_domain::tenancy::{ReadMessages, SendMessages, enter_by_link};
use carillon_entities::ids::{MessageEventId, MessageId, TenantId};
use carillon_entities::rows::messaging::message_batches;
use carillon_entities::wall::OnConflict;
use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sea_orm::ActiveValue::{NotSet, Set};
use uuid::Uuid;

use crate::setup::Setup;

const START: FeedCursor = FeedCursor { place: 0, event: None };

impl Setup {
    /// Gives places to what is committed.
    async fn place(&self) -> usize {
        place_events(&self.world.grant(self.tenant), self.ports()).await.unwrap()
    }

    async fn page(&self, after: FeedCursor, limit: u32) -> Result<FeedPage> {
        let grant = self.world.grant::<ReadMessages>(self.tenant);
        let mut tx = grant.begin_read().await?;
        feed_page(&grant, &mut tx, after, limit).await
    }

    /// All that lies behind a place, in pages.
    async fn behind(&self, mut after: FeedCursor) -> Vec<FeedEvent> {
        let mut all = Vec::new();
        loop {
            let page = self.page(after, 7).await.unwrap();
            if page.end == after {
                return all;
            }
            after = page.end;
            all.extend(page.events);
        }
    }

    /// Where a client's cursor leads, or the code with which it is refused.
    async fn resumed(&self, after: Option<&str>) -> std::result::Result<FeedCursor, &'static str> {
        let grant = self.world.grant::<ReadMessages>(self.tenant);
        let mut tx = grant.begin_read().await.unwrap();
        feed_after(&grant, &mut tx, self.ports(), after).await.map_err(|error| match error {
            Error::Refused(refusals) => refusals[0].code,
            error => panic!("{error}"),
        })
    }

    fn sealed(&self, cursor: FeedCursor) -> String {
        self.ports().keys.feed_seal(self.tenant).encode(cursor)
    }

    /// Messages that wait, to be taken back one by one.
    async fn waiting(&self, count: usize) -> Vec<MessageId> {
        let intents: Vec<_> =
            (0..count).map(|n| self.receipt(&format!("k{n}"), &format!("p{n}@example.org"))).collect();
        self.send(&intents).await
    }

    /// Takes messages back in a transaction that is still open.
    async fn cancelling(&self, ids: &[MessageId]) -> TenantTx {
        let grant = self.world.grant::<SendMessages>(self.tenant);
        let mut tx = grant.begin().await.unwrap();
        let cancelled = cancel_messages(&grant, &mut tx, self.ports(), ids).await.unwrap();
        assert_eq!(cancelled, ids.len() as u64);
        tx
    }

    async fn cancel(&self, ids: &[MessageId]) {
        self.cancelling(ids).await.commit().await.unwrap();
    }

    /// Somebody uses a message's way out.
    async fn unsubscribe(&self, message: MessageId, email: &str) {
        let keys = &self.ports().keys;
        let link = LinkToken {
            purpose: LinkPurpose::OneClick,
            tenant: self.tenant,
            message,
            address: keys.address_hmac(self.tenant, Channel::Email, email),
            channel: Channel::Email,
            brand: self.news.brand,
            topic: self.news.topic,
        };
        let link = LinkToken::decode(keys, LinkPurpose::OneClick, &link.encode(keys)).unwrap();
        let grant = enter_by_link(self.world.wall(), &link);
        let mut tx = grant.begin().await.unwrap();
        consent::unsubscribe(&grant, &mut tx, self.ports(), &link, OptOutScope::Topic).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// One who hears events in pages, loses the connection now and then, and comes again with the place they took in last.
struct Listener {
    at: FeedCursor,
    taken_in: FeedCursor,
    heard: HashSet<MessageEventId>,
    /// How many were told again, and how many had not been taken in when the connection was lost.
    again: usize,
    lost: usize,
    since: usize,
}

impl Listener {
    fn new() -> Self {
        Self { at: START, taken_in: START, heard: HashSet::new(), again: 0, lost: 0, since: 0 }
    }

    async fn read(&mut self, setup: &Setup, limit: u32) {
        let page = setup.page(self.at, limit).await.unwrap();
        assert!(page.events.len() <= limit as usize);
        for event in &page.events {
            assert_eq!(event.cursor.place, self.at.place + 1, "a place was skipped");
            assert_eq!(event.kind, FeedKind::Cancelled);
            self.at = event.cursor;
            self.again += usize::from(!self.heard.insert(event.id));
            self.since += 1;
        }
        assert_eq!(page.end, self.at);
    }

    fn take_in(&mut self) {
        (self.taken_in, self.since) = (self.at, 0);
    }

    /// Comes again with the cursor as a client carries it.
    async fn reconnect(&mut self, setup: &Setup) {
        let text = setup.sealed(self.taken_in);
        self.at = setup.resumed(Some(&text)).await.unwrap();
        assert_eq!(self.at, self.taken_in);
        self.lost += std::mem::take(&mut self.since);
    }
}

/// One run: transactions that begin, commit and fail in any order, the writer of the feed between them, and a listener.
async fn run(seed: u64) {
    const MESSAGES: usize = 90;
    let setup = Setup::new().await;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut waiting = setup.waiting(MESSAGES).await;
    // SQLite has one writer: there nobody begins before another has ended.
    let most = if setup.ports().wall.is_postgres() { 4 } else { 0 };
    let mut open: Vec<(TenantTx, Vec<MessageId>)> = Vec::new();
    let mut listener = Listener::new();
    while !waiting.is_empty() || !open.is_empty() {
        setup.world.advance(TimeDelta::milliseconds(1));
        match rng.random_range(0..8) {
            0 | 1 if !waiting.is_empty() && open.len() <= most => {
                let ids = waiting.split_off(waiting.len() - rng.random_range(1..=waiting.len().min(4)));
                open.push((setup.cancelling(&ids).await, ids));
                if most > 0 {
                    continue;
                }
            }
            2 | 3 => {}
            4 => {
                setup.place().await;
            }
            5 => {
                tokio::join!(setup.place(), setup.place());
            }
            6 => listener.read(&setup, rng.random_range(1..=9)).await,
            _ if rng.random_bool(0.5) => listener.take_in(),
            _ => listener.reconnect(&setup).await,
        }
        // Whichever began first, any of them may end first.
        if !open.is_empty() && (most == 0 || rng.random_bool(0.3)) {
            let (tx, ids) = open.swap_remove(rng.random_range(0..open.len()));
            if rng.random_bool(0.2) {
                tx.rollback().await.unwrap();
                waiting.extend(ids);
            } else {
                tx.commit().await.unwrap();
            }
        }
    }
    setup.place().await;
    while listener.heard.len() < MESSAGES {
        let before = listener.at;
        listener.read(&setup, 100).await;
        assert_ne!(listener.at, before, "{} of {MESSAGES} were told", listener.heard.len());
    }
    assert_eq!(setup.behind(START).await.len(), MESSAGES, "and nothing else");
    assert!(listener.again <= listener.lost, "{} again, {} lost", listener.again, listener.lost);
    assert_eq!(setup.place().await, 0);
}

#[tokio::test]
async fn whoever_reads_on_misses_nothing_however_late_it_was_committed() {
    for seed in 0..6 {
        run(seed).await;
    }
}

/// The order of the classic mistake: what began first is committed last.
#[tokio::test]
async fn an_event_with_an_earlier_id_that_is_committed_later_is_told() {
    let setup = Setup::new().await;
    if !setup.ports().wall.is_postgres() {
        return;
    }
    let ids = setup.waiting(2).await;
    let early = setup.cancelling(&ids[..1]).await;
    setup.world.advance(TimeDelta::seconds(1));
    setup.cancel(&ids[1..]).await;
    assert_eq!(setup.place().await, 1);
    let first = setup.page(START, 100).await.unwrap();
    assert_eq!(first.events.iter().map(|event| event.message).collect::<Vec<_>>(), [ids[1]]);
    early.commit().await.unwrap();
    setup.place().await;
    let then = setup.page(first.end, 100).await.unwrap();
    assert_eq!(then.events.iter().map(|event| event.message).collect::<Vec<_>>(), [ids[0]]);
    assert!(then.events[0].id < first.events[0].id, "its id is the earlier one");
}

#[tokio::test]
async fn a_page_ends_anywhere_within_what_was_committed_together() {
    let setup = Setup::new().await;
    let ids = setup.waiting(23).await;
    setup.cancel(&ids[..20]).await;
    setup.cancel(&ids[20..]).await;
    setup.place().await;
    let all = setup.page(START, 100).await.unwrap();
    for limit in [1, 3, 19, 20, 21, 23, 100] {
        let (mut at, mut told) = (START, Vec::new());
        while told.len() < 23 {
            let page = setup.page(at, limit).await.unwrap();
            assert!((1..=limit as usize).contains(&page.events.len()), "{limit}");
            at = page.end;
            told.extend(page.events);
        }
        assert_eq!(told, all.events, "{limit}");
    }
    let ((), statements) = setup.world.statements_of(async { drop(setup.page(START, 100).await.unwrap()) }).await;
    let ((), fewer) = setup.world.statements_of(async { drop(setup.page(START, 1).await.unwrap()) }).await;
    assert_eq!(statements, fewer, "L5");
}

#[tokio::test]
async fn a_cursor_is_refused_where_what_follows_is_not_known() {
    let setup = Setup::new().await;
    let ids = setup.waiting(4).await;
    let beginning = setup.resumed(None).await.unwrap();
    assert_eq!(beginning, START);
    setup.cancel(&ids[..2]).await;
    setup.place().await;
    let end = setup.resumed(None).await.unwrap();
    assert_eq!((end.place, end.event.is_some()), (2, true));
    assert_eq!(setup.resumed(Some(&setup.sealed(beginning))).await, Ok(beginning));
    assert_eq!(setup.resumed(Some(&setup.sealed(end))).await, Ok(end));

    let foreign = setup.ports().keys.feed_seal(TenantId(Uuid::from_u128(7))).encode(end);
    for text in ["", "nonsense", &foreign, &"A".repeat(10_000)] {
        assert_eq!(setup.resumed(Some(text)).await, Err("INVALID_CURSOR"), "{text:.20}");
    }
    // As after the database was restored to an earlier day: such a place is not there, or another event stands at it.
    let other = Some(MessageEventId(Uuid::from_u128(7)));
    for cursor in [FeedCursor { place: 3, ..end }, FeedCursor { event: other, ..end }, FeedCursor { place: 1, ..end }] {
        assert_eq!(setup.resumed(Some(&setup.sealed(cursor))).await, Err("CURSOR_EXPIRED"), "{cursor:?}");
    }

    setup.world.advance(FEED_KEPT - TimeDelta::minutes(1));
    setup.cancel(&ids[2..3]).await;
    setup.place().await;
    assert_eq!(setup.resumed(Some(&setup.sealed(beginning))).await, Ok(beginning), "all of it is still there");
    setup.world.advance(TimeDelta::minutes(2));
    setup.cancel(&ids[3..]).await;
    setup.place().await;
    assert_eq!(setup.resumed(Some(&setup.sealed(beginning))).await, Err("CURSOR_EXPIRED"));
    assert!(setup.page(beginning, 100).await.is_err(), "nor does who is connected get less than all");
    assert_eq!(setup.resumed(Some(&setup.sealed(end))).await, Ok(end), "behind it nothing is gone");
    assert_eq!(setup.behind(end).await.len(), 2);
    assert_eq!(setup.count("message_events").await, 4, "the history itself stays");
}

/// However many got their places at once, and however seldom others do: what is old goes faster than it came.
#[tokio::test]
async fn a_feed_that_grew_at_once_is_forgotten_as_a_whole() {
    const MANY: i64 = 5_100;
    let setup = Setup::new().await;
    let ids = setup.waiting(3).await;
    setup.cancel(&ids[..1]).await;
    setup.place().await;
    let now = setup.ports().now();
    let batch = |place| message_batches::ActiveModel {
        tenant_id: NotSet,
        first_id: Set(setup.ports().new_id()),
        size: Set(1),
        message_id: Set(None),
        kind: Set(None),
        made_at: Set(now),
        last_place: Set(Some(place)),
        placed_at: Set(Some(now)),
    };
    let mut tx = setup.world.grant::<SendMessages>(setup.tenant).begin().await.unwrap();
    tx.insert_many((2..=MANY).map(batch).collect(), OnConflict::Fail).await.unwrap();
    tx.commit().await.unwrap();
    setup.world.execute(&format!("UPDATE message_feeds SET last_place = {MANY}")).await;
    setup.world.advance(FEED_KEPT + TimeDelta::minutes(2));
    for id in &ids[1..] {
        setup.cancel(&[*id]).await;
        setup.place().await;
    }
    assert_eq!(setup.count("message_batches").await, 2, "what was placed since is there, and nothing else");
    assert_eq!(setup.resumed(Some(&setup.sealed(START))).await, Err("CURSOR_EXPIRED"));
    let end = FeedCursor { place: MANY, event: None };
    assert_eq!(setup.behind(end).await.len(), 2);
}

#[tokio::test]
async fn the_feed_tells_what_came_of_messages() {
    let setup = Setup::new().await;
    let gone = HandOver::Refused(Reply {
        stage: SmtpStage::Recipient,
        code: 550,
        enhanced: None,
        text: "5.1.1 No such mailbox".to_owned(),
        operator: None,
    });
    let ada = setup.reader("ada@example.org").await;
    let accepted = setup.send_news("first", ada).await;
    setup.round(Lane::Bulk, &HandOver::Accepted).await;
    let eve = setup.reader("eve@example.org").await;
    let bounced = setup.send_news("second", eve).await;
    setup.round(Lane::Bulk, &gone).await;
    // Twice is once (C-09).
    for _ in 0..2 {
        setup.unsubscribe(accepted, "ada@example.org").await;
    }
    let refused = setup.send_news("third", ada).await;
    setup.round(Lane::Bulk, &HandOver::Accepted).await;
    assert_eq!(setup.count("message_events WHERE kind = 'unsubscribed'").await, 0, "it waits for its place");
    setup.place().await;
    assert_eq!(setup.count("message_events WHERE kind = 'unsubscribed'").await, 1);
    let mut told: Vec<_> = setup.behind(START).await.iter().map(|event| (event.message, event.kind)).collect();
    let mut expected = vec![
        (accepted, FeedKind::Accepted),
        (bounced, FeedKind::Bounced),
        (accepted, FeedKind::Unsubscribed),
        (refused, FeedKind::Refused),
    ];
    // The clock stands still, and places that are given together follow ids.
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
    let grant = setup.world.grant::<ReadMessages>(setup.tenant);
    let mut tx = grant.begin_read().await.unwrap();
    assert_eq!(feed_end(&grant, &mut tx).await.unwrap(), 4);
}

/// To unsubscribe depends on no partition (C-08), and what is told later on none of that time.
#[tokio::test]
async fn c008_what_was_noted_while_there_was_no_partition_is_told_once_there_is_one() {
    let setup = Setup::new().await;
    if !setup.ports().wall.is_postgres() {
        return;
    }
    let ada = setup.reader("ada@example.org").await;
    let message = setup.send_news("news", ada).await;
    setup.round(Lane::Bulk, &HandOver::Accepted).await;
    setup.world.execute("DROP TABLE message_events_2026_03").await;
    setup.unsubscribe(message, "ada@example.org").await;
    let placed = place_events(&setup.world.grant(setup.tenant), setup.ports()).await;
    assert!(placed.is_err(), "it can be told nowhere");
    // Those of months that are over are not made any more.
    setup.world.advance(TimeDelta::days(40));
    setup.place().await;
    let told: Vec<_> = setup.behind(START).await.iter().map(|event| (event.message, event.kind)).collect();
    assert_eq!(told, [(message, FeedKind::Unsubscribed)]);
}
