//! Accepting intents: each key counts once, each intent has its own verdict, and cost does not grow with their number.

use carillon_domain::error::{Error, Refusal};
use carillon_domain::messaging::{self, HandOver, Intent, Lane, MessageClass, MessageStatus, Recipient};
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::SendMessages;
use chrono::TimeDelta;
use serde_json::json;

use crate::setup::{Setup, email};

fn refusal<T: std::fmt::Debug>(result: Result<T, Refusal>) -> (&'static str, String) {
    let refusal = result.unwrap_err();
    (refusal.code, refusal.field)
}

#[tokio::test]
async fn c164_the_same_key_makes_one_message() {
    let setup = Setup::new().await;
    setup.world.leave_unsettled();
    let ada = setup.reader("ada@example.org").await;
    let first = setup.try_send(&[setup.news("k", ada)]).await.unwrap().remove(0).unwrap();
    assert!(first.created && first.status == MessageStatus::Queued);
    let again = setup.try_send(&[setup.news("k", ada)]).await.unwrap().remove(0).unwrap();
    assert_eq!((again.message, again.created), (first.message, false));

    let mut other = setup.news("k", ada);
    other.variables.insert("what".to_owned(), json!("else"));
    let other = setup.try_send(&[other]).await.unwrap().remove(0);
    assert_eq!(refusal(other), ("IDEMPOTENCY_MISMATCH", "idempotencyKey".to_owned()));

    let mut third = setup.news("twice", ada);
    third.expires_at = Some(setup.ports().now() + TimeDelta::hours(1));
    let batch = [setup.news("twice", ada), setup.news("twice", ada), third];
    let mut verdicts = setup.try_send(&batch).await.unwrap();
    assert_eq!(refusal(verdicts.pop().unwrap()).0, "IDEMPOTENCY_MISMATCH");
    let (second, first) = (verdicts.pop().unwrap().unwrap(), verdicts.pop().unwrap().unwrap());
    assert!(first.created && !second.created && first.message == second.message);
    assert_eq!(setup.count("messages").await, 2);
    let used = "SELECT CAST(SUM(count) AS BIGINT) AS amount FROM usage WHERE meter = 'messages'";
    assert_eq!(setup.world.number(used).await, 2, "a repeated intent is counted once");
}

#[tokio::test]
async fn c157_a_key_still_stands_for_its_message_after_a_rotation() {
    let setup = Setup::new().await;
    setup.world.leave_unsettled();
    let first = setup.send(&[setup.receipt("k", "ada@example.org")]).await[0];
    let rotated = setup.ports().keys.rotated(setup.ports().entropy.as_ref());
    let ports = Ports { keys: rotated.into(), ..setup.ports().clone() };
    let grant = setup.world.grant::<SendMessages>(setup.tenant);
    let mut tx = grant.begin().await.unwrap();
    let intents = [setup.receipt("k", "ada@example.org"), setup.receipt("other", "eve@example.org")];
    let verdicts = messaging::send_messages(&grant, &mut tx, &ports, &intents).await.unwrap();
    let changed = [setup.receipt("k", "eve@example.org")];
    let changed = messaging::send_messages(&grant, &mut tx, &ports, &changed).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(verdicts[0].as_ref().unwrap().message, first);
    assert!(verdicts[1].as_ref().unwrap().created);
    assert_eq!(changed[0].as_ref().unwrap_err().code, "IDEMPOTENCY_MISMATCH");
}

#[tokio::test]
async fn each_intent_has_its_own_verdict() {
    let setup = Setup::new().await;
    setup.world.leave_unsettled();
    let (ada, now) = (setup.reader("ada@example.org").await, setup.ports().now());
    let news = |change: &dyn Fn(&mut Intent)| {
        let mut intent = setup.news("one-of-many", ada);
        change(&mut intent);
        intent
    };
    let cases: Vec<(Intent, &str, &str)> = vec![
        (news(&|intent| intent.key = String::new()), "INVALID_IDEMPOTENCY_KEY", "idempotencyKey"),
        (news(&|intent| intent.key = "a\r\nb".into()), "INVALID_IDEMPOTENCY_KEY", "idempotencyKey"),
        (news(&|intent| intent.topic = None), "TOPIC_REQUIRED", "topicId"),
        (news(&|intent| intent.topic = setup.news.all_marketing), "TOPIC_RESERVED", "topicId"),
        (news(&|intent| intent.topic = Some(setup.ports().new_id())), "NOT_FOUND", "topicId"),
        (news(&|intent| intent.class = MessageClass::Transactional), "CLASS_MISMATCH", "class"),
        (news(&|intent| intent.sender = setup.ports().new_id()), "NOT_FOUND", "senderId"),
        (news(&|intent| intent.template_version = setup.ports().new_id()), "NOT_FOUND", "templateVersionId"),
        (news(&|intent| intent.to = Recipient::Contact(setup.ports().new_id())), "NOT_FOUND", "to.contactId"),
        (news(&|intent| intent.to = Recipient::Address(email("x@example.org"))), "CONTACT_REQUIRED", "to"),
        (news(&|intent| intent.expires_at = Some(now)), "BAD_EXPIRY", "expiresAt"),
        (news(&|intent| intent.expires_at = Some(now + TimeDelta::days(6))), "BAD_EXPIRY", "expiresAt"),
        (news(&|intent| intent.send_at = Some(now + TimeDelta::days(91))), "TOO_FAR_AHEAD", "sendAt"),
    ];
    let mut intents: Vec<Intent> = cases.iter().map(|case| case.0.clone()).collect();
    intents.push(setup.news("good", ada));
    let mut verdicts = setup.try_send(&intents).await.unwrap();
    assert!(verdicts.pop().unwrap().unwrap().created, "the good one is queued all the same");
    for (verdict, (_, code, field)) in verdicts.into_iter().zip(cases) {
        assert_eq!(refusal(verdict), (code, field.to_owned()));
    }
    assert_eq!(setup.count("messages").await, 1);
}

#[tokio::test]
async fn archived_and_deleted_contacts_are_refused() {
    let setup = Setup::new().await;
    let ada = setup.reader("ada@example.org").await;
    for state in ["archived", "deleted"] {
        setup.world.execute(&format!("UPDATE contacts SET state = '{state}'")).await;
        let verdict = setup.try_send(&[setup.news(state, ada)]).await.unwrap().remove(0);
        assert_eq!(refusal(verdict), ("CONTACT_INACTIVE", "to.contactId".to_owned()));
    }
    setup.world.execute("UPDATE contacts SET state = 'active', email = NULL").await;
    let verdict = setup.try_send(&[setup.news("none", ada)]).await.unwrap().remove(0);
    assert_eq!(refusal(verdict), ("NO_ADDRESS", "to.contactId".to_owned()));
}

#[tokio::test]
async fn the_daily_limit_holds_for_the_whole_call() {
    let setup = Setup::new().await;
    setup.world.leave_unsettled();
    setup.world.execute("UPDATE tenants SET max_messages_per_day = 3").await;
    let batch = |from: u32, to: u32| -> Vec<Intent> {
        (from..to).map(|n| setup.receipt(&format!("r{n}"), "ada@example.org")).collect()
    };
    assert_eq!(setup.send(&batch(0, 2)).await.len(), 2);
    let refused = setup.try_send(&batch(2, 4)).await;
    assert!(matches!(refused, Err(Error::Refused(refusals)) if refusals[0].code == "QUOTA_EXCEEDED"));
    assert_eq!(setup.count("messages").await, 2, "nothing half-done");
    assert_eq!(setup.send(&batch(2, 3)).await.len(), 1, "what fits goes");
    assert_eq!(setup.send(&batch(0, 3)).await.len(), 3, "what was accepted before costs nothing");
    setup.world.advance(TimeDelta::days(1));
    assert_eq!(setup.send(&batch(4, 7)).await.len(), 3);
}

#[tokio::test]
async fn l5_a_hundred_times_the_messages_cost_no_statement_more() {
    let setup = Setup::new().await;
    let mut costs = Vec::new();
    // The first round fills the cache of content.
    for (round, amount) in [1usize, 3, 300].into_iter().enumerate() {
        let address = |n: usize| format!("p{round}-{n}@example.org");
        let intents: Vec<Intent> = (0..amount).map(|n| setup.receipt(&format!("{round}-{n}"), &address(n))).collect();
        let (sent, accepting) = setup.world.statements_of(setup.send(&intents)).await;
        assert_eq!(sent.len(), amount);
        let (went, handing) = setup.world.statements_of(setup.round(Lane::Transactional, &HandOver::Accepted)).await;
        assert_eq!(went, amount);
        costs.push((accepting, handing));
    }
    assert_eq!(costs[1], costs[2], "statements for 3 and for 300 messages");
    assert!(costs[2].0 < 20 && costs[2].1 < 40, "{costs:?}");
    assert_eq!(setup.count("messages WHERE state = 'sent'").await, 304);
}

#[tokio::test]
async fn only_what_waits_can_be_taken_back() {
    let setup = Setup::new().await;
    let first = setup.send(&[setup.receipt("a", "a@example.org")]).await[0];
    let claimed = setup.claim(Lane::Transactional).await;
    let second = setup.send(&[setup.receipt("b", "b@example.org")]).await[0];
    let cancel = async |ids: &[_]| {
        let grant = setup.world.grant::<SendMessages>(setup.tenant);
        let mut tx = grant.begin().await.unwrap();
        let count = messaging::cancel_messages(&grant, &mut tx, setup.ports(), ids).await.unwrap();
        tx.commit().await.unwrap();
        count
    };
    assert_eq!(cancel(&[first, second, setup.ports().new_id()]).await, 1);
    assert_eq!(cancel(&[second]).await, 0, "once");
    assert_eq!(setup.state(second).await.0, MessageStatus::Cancelled);
    assert!(setup.claim(Lane::Transactional).await.is_empty());
    let cleared = setup.clear(&claimed).await;
    let attempt = cleared[0].attempt();
    setup.start(&[attempt]).await;
    setup.settle(&claimed[0], attempt, HandOver::Accepted).await;
    assert_eq!(setup.state(first).await.0, MessageStatus::Sent);
}

/// An answer that got lost on its way is given again, whatever has become of the intent's parts since (C-164).
#[tokio::test]
async fn c164_what_was_accepted_stays_accepted() {
    let setup = Setup::new().await;
    setup.world.leave_unsettled();
    let ada = setup.reader("ada@example.org").await;
    let mut intent = setup.news("k", ada);
    intent.expires_at = Some(setup.ports().now() + TimeDelta::minutes(10));
    let first = setup.send(&[intent.clone()]).await;
    setup.world.advance(TimeDelta::minutes(11));
    setup.world.execute("UPDATE contacts SET state = 'archived'").await;
    assert_eq!(setup.send(&[intent.clone()]).await, first);
    intent.expires_at = None;
    let verdict = setup.try_send(&[intent]).await.unwrap().remove(0);
    assert_eq!(refusal(verdict), ("IDEMPOTENCY_MISMATCH", "idempotencyKey".to_owned()));
}
