//! Sends and unsubscribes of one address cannot overlap (L3, C-175).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use carillon_domain::consent::{self, Channel, FactsRequest, OptOutScope, SourceKind, Verdict};
use carillon_domain::keys::{LinkPurpose, LinkToken, VerifiedLink};
use carillon_domain::messaging::MessageClass;
use carillon_domain::tenancy::{Grant, RecordConsent, enter_by_link};
use carillon_tests::World;
use carillon_tests::people::gate_facts;

use crate::setup::Setup;

const WAITING: &str = "SELECT COUNT(*) AS amount FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Until so many wait for a lock, or somebody who ought to wait has ended.
pub async fn waits(world: &World, many: i64, ended: impl Fn() -> bool) {
    for round in 0.. {
        // SQLite's one writer waits inside the process, where nobody can see it wait.
        let waits = if world.wall().is_postgres() { world.number(WAITING).await >= many } else { round == 1_000 };
        if waits || ended() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Now the unsubscribe has the address first and the gate waits for it, now both wait for it and the gate came first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c175_nothing_is_decided_after_an_unsubscribe_was_committed() {
    const ROUNDS: usize = 24;
    let setup = Arc::new(Setup::new().await);
    let mut allowed = 0;
    for round in 0..ROUNDS {
        let email = format!("p{round}@example.org");
        setup.append(vec![setup.grant(&email, setup.news, SourceKind::Subject)]).await;
        let gone = Arc::new(AtomicBool::new(false));
        let gate = || {
            let (setup, email, gone) = (setup.clone(), email.clone(), gone.clone());
            tokio::spawn(async move { send(&setup, &email, &gone).await })
        };
        let (link, grant) = link(&setup, &email);
        let mut held = grant.begin().await.unwrap();
        if round % 2 == 0 {
            consent::unsubscribe(&grant, &mut held, setup.ports(), &link, OptOutScope::Topic).await.unwrap();
            let gate = gate();
            waits(&setup.world, 1, || gate.is_finished()).await;
            assert!(!gate.is_finished(), "the gate did not wait for the unsubscribe");
            held.commit().await.unwrap();
            assert_eq!(gate.await.unwrap(), Verdict::Deny);
        } else {
            let address = [(setup.recipient(setup.ports(), &email).active(), Channel::Email)];
            consent::endpoints_lock_for_change(&mut held, setup.ports(), &address).await.unwrap();
            let gate = gate();
            waits(&setup.world, 1, || gate.is_finished()).await;
            let person = tokio::spawn(leave(setup.clone(), email.clone(), gone.clone()));
            waits(&setup.world, 2, || person.is_finished() || gate.is_finished()).await;
            held.rollback().await.unwrap();
            allowed += usize::from(gate.await.unwrap() == Verdict::Allow);
            person.await.unwrap();
        }
        let after = setup.decide(&email, MessageClass::Marketing, setup.news).await;
        assert_eq!(after.verdict, Verdict::Deny);
    }
    assert!(allowed > 0, "the gate never came first");
}

fn link(setup: &Setup, email: &str) -> (VerifiedLink, Grant<RecordConsent>) {
    let text = setup.link(setup.ports(), LinkPurpose::OneClick, email, setup.news);
    let link = LinkToken::decode(&setup.ports().keys, LinkPurpose::OneClick, &text).unwrap();
    let grant = enter_by_link(setup.world.wall(), &link);
    (link, grant)
}

async fn leave(setup: Arc<Setup>, email: String, gone: Arc<AtomicBool>) {
    let (link, grant) = link(&setup, &email);
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
    let verdict =
        consent::decide(&gate_facts(setup.ports().now(), MessageClass::Marketing, setup.news.topic, facts)).verdict;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(verdict != Verdict::Allow || !gone.load(Ordering::SeqCst), "sent after an acknowledged unsubscribe");
    tx.commit().await.unwrap();
    verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c175_an_unsubscribe_waits_for_the_send_that_holds_the_address() {
    let setup = Arc::new(Setup::new().await);
    setup.append(vec![setup.grant("ada@example.org", setup.news, SourceKind::Subject)]).await;
    let recipient = setup.recipient(setup.ports(), "ada@example.org");
    let mut tx = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    assert_eq!(consent::endpoints_lock_for_send(&mut tx, recipient.keys()).await.unwrap().len(), 1);
    let gone = Arc::new(AtomicBool::new(false));
    let person = tokio::spawn(leave(setup.clone(), "ada@example.org".to_owned(), gone.clone()));
    waits(&setup.world, 1, || person.is_finished()).await;
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
