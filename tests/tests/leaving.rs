//! Many people leave at once (C-10), and whoever left is out of every queue (C-12). A tenth of the rules' size here; at
//! full size both are part of `make crash`, over two gateways.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, init_service};
use carillon::application;
use carillon_domain::consent::{Channel, Recipient};
use carillon_domain::keys::{LinkPurpose, LinkToken};
use carillon_entities::ids::MessageId;
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
