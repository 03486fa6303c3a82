//! Sends and unsubscribes of one address: whoever locks first is seen by the other (L3, C-175).

use std::sync::Arc;

use carillon_domain::consent::{self, RecordOptOut, SuppressAddress, SuppressionReason, SuppressionScope};
use carillon_domain::messaging::reply_class::{Reply, SmtpStage};
use carillon_domain::messaging::{HandOver, Lane, MessageStatus};
use carillon_domain::tenancy::RecordConsent;

use crate::setup::Setup;

const ADA: &str = "ada@example.org";

const WAITING: &str = "SELECT COUNT(*) AS amount FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Until so many wait for a lock, or somebody who ought to wait has ended.
async fn waits(setup: &Setup, many: i64, ended: impl Fn() -> bool) {
    for round in 0.. {
        // SQLite's one writer waits inside the process, where nobody can see it wait.
        let waits =
            if setup.world.wall().is_postgres() { setup.world.number(WAITING).await >= many } else { round == 1_000 };
        if waits || ended() {
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
    waits(&setup, 1, || gate.is_finished()).await;
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
    waits(&setup, 1, || person.is_finished()).await;
    assert!(!person.is_finished(), "an unsubscribe passed a send");
    gate.commit().await.unwrap();
    person.await.unwrap();
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 0);
    assert_eq!(setup.state(id).await.0, MessageStatus::Refused);
}

/// Permits whose transaction committed after that of the recipient's withdrawal.
const LATE: &str = "SELECT COUNT(*) AS amount FROM gate_decisions d \
    JOIN messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id \
    JOIN consent_events c ON c.tenant_id = d.tenant_id AND c.address_hmac = m.address_hmac AND c.action = 'withdraw' \
    WHERE d.verdict = 'allow' AND pg_xact_commit_timestamp(d.xmin) > pg_xact_commit_timestamp(c.xmin)";

/// Both queue up behind the address while the test holds it; whoever gets it first, the order of their commits tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c175_no_permit_is_given_after_an_unsubscribe_was_answered() {
    const ROUNDS: usize = 16;
    let setup = Arc::new(Setup::new().await);
    let (mut went, mut stopped) = (0, 0);
    for round in 0..ROUNDS {
        let address = format!("p{round}@example.org");
        let reader = setup.reader(&address).await;
        let id = setup.send_news(&format!("k{round}"), reader).await;
        let claimed = setup.claim(Lane::Bulk).await;
        let recipient = consent::Recipient::of_email(&setup.ports().keys, setup.tenant, &crate::setup::email(&address));
        let mut held = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
        let endpoint = [(recipient.active(), consent::Channel::Email)];
        consent::endpoints_lock_for_change(&mut held, setup.ports(), &endpoint).await.unwrap();
        let person = tokio::spawn({
            let setup = Arc::clone(&setup);
            async move { setup.opt_out(reader).await }
        });
        waits(&setup, 1, || person.is_finished()).await;
        let gate = tokio::spawn({
            let (setup, claimed) = (Arc::clone(&setup), claimed.clone());
            async move { setup.clear(&claimed).await }
        });
        // In every other round the gate comes too late to wait for the test as well.
        if round % 2 == 0 {
            waits(&setup, 2, || person.is_finished() || gate.is_finished()).await;
        }
        held.rollback().await.unwrap();
        let cleared = gate.await.unwrap();
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
    assert_eq!(setup.count("gate_decisions").await, i64::try_from(ROUNDS).unwrap());
    let tracked = "SELECT current_setting('track_commit_timestamp') AS line";
    if setup.world.wall().is_postgres() && setup.world.lines(tracked).await == ["on"] {
        assert_eq!(setup.world.number(LATE).await, 0, "{went} went, {stopped} were stopped");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c175_a_bounce_waits_for_the_gate_that_holds_the_address() {
    let setup = Arc::new(Setup::new().await);
    let ada = setup.reader(ADA).await;
    setup.send_news("k", ada).await;
    let (claimed, cleared) = setup.cleared(Lane::Bulk).await;
    let attempt = cleared[0].attempt();
    assert_eq!(setup.start(&[attempt]).await, 1);
    let recipient = consent::Recipient::of_email(&setup.ports().keys, setup.tenant, &crate::setup::email(ADA));
    let mut gate = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    consent::endpoints_lock_for_send(&mut gate, recipient.keys()).await.unwrap();
    let gone = Reply {
        stage: SmtpStage::Recipient,
        code: 550,
        enhanced: None,
        text: "5.1.1 No such mailbox".to_owned(),
        operator: None,
    };
    let bounce = tokio::spawn({
        let setup = Arc::clone(&setup);
        async move { setup.settle(&claimed[0], attempt, HandOver::Refused(gone)).await }
    });
    waits(&setup, 1, || bounce.is_finished()).await;
    assert!(!bounce.is_finished(), "a suppression passed a send");
    gate.commit().await.unwrap();
    bounce.await.unwrap();
    assert_eq!(setup.count("suppressions").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c175_a_suppression_by_hand_waits_for_the_gate_that_holds_the_address() {
    let setup = Arc::new(Setup::new().await);
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let recipient = consent::Recipient::of_email(&setup.ports().keys, setup.tenant, &crate::setup::email(ADA));
    let mut gate = setup.world.grant::<RecordConsent>(setup.tenant).begin().await.unwrap();
    consent::endpoints_lock_for_send(&mut gate, recipient.keys()).await.unwrap();
    let by_hand = tokio::spawn({
        let setup = Arc::clone(&setup);
        async move {
            let grant = setup.world.grant::<RecordConsent>(setup.tenant);
            let mut tx = grant.begin().await.unwrap();
            let (email, scope, reason) = (crate::setup::email(ADA), SuppressionScope::All, SuppressionReason::Manual);
            let command = SuppressAddress { email, scope, reason };
            consent::suppress_address(&grant, &mut tx, setup.ports(), command).await.unwrap();
            tx.commit().await.unwrap();
        }
    });
    waits(&setup, 1, || by_hand.is_finished()).await;
    assert!(!by_hand.is_finished(), "a suppression passed a send");
    gate.commit().await.unwrap();
    by_hand.await.unwrap();
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 0);
    assert_eq!(setup.state(id).await, (MessageStatus::Refused, "suppressed_manual".to_owned()));
}
