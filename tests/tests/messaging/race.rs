//! Sends and unsubscribes of one address: whoever locks first is seen by the other (L3, C-175).

use std::sync::Arc;

use carillon_domain::consent::{self, RecordOptOut};
use carillon_domain::messaging::{HandOver, Lane, MessageStatus};
use carillon_domain::tenancy::RecordConsent;

use crate::setup::Setup;

const ADA: &str = "ada@example.org";

const WAITING: &str = "SELECT COUNT(*) AS amount FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Until somebody waits for a lock, or has ended without waiting.
async fn waits<T>(setup: &Setup, other: &tokio::task::JoinHandle<T>) {
    for round in 0.. {
        // SQLite's one writer waits inside the process, where nobody can see it wait.
        let waits =
            if setup.world.wall().is_postgres() { setup.world.number(WAITING).await > 0 } else { round == 1_000 };
        if waits || other.is_finished() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c175_the_gate_reads_after_it_locked() {
    let setup = Arc::new(Setup::new().await);
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let claimed = setup.claim(Lane::Bulk).await;

    // The unsubscribe came first, and its transaction is still open when the gate begins.
    let grant = setup.world.grant::<RecordConsent>(setup.tenant);
    let mut leaving = grant.begin().await.unwrap();
    let command = RecordOptOut { contact: ada, topic: Some(setup.news.topic) };
    consent::record_opt_out(&grant, &mut leaving, setup.ports(), command).await.unwrap();
    let gate = tokio::spawn({
        let setup = Arc::clone(&setup);
        async move { setup.clear(&claimed).await.len() }
    });
    waits(&setup, &gate).await;
    assert!(!gate.is_finished(), "the gate did not wait for the unsubscribe");
    leaving.commit().await.unwrap();

    assert_eq!(gate.await.unwrap(), 0, "sent after an unsubscribe was committed");
    assert_eq!(setup.state(id).await, (MessageStatus::Refused, "suppressed_unsubscribe".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c175_an_unsubscribe_waits_for_the_gate_and_counts_from_then_on() {
    let setup = Arc::new(Setup::new().await);
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    // The gate's lock, as its transaction holds it from before its first look until its commit.
    let recipient = consent::Recipient::of_email(&setup.ports().keys, setup.tenant, &crate::setup::email(ADA));
    let mut gate = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    consent::endpoints_lock_for_send(&mut gate, recipient.keys()).await.unwrap();
    let person = tokio::spawn({
        let setup = Arc::clone(&setup);
        async move { setup.opt_out(ada).await }
    });
    waits(&setup, &person).await;
    assert!(!person.is_finished(), "an unsubscribe passed a send");
    gate.commit().await.unwrap();
    person.await.unwrap();
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 0);
    assert_eq!(setup.state(id).await.0, MessageStatus::Refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c175_no_permit_is_given_after_an_unsubscribe_was_answered() {
    let setup = Arc::new(Setup::new().await);
    let (mut went, mut stopped) = (0, 0);
    for round in 0..40 {
        let reader = setup.reader(&format!("p{round}@example.org")).await;
        let id = setup.send_news(&format!("k{round}"), reader).await;
        let claimed = setup.claim(Lane::Bulk).await;
        let person = tokio::spawn({
            let setup = Arc::clone(&setup);
            async move { setup.opt_out(reader).await }
        });
        for _ in 0..round % 8 {
            tokio::task::yield_now().await;
        }
        let answered = person.is_finished();
        let cleared = setup.clear(&claimed).await;
        assert!(cleared.is_empty() || !answered, "a permit after an acknowledged unsubscribe");
        person.await.unwrap();
        if let Some(cleared) = cleared.first() {
            setup.start(&[cleared.attempt()]).await;
            setup.settle(&claimed[0], cleared.attempt(), HandOver::Accepted).await;
            went += 1;
        } else {
            assert_eq!(setup.state(id).await.0, MessageStatus::Refused);
            stopped += 1;
        }
    }
    assert_eq!(went + stopped, 40);
}
