//! Leases and fences: what a worker lost it cannot touch (C-166, C-167).

use carillon_domain::messaging::{self, AttemptRef, AttemptStatus, HandOver, HandOverStep, Lane, MessageStatus};
use chrono::TimeDelta;

use crate::setup::{Setup, settled};

const ADA: &str = "ada@example.org";

/// Longer than a claim holds.
const LAPSE: TimeDelta = TimeDelta::seconds(31);

#[tokio::test]
async fn c166_a_worker_that_lost_its_claim_starts_nothing() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let (old, cleared) = setup.cleared(Lane::Bulk).await;
    let lost = cleared[0].attempt();
    setup.world.advance(LAPSE);
    assert_eq!(setup.start(&[lost]).await, 0, "a lapsed claim starts nothing, swept or not");
    assert_eq!(setup.sweep().await.taken_back, 1);
    assert_eq!(setup.attempts(id).await[0].status, AttemptStatus::Lapsed);
    assert_eq!(setup.start(&[lost]).await, 0);

    let (new, cleared) = setup.cleared(Lane::Bulk).await;
    assert!(new[0].fence > old[0].fence);
    let held = cleared[0].attempt();
    assert_eq!((held.number, setup.start(&[lost]).await), (2, 0));
    // The old worker wakes up and reports what it believes.
    setup.settle(&old[0], lost, HandOver::Accepted).await;
    assert_eq!(setup.state(id).await.0, MessageStatus::Claimed, "the new worker's message is left alone");
    assert_eq!(setup.start(&[held]).await, 1);
    setup.settle(&new[0], held, HandOver::Accepted).await;
    let states: Vec<_> = setup.attempts(id).await.into_iter().map(|attempt| attempt.status).collect();
    assert_eq!(states, [AttemptStatus::Lapsed, AttemptStatus::Accepted]);
    assert_eq!(setup.state(id).await.0, MessageStatus::Sent);
}

#[tokio::test]
async fn c166_a_stale_draft_is_not_cleared() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let old = setup.claim(Lane::Bulk).await;
    setup.world.advance(LAPSE);
    setup.sweep().await;
    assert!(setup.clear(&old).await.is_empty());
    let new = setup.claim(Lane::Bulk).await;
    assert!(setup.clear(&old).await.is_empty(), "not while another has it either");
    assert_eq!(setup.count("gate_decisions").await, 0);
    let cleared = setup.clear(&new).await;
    setup.start(&[cleared[0].attempt()]).await;
    setup.settle(&new[0], cleared[0].attempt(), HandOver::Accepted).await;
    assert_eq!(setup.state(id).await.0, MessageStatus::Sent);
}

#[tokio::test]
async fn c167_a_started_attempt_of_a_lost_worker_is_unknown() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let (old, cleared) = setup.cleared(Lane::Bulk).await;
    let attempt = cleared[0].attempt();
    assert_eq!(setup.start(&[attempt]).await, 1);
    assert_eq!(setup.start(&[attempt]).await, 0, "once");
    assert_eq!(setup.sweep().await.taken_back, 0, "a claim that holds is not swept");
    setup.world.advance(LAPSE);
    assert_eq!(setup.sweep().await.taken_back, 1);
    assert_eq!(setup.state(id).await, (MessageStatus::Unknown, "OUTCOME_UNKNOWN".to_owned()));
    assert_eq!(setup.attempts(id).await[0].status, AttemptStatus::Unknown);
    assert!(setup.claim(Lane::Bulk).await.is_empty(), "marketing is not sent twice");

    // The worker was slow, not dead: its outcome settles its attempt, and the next sweep believes it.
    setup.settle(&old[0], attempt, HandOver::Accepted).await;
    assert_eq!(setup.attempts(id).await[0].status, AttemptStatus::Accepted);
    assert_eq!(setup.state(id).await.0, MessageStatus::Unknown, "the message row is not its to change");
    setup.world.advance(TimeDelta::minutes(11));
    assert_eq!(setup.sweep().await.decided, 1);
    assert_eq!(setup.state(id).await, (MessageStatus::Sent, String::new()));
}

#[tokio::test]
async fn c168_what_stays_unknown_is_decided_by_class() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let news = setup.send_news("k", ada).await;
    let receipt = setup.send(&[setup.receipt("r", ADA)]).await[0];
    for lane in [Lane::Bulk, Lane::Transactional] {
        let attempts: Vec<AttemptRef> =
            setup.cleared(lane).await.1.iter().map(carillon_domain::messaging::Cleared::attempt).collect();
        assert_eq!(setup.start(&attempts).await, 1);
    }
    setup.world.advance(LAPSE);
    assert_eq!(setup.sweep().await.taken_back, 2);
    setup.world.advance(TimeDelta::minutes(9));
    assert_eq!(setup.sweep().await.decided, 0, "evidence is waited for");
    setup.world.advance(TimeDelta::minutes(2));
    assert_eq!(setup.sweep().await.decided, 2);
    assert_eq!(setup.sweep().await.decided, 0, "decided once");
    assert_eq!(setup.state(news).await.0, MessageStatus::Unknown);
    let again = setup.message(receipt).await;
    assert_eq!((again.status, again.settled_at), (MessageStatus::Queued, None));
    assert!(again.due_at >= setup.ports().now() + TimeDelta::minutes(5), "no sooner than any retry (C-61)");
    setup.world.advance(TimeDelta::minutes(15));
    let (claimed, cleared) = setup.cleared(Lane::Transactional).await;
    assert_eq!(cleared[0].message().internet_message_id, again.internet_message_id, "the same Message-ID (C-25)");
    setup.start(&[cleared[0].attempt()]).await;
    setup.settle(&claimed[0], cleared[0].attempt(), HandOver::Accepted).await;
    assert_eq!(setup.state(receipt).await.0, MessageStatus::Sent);
}

/// Permits that ran out, or workers that died before they began: nothing of that was a try.
#[tokio::test]
async fn c061_attempts_of_which_nothing_left_do_not_delay_a_retry() {
    let setup = Setup::new().await;
    let receipt = setup.send(&[setup.receipt("r", ADA)]).await[0];
    for _ in 0..6 {
        assert_eq!(setup.cleared(Lane::Transactional).await.1.len(), 1);
        setup.world.advance(LAPSE);
        assert_eq!(setup.sweep().await.taken_back, 1);
    }
    assert_eq!(setup.round(Lane::Transactional, &HandOver::Unknown).await, 1);
    setup.world.advance(TimeDelta::minutes(10));
    assert_eq!(setup.sweep().await.decided, 1);
    let again = setup.message(receipt).await;
    assert_eq!(again.status, MessageStatus::Queued);
    let wait = again.due_at - setup.ports().now();
    assert!(wait <= TimeDelta::minutes(15), "{wait} after one try");
    setup.world.advance(wait);
    assert_eq!(setup.round(Lane::Transactional, &HandOver::Accepted).await, 1);
}

#[tokio::test]
async fn c168_an_unknown_outcome_that_the_worker_saw_is_decided_by_class() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let news = setup.send_news("k", ada).await;
    let receipt = setup.send(&[setup.receipt("r", ADA)]).await[0];
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Unknown).await, 1);
    assert_eq!(setup.round(Lane::Transactional, &HandOver::Unknown).await, 1);
    assert_eq!(setup.state(news).await.0, MessageStatus::Unknown);
    assert_eq!(setup.state(receipt).await.0, MessageStatus::Unknown);
    setup.world.advance(TimeDelta::minutes(9));
    assert_eq!(setup.sweep().await.decided, 0, "evidence is waited for");
    setup.world.advance(TimeDelta::minutes(1));
    assert_eq!(setup.sweep().await.decided, 2);
    assert_eq!(setup.state(receipt).await.0, MessageStatus::Queued);
    setup.world.advance(TimeDelta::hours(1));
    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 0);
    assert_eq!(setup.round(Lane::Transactional, &HandOver::Accepted).await, 1);
    assert_eq!(setup.state(news).await.0, MessageStatus::Unknown);
}

#[tokio::test]
async fn a_living_worker_keeps_what_it_renews() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let (claimed, cleared) = setup.cleared(Lane::Bulk).await;
    let attempt = cleared[0].attempt();
    let grant = setup.world.grant(setup.tenant);
    for _ in 0..3 {
        setup.world.advance(TimeDelta::seconds(20));
        let until = messaging::renew(&grant, setup.ports(), &[attempt]).await.unwrap();
        assert_eq!(until, Some(setup.ports().now() + setup.ports().settings.lease));
        assert_eq!(setup.sweep().await.taken_back, 0);
    }
    assert_eq!(setup.start(&[attempt]).await, 1);
    setup.settle(&claimed[0], attempt, HandOver::Accepted).await;
    assert_eq!(messaging::renew(&grant, setup.ports(), &[attempt]).await.unwrap(), None, "nothing is held any more");
    assert_eq!(setup.state(id).await.0, MessageStatus::Sent);
}

#[tokio::test]
async fn each_due_message_is_claimed_once() {
    let setup = Setup::new().await;
    setup.world.leave_unsettled();
    let intents: Vec<_> = (0..50).map(|n| setup.receipt(&format!("r{n}"), ADA)).collect();
    setup.send(&intents).await;
    let grant = setup.world.grant(setup.tenant);
    let claim =
        |worker: &'static str| messaging::claim(&grant, setup.ports(), &setup.cache, Lane::Transactional, (20, worker));
    let (a, b, c, d) = futures::join!(claim("a"), claim("b"), claim("c"), claim("d"));
    let mut ids: Vec<_> =
        [a, b, c, d].into_iter().flat_map(|claimed| claimed.unwrap().messages).map(|one| one.id).collect();
    let claimed = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), claimed, "no message was claimed twice");
    assert_eq!(setup.count("messages WHERE state = 'claimed'").await, i64::try_from(claimed).unwrap());
    assert!(setup.claim(Lane::Bulk).await.is_empty(), "lanes are apart");
}

/// A server took it, the worker wrote that down and died before it ended the message: the sweep ends it, nobody sends
/// it again.
#[tokio::test]
async fn c167_what_a_lost_worker_had_delivered_is_sent() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let (claimed, cleared) = setup.cleared(Lane::Bulk).await;
    let attempt = cleared[0].attempt();
    assert_eq!(setup.start(&[attempt]).await, 1);
    let outcomes = vec![settled(&claimed[0], attempt, HandOver::Accepted)];
    setup.record(HandOverStep { outcomes, ..HandOverStep::default() }).await;
    assert_eq!(setup.state(id).await.0, MessageStatus::Claimed);
    setup.world.advance(LAPSE);
    assert_eq!(setup.sweep().await.taken_back, 1);
    assert_eq!(setup.state(id).await.0, MessageStatus::Sent);
    assert_eq!(setup.count("message_events").await, 1);
}

/// Evidence that comes after an outcome was left at unknown still settles it.
#[tokio::test]
async fn c168_late_evidence_is_believed() {
    let setup = Setup::new().await;
    let ada = setup.reader(ADA).await;
    let id = setup.send_news("k", ada).await;
    let (claimed, cleared) = setup.cleared(Lane::Bulk).await;
    let attempt = cleared[0].attempt();
    assert_eq!(setup.start(&[attempt]).await, 1);
    setup.world.advance(LAPSE);
    setup.sweep().await;
    setup.world.advance(TimeDelta::hours(1));
    assert_eq!(setup.sweep().await.decided, 1);
    assert_eq!(setup.state(id).await.0, MessageStatus::Unknown);
    setup.world.advance(TimeDelta::hours(1));
    setup.settle(&claimed[0], attempt, HandOver::Accepted).await;
    assert_eq!(setup.sweep().await.decided, 1);
    assert_eq!(setup.state(id).await.0, MessageStatus::Sent);
}

/// Evidence that comes when the message is queued again, or claimed, keeps the copy back.
#[tokio::test]
async fn c168_late_evidence_is_believed_between_two_attempts() {
    for claimed_again in [false, true] {
        let setup = Setup::new().await;
        let id = setup.send(&[setup.receipt("k", ADA)]).await[0];
        let (old, cleared) = setup.cleared(Lane::Transactional).await;
        let first = cleared[0].attempt();
        assert_eq!(setup.start(&[first]).await, 1);
        setup.world.advance(LAPSE);
        setup.sweep().await;
        setup.world.advance(setup.ports().settings.reconcile);
        assert_eq!(setup.sweep().await.decided, 1);
        assert_eq!(setup.state(id).await.0, MessageStatus::Queued);
        setup.world.advance(TimeDelta::hours(1));
        let again = if claimed_again { Some(setup.cleared(Lane::Transactional).await) } else { None };
        setup.settle(&old[0], first, HandOver::Accepted).await;
        if let Some((new, cleared)) = again {
            let second = cleared[0].attempt();
            assert_eq!(setup.start(&[second]).await, 0, "a copy of what was taken");
            let lapse = HandOver::NotHandedOver(messaging::NotHandedOver::PermitExpired);
            setup.settle(&new[0], second, lapse).await;
        }
        assert!(setup.claim(Lane::Transactional).await.is_empty());
        assert_eq!(setup.state(id).await.0, MessageStatus::Sent);
        assert_eq!(setup.attempts(id).await[0].status, AttemptStatus::Accepted);
    }
}
