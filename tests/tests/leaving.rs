//! Many people leave at once (C-10), and whoever left is out of every queue (C-12). A tenth of the rules' size here; at
//! full size both are part of `make crash`, over two gateways. And whoever has another address since left there, too (C-126).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;

use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, init_service};
use carillon::application;
use carillon_domain::consent::{self, Channel, OptOutScope, Recipient};
use carillon_domain::contacts::{ContactFields, ContactPatch, Patch, UpdateContact, update_contact};
use carillon_domain::keys::{LinkPurpose, LinkToken, VerifiedLink};
use carillon_domain::ports::TenantTx;
use carillon_domain::reruns::Reruns;
use carillon_domain::tenancy::{WriteContacts, enter_by_link};
use carillon_entities::ids::{ContactId, MessageId};
use carillon_jobs::queue::TicketHandler as _;
use carillon_tests::gateway::gateway;
use carillon_tests::post::Post;

/// The path of a one-click link for an address.
fn path(post: &Post, email: &str) -> String {
    let recipient = Recipient::of_email(&post.ports().keys, post.tenant, &email.parse().unwrap());
    let token = LinkToken {
        purpose: LinkPurpose::OneClick,
        tenant: post.tenant,
        message: post.ports().new_id::<MessageId>(),
        address: recipient.active(),
        channel: Channel::Email,
        brand: post.topic.brand,
        topic: post.topic.topic,
    };
    format!("/u/{}", token.encode(&post.ports().keys))
}

#[actix_web::test]
async fn c010_a_thousand_valid_posts_from_one_address_are_all_recorded() {
    const POSTS: usize = 1_000;
    let post = Post::new().await;
    let app = init_service(application!(gateway(post.ports().clone()))).await;
    for first in (0..POSTS).step_by(20) {
        let requests = (first..first + 20).map(|number| {
            let request = TestRequest::post().uri(&path(&post, &format!("p{number}@example.org")));
            let request = request.peer_addr("203.0.113.7:4711".parse().unwrap());
            call_service(&app, request.set_payload("List-Unsubscribe=One-Click").to_request())
        });
        for answer in futures::future::join_all(requests).await {
            assert_eq!(answer.status(), StatusCode::OK);
        }
    }
    let recorded = "SELECT COUNT(DISTINCT address_hmac) AS amount FROM consent_events WHERE action = 'withdraw'";
    let posts = i64::try_from(POSTS).unwrap();
    assert_eq!(post.number(recorded).await, posts);
    assert_eq!(post.number("SELECT COUNT(*) AS amount FROM suppressions").await, posts);
}

#[tokio::test]
async fn c012_who_leaves_is_out_of_a_queue_of_a_thousand_at_once() {
    const PEOPLE: usize = 10;
    const EACH: usize = 100;
    const STARTED: &str = "SELECT COUNT(*) AS amount FROM attempts WHERE started_at IS NOT NULL";
    let post = Post::new().await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(post.person(&format!("p{number}@example.org")).await);
    }
    let intents: Vec<_> = (0..PEOPLE * EACH).map(|n| post.intent(&format!("k{n}"), people[n % PEOPLE])).collect();
    for some in intents.chunks(500) {
        post.send(some).await;
    }
    let worker = post.worker("first").await;
    worker.handle(post.ticket(40)).await;
    let started = post.number(STARTED).await;
    assert!(started > 0, "nothing had gone before anybody left");
    for number in 0..PEOPLE {
        let link = post.one_click(&post.mail_to(&format!("p{number}@example.org")));
        post.unsubscribe(&link).await;
    }
    post.drain().await;
    assert_eq!(post.number(STARTED).await, started, "an attempt was started after the unsubscribe");
    assert_eq!(post.catcher.totals().stored, u64::try_from(started).unwrap());
    let refused =
        "SELECT COUNT(*) AS amount FROM messages WHERE state = 'refused' AND reason = 'suppressed_unsubscribe'";
    assert_eq!(post.number(refused).await, i64::try_from(PEOPLE * EACH).unwrap() - started);
}

const OLD: &str = "ada@old.example";
const NEW: &str = "ada@new.example";

/// Somebody who was mailed once, and the link of that mail.
async fn mailed(post: &Post) -> (ContactId, VerifiedLink) {
    let ada = post.person(OLD).await;
    post.send(&[post.intent("first", ada)]).await;
    post.drain().await;
    (ada, post.one_click(&post.mail_to(OLD)))
}

/// They have another address, and agree there, once this is committed.
async fn moving(post: &Post, ada: ContactId) -> TenantTx {
    let patch = ContactPatch { email: Patch::Set(NEW.parse().unwrap()), ..ContactPatch::default() };
    let fields = ContactFields { patch, ..ContactFields::default() };
    let grant = post.marketer.grant::<WriteContacts>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let command = UpdateContact { id: ada, version: 1, fields };
    update_contact(&grant, &mut tx, post.ports(), command).await.unwrap();
    post.agrees(&mut tx, ada).await;
    tx
}

/// What becomes of one more mail.
async fn next(post: &Post, key: &str, ada: ContactId) -> String {
    let id = post.send(&[post.intent(key, ada)]).await[0];
    post.drain().await;
    post.story(id).await
}

#[tokio::test]
async fn c126_the_link_of_an_old_mail_is_heard_at_the_address_of_today() {
    const ENDS: &str = "SELECT COUNT(*) AS amount FROM consent_events WHERE action = 'withdraw'";
    let post = Post::new().await;
    let (ada, link) = mailed(&post).await;
    moving(&post, ada).await.commit().await.unwrap();
    let story = next(&post, "second", ada).await;
    assert!(story.starts_with("sent"), "{story}");
    for _ in 0..2 {
        post.unsubscribe(&link).await;
        assert_eq!(post.number(ENDS).await, 2, "at either address, once (C-09)");
    }
    let story = next(&post, "third", ada).await;
    assert!(story.starts_with("refused suppressed_unsubscribe"), "{story}");
}

#[tokio::test]
async fn c126_an_unsubscribe_that_waits_for_a_new_address_is_heard_there() {
    let post = Post::new().await;
    let (ada, link) = mailed(&post).await;
    let moving = moving(&post, ada).await;
    let is_over = Cell::new(false);
    let leaves = async {
        let (grant, mut reruns) = (enter_by_link(post.wall(), &link), Reruns::default());
        loop {
            let mut tx = grant.begin().await.unwrap();
            match consent::unsubscribe(&grant, &mut tx, post.ports(), &link, OptOutScope::Topic).await {
                Err(error) if reruns.after(&error) => tx.rollback().await.unwrap(),
                done => {
                    done.unwrap();
                    tx.commit().await.unwrap();
                    break;
                }
            }
        }
        is_over.set(true);
    };
    let ends = async {
        post.until_waiting(|| is_over.get()).await;
        moving.commit().await.unwrap();
    };
    Box::pin(futures::future::join(leaves, ends)).await;
    let story = next(&post, "second", ada).await;
    assert!(story.starts_with("refused suppressed_unsubscribe"), "{story}");
}
