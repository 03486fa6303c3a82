//! Sends and unsubscribes of one address cannot overlap (L3, C-175).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use carillon_domain::consent::{self, FactsRequest, OptOutScope, SourceKind, Verdict};
use carillon_domain::keys::{LinkPurpose, LinkToken};
use carillon_domain::messaging::MessageClass;
use carillon_domain::tenancy::{RecordConsent, enter_by_link};

use crate::setup::{Setup, gate_facts};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c175_nothing_is_decided_after_an_unsubscribe_was_committed() {
    let setup = Arc::new(Setup::new().await);
    let (mut allowed, mut denied) = (0, 0);
    for round in 0..120 {
        let email = format!("p{round}@example.org");
        setup.append(vec![setup.grant(&email, setup.news, SourceKind::Subject)]).await;
        let gone = Arc::new(AtomicBool::new(false));
        let person = tokio::spawn(leave(setup.clone(), email.clone(), gone.clone()));
        for _ in 0..round % 24 {
            tokio::task::yield_now().await;
        }
        match send(&setup, &email, &gone).await {
            Verdict::Allow => allowed += 1,
            _ => denied += 1,
        }
        person.await.unwrap();
        let after = setup.decide(&email, MessageClass::Marketing, setup.news).await;
        assert_eq!(after.verdict, Verdict::Deny);
    }
    assert!(allowed + denied == 120, "{allowed} {denied}");
}

async fn leave(setup: Arc<Setup>, email: String, gone: Arc<AtomicBool>) {
    let text = setup.link(setup.ports(), LinkPurpose::OneClick, &email, setup.news);
    let link = LinkToken::decode(&setup.ports().keys, LinkPurpose::OneClick, &text).unwrap();
    let grant = enter_by_link(setup.world.wall(), &link);
    let mut tx = grant.begin().await.unwrap();
    consent::unsubscribe(&grant, &mut tx, setup.ports(), &link, OptOutScope::Topic).await.unwrap();
    tx.commit().await.unwrap();
    gone.store(true, Ordering::SeqCst);
}

/// Decides as the gate does; while its transaction is open no unsubscribe commits.
async fn send(setup: &Setup, email: &str, gone: &AtomicBool) -> Verdict {
    let recipient = setup.recipient(setup.ports(), email);
    let mut tx = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    consent::endpoints_lock_for_send(&mut tx, recipient.keys()).await.unwrap();
    let request = FactsRequest { recipient, topic: Some(setup.news) };
    let facts = consent::load_facts(&mut tx, &[request]).await.unwrap().remove(0);
    let verdict = consent::decide(&gate_facts(setup.ports().now(), MessageClass::Marketing, setup.news, facts)).verdict;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(verdict != Verdict::Allow || !gone.load(Ordering::SeqCst), "sent after an acknowledged unsubscribe");
    tx.commit().await.unwrap();
    verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c175_an_unsubscribe_waits_for_the_send_that_holds_the_address() {
    const WAITING: &str = "SELECT COUNT(*) AS amount FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let setup = Arc::new(Setup::new().await);
    setup.append(vec![setup.grant("ada@example.org", setup.news, SourceKind::Subject)]).await;
    let recipient = setup.recipient(setup.ports(), "ada@example.org");
    let mut tx = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    assert_eq!(consent::endpoints_lock_for_send(&mut tx, recipient.keys()).await.unwrap().len(), 1);
    let gone = Arc::new(AtomicBool::new(false));
    let person = tokio::spawn(leave(setup.clone(), "ada@example.org".to_owned(), gone.clone()));
    for round in 0.. {
        // SQLite's one writer waits inside the process, where nobody can see it wait.
        let waits =
            if setup.world.wall().is_postgres() { setup.world.number(WAITING).await > 0 } else { round == 1_000 };
        if waits || person.is_finished() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(!gone.load(Ordering::SeqCst), "an unsubscribe passed a send");
    tx.commit().await.unwrap();
    person.await.unwrap();
    assert!(gone.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_that_overlap_in_any_order_never_deadlock() {
    let setup = Arc::new(Setup::new().await);
    let people: Vec<String> = (0..40).map(|n| format!("p{n}@example.org")).collect();
    let batch = |reverse: bool| {
        let mut people = people.clone();
        if reverse {
            people.reverse();
        }
        let events = people.iter().map(|email| setup.grant(email, setup.news, SourceKind::Import)).collect();
        let setup = setup.clone();
        tokio::spawn(async move { setup.append(events).await })
    };
    let rounds: Vec<_> = (0..8).map(|round| batch(round % 2 == 0)).collect();
    for round in rounds {
        assert_eq!(round.await.unwrap().len(), 40);
    }
    assert_eq!(setup.count("consent_events").await, 320);
    assert_eq!(setup.count("endpoints WHERE consent_version = 8").await, 40);
}
