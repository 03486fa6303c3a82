//! A worker that dies anywhere loses nothing and doubles nothing; what nobody can know is decided by class (L8).

use carillon_domain::messaging::{self, AttemptRef, Cleared, ContentCache, EmailMessage, HandOverStep, Lane};
use carillon_domain::tenancy::{Grant, SendMessages};
use carillon_jobs::catcher::{Action, Behaviour, Rule, Whom};
use carillon_tests::post::Post;
use chrono::TimeDelta;

/// Claims and clears everything due, as a worker does before it hands anything over.
async fn clear(post: &Post, worker: &str) -> (Grant<SendMessages>, Vec<Cleared<EmailMessage>>) {
    let (grant, ports, cache) = (post.grant::<SendMessages>(post.tenant), post.ports(), ContentCache::default());
    let mut drafts = Vec::new();
    for lane in Lane::ALL {
        let claimed = messaging::claim(&grant, ports, &cache, *lane, (100, worker)).await.unwrap().messages;
        drafts.extend(claimed.into_iter().map(|claimed| messaging::prepare(post.tenant, ports, claimed)));
    }
    let cleared = messaging::clear(&grant, ports, worker, drafts).await.unwrap();
    (grant, cleared)
}

async fn start(post: &Post, grant: &Grant<SendMessages>, starting: Vec<AttemptRef>) -> usize {
    let step = HandOverStep { starting, ..HandOverStep::default() };
    messaging::record(grant, post.ports(), &step).await.unwrap().len()
}

fn after_lease(post: &Post) -> TimeDelta {
    post.ports().settings.lease + TimeDelta::seconds(1)
}

#[tokio::test]
async fn c167_what_a_dead_worker_had_only_cleared_is_sent_by_another() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    let id = post.send(&[post.intent("hello", contact)]).await[0];
    let (_, cleared) = clear(&post, "dead").await;
    assert_eq!(cleared.len(), 1);
    drop(cleared);
    assert_eq!(post.drain().await, 0, "the lease still holds");
    post.advance(after_lease(&post));
    post.settle().await;
    assert_eq!(post.story(id).await, "sent [lapsed accepted]");
    assert_eq!(post.catcher.totals().stored, 1);
}

#[tokio::test]
async fn c168_what_a_dead_worker_had_started_is_decided_by_class() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    let ids = post.send(&[post.intent("news", contact), post.receipt("receipt", contact)]).await;
    let (grant, cleared) = clear(&post, "dead").await;
    let attempts: Vec<_> = cleared.iter().map(Cleared::attempt).collect();
    assert_eq!(start(&post, &grant, attempts).await, 2);
    drop(cleared);
    post.advance(after_lease(&post) + post.ports().settings.reconcile);
    post.settle().await;
    post.advance(post.ports().settings.reconcile);
    post.settle().await;
    assert!(post.story(ids[0]).await.starts_with("unknown"), "{}", post.story(ids[0]).await);
    assert!(post.story(ids[1]).await.starts_with("sent"), "{}", post.story(ids[1]).await);
    assert_eq!(post.catcher.totals().stored, 1, "marketing does not try its luck again");
    assert_eq!(post.mail_to("ada@example.org").message_id, Some(post.message(ids[1]).await.internet_message_id));
}

/// A worker that slept through its lease starts no hand-over when it wakes.
#[tokio::test]
async fn c166_a_woken_worker_starts_nothing() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    let id = post.send(&[post.intent("hello", contact)]).await[0];
    let (grant, cleared) = clear(&post, "asleep").await;
    post.advance(after_lease(&post));
    post.settle().await;
    assert!(!cleared[0].is_fresh(post.ports().clock.monotonic()), "its permit is over, too");
    assert_eq!(start(&post, &grant, vec![cleared[0].attempt()]).await, 0);
    assert_eq!(post.story(id).await, "sent [lapsed accepted]");
    assert_eq!(post.catcher.totals().stored, 1);
}

/// The claim is lost between the gate and the start: whoever holds it now sends, this worker does not.
#[tokio::test]
async fn c166_nothing_leaves_before_its_attempt_is_started() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    let id = post.send(&[post.intent("hello", contact)]).await[0];
    lose_claims_after_the_gate(&post).await;
    post.worker("robbed").await.run_until_quiet().await.unwrap();
    assert_eq!(post.catcher.totals().stored, 0, "handed over without holding the message");
    keep_claims(&post).await;
    post.advance(after_lease(&post));
    post.settle().await;
    assert_eq!(post.story(id).await, "sent [lapsed accepted]");
    assert_eq!(post.catcher.totals().stored, 1);
}

/// Whenever an attempt is cleared, somebody else takes the message over in the same instant.
async fn lose_claims_after_the_gate(post: &Post) {
    let update = "UPDATE messages SET fence = fence + 1 WHERE tenant_id = NEW.tenant_id AND id = NEW.message_id";
    if post.wall().is_postgres() {
        post.execute(&format!(
            "CREATE FUNCTION rob() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {update}; RETURN NULL; END $$"
        ))
        .await;
        post.execute("CREATE TRIGGER rob AFTER INSERT ON attempts FOR EACH ROW EXECUTE FUNCTION rob()").await;
    } else {
        post.execute(&format!("CREATE TRIGGER rob AFTER INSERT ON attempts BEGIN {update}; END")).await;
    }
}

async fn keep_claims(post: &Post) {
    let table = if post.wall().is_postgres() { " ON attempts" } else { "" };
    post.execute(&format!("DROP TRIGGER rob{table}")).await;
}

/// The connection broke after the final dot: nobody can know, so marketing is not sent again, a receipt is.
#[tokio::test]
async fn c168_an_outcome_the_relay_hid_is_counted_and_decided_by_class() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    let drop = Rule { whom: Whom::Everyone, first: Some(2), action: Action::Drop { stored: true } };
    post.catcher.set_behaviour(Behaviour { rules: vec![drop] });
    let news = post.send(&[post.intent("news", contact)]).await[0];
    post.drain().await;
    let receipt = post.send(&[post.receipt("receipt", contact)]).await[0];
    post.drain().await;
    for _ in 0..3 {
        post.advance(post.ports().settings.reconcile + TimeDelta::minutes(1));
        post.settle().await;
    }
    assert!(post.story(news).await.starts_with("unknown"), "{}", post.story(news).await);
    assert!(post.story(receipt).await.starts_with("sent"), "{}", post.story(receipt).await);
    let totals = post.catcher.totals();
    assert_eq!((totals.dropped_stored, totals.repeated), (2, 1), "one repeated receipt, and no repeated news");
}
