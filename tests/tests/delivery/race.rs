//! The gate and an unsubscribe meet at one row: whichever comes second sees what the first did (L3, C-175).
//!
//! On Postgres alone: SQLite has one writer, so the two cannot meet at all.

use std::sync::Arc;

use carillon_domain::consent::{self, OptOutScope, Recipient};
use carillon_domain::tenancy::{SendMessages, enter_by_link};
use carillon_tests::post::Post;
use carillon_tests::{Backend, WorldOptions};
use tokio::task::JoinHandle;

async fn post() -> Option<Arc<Post>> {
    (WorldOptions::default().backend == Backend::Postgres).then_some(())?;
    Some(Arc::new(Post::new().await))
}

/// Until somebody in this test's database waits for a lock, or the task ended without waiting.
async fn waits_for_a_lock<T>(post: &Post, task: &JoinHandle<T>) -> bool {
    let waiting = "SELECT COUNT(*) AS amount FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while !task.is_finished() {
        if post.number(waiting).await > 0 {
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
