//! The gate and an unsubscribe meet at one row: whichever comes second sees what the first did (L3, C-175).
//!
//! On Postgres alone: SQLite has one writer, so the two cannot meet at all.

use std::sync::Arc;

use carillon_domain::consent::{self, OptOutScope, Recipient};
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::{SendMessages, enter_by_link, enter_for_work};
use carillon_entities::wall::{Wall, WallError};
use carillon_jobs::catcher::{Action, Behaviour, Moment, Rule, Whom};
use carillon_tests::post::Post;
use carillon_tests::{Backend, WorldOptions};
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use tokio::task::JoinHandle;

async fn post() -> Option<Arc<Post>> {
    (WorldOptions::default().backend == Backend::Postgres).then_some(())?;
    Some(Arc::new(Post::new().await))
}

const WAITING: &str = "SELECT COUNT(*) AS amount FROM pg_stat_activity \
     WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Until somebody in this test's database waits for a lock, or the task ended without waiting.
async fn waits_for_a_lock<T>(post: &Post, task: &JoinHandle<T>) -> bool {
    while !task.is_finished() {
        if post.number(WAITING).await > 0 {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c175_the_gate_sees_the_unsubscribe_it_waited_for() {
    let Some(post) = post().await else { return };
    let contact = post.person("ada@example.org").await;
    post.send(&[post.intent("one", contact)]).await;
    post.drain().await;
    let link = post.one_click(&post.mail_to("ada@example.org"));
    let id = post.send(&[post.intent("two", contact)]).await[0];

    let grant = enter_by_link(post.wall(), &link);
    let mut leaving = grant.begin().await.unwrap();
    consent::unsubscribe(&grant, &mut leaving, post.ports(), &link, OptOutScope::Topic).await.unwrap();
    let worker = post.worker("waits").await;
    let sending = tokio::spawn(async move { worker.run_until_quiet().await });
    assert!(waits_for_a_lock(&post, &sending).await, "the gate did not wait for the unsubscribe");
    leaving.commit().await.unwrap();
    sending.await.unwrap().unwrap();

    assert!(post.story(id).await.starts_with("refused"), "{}", post.story(id).await);
    assert_eq!(post.catcher.totals().stored, 1, "a mail left after the unsubscribe was acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c175_an_unsubscribe_waits_for_the_gate() {
    let Some(post) = post().await else { return };
    let contact = post.person("ada@example.org").await;
    post.send(&[post.intent("one", contact)]).await;
    post.drain().await;
    let link = post.one_click(&post.mail_to("ada@example.org"));

    let address = "ada@example.org".parse().unwrap();
    let recipient = Recipient::of_email(&post.ports().keys, post.tenant, &address);
    let mut gate = post.grant::<SendMessages>(post.tenant).begin().await.unwrap();
    consent::endpoints_lock_for_send(&mut gate, recipient.keys()).await.unwrap();
    let leaving = tokio::spawn({
        let post = Arc::clone(&post);
        async move { post.unsubscribe(&link).await }
    });
    assert!(waits_for_a_lock(&post, &leaving).await, "the unsubscribe did not wait for the gate");
    gate.commit().await.unwrap();
    leaving.await.unwrap();
}

/// One address of a group is held for longer than the database lets a worker wait: what came of the others is known to
/// the worker alone, and must not be lost with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c168_a_held_address_costs_no_outcome_of_its_group() {
    const RECEIPTS: usize = 6;
    let Some(post) = post().await else { return };
    let gone = || Whom::Address { address: "gone@example.org".to_owned() };
    let slow = Action::Delay { at: Moment::Recipient, millis: 1_500 };
    let rules = [slow, Action::Reject].map(|action| Rule { whom: gone(), first: None, action });
    post.catcher.set_behaviour(Behaviour { rules: rules.into() });
    let mut intents = vec![post.receipt("gone", post.person("gone@example.org").await)];
    for number in 0..RECEIPTS {
        let person = post.person(&format!("p{number}@example.org")).await;
        intents.push(post.receipt(&format!("r{number}"), person));
    }
    let ids = post.send(&intents).await;
    let worker = post.worker_with("patient", impatient(&post).await).await;
    let working = tokio::spawn(async move { worker.run_until_quiet().await });
    post.catcher.stored_at_least(RECEIPTS as u64).await;

    let admin = post.database.admin().await.unwrap();
    let held = admin.begin().await.unwrap();
    held.execute_unprepared("SELECT 1 FROM endpoints FOR UPDATE").await.unwrap();
    assert!(waits_for_a_lock(&post, &working).await, "the bounce did not wait for its address");
    // It gives up waiting at least once.
    while post.number(WAITING).await > 0 {}
    held.rollback().await.unwrap();
    working.await.unwrap().unwrap();

    assert!(post.story(ids[0]).await.starts_with("bounced"), "{}", post.story(ids[0]).await);
    for id in &ids[1..] {
        assert_eq!(post.story(*id).await, "sent [accepted]");
    }
    let totals = post.catcher.totals();
    assert_eq!((totals.stored, totals.repeated), (RECEIPTS as u64, 0));
}

/// Ports whose connections wait for a lock for moments only.
async fn impatient(post: &Post) -> Ports {
    let short = "DO $$ BEGIN EXECUTE format('ALTER ROLE carillon_app IN DATABASE %I SET lock_timeout = %L', \
         current_database(), '200ms'); END $$";
    post.execute(short).await;
    let wall = Wall::open(&post.database.settings(4)).await.unwrap();
    Ports { wall, ..post.ports().clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_row_that_somebody_keeps_may_pass() {
    let Some(post) = post().await else { return };
    post.person("ada@example.org").await;
    let ports = impatient(&post).await;
    let admin = post.database.admin().await.unwrap();
    let held = admin.begin().await.unwrap();
    held.execute_unprepared("SELECT 1 FROM endpoints FOR UPDATE").await.unwrap();
    let recipient = Recipient::of_email(&ports.keys, post.tenant, &"ada@example.org".parse().unwrap());
    let mut tx = enter_for_work(&ports.wall, post.tenant).grant::<SendMessages>().begin().await.unwrap();
    let waited = consent::endpoints_lock_for_send(&mut tx, recipient.keys()).await.unwrap_err();
    assert!(matches!(waited, WallError::Locked) && waited.may_pass(), "{waited}");
    held.rollback().await.unwrap();
}
