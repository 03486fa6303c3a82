//! The usual ways of a message: sent, deferred and sent, bounced, refused.

use carillon_domain::messaging::GROUP;
use carillon_domain::settings::Settings;
use carillon_jobs::catcher::{Action, Behaviour, Moment, Rule, Whom};
use carillon_jobs::handlers::Handlers;
use carillon_tests::WorldOptions;
use carillon_tests::post::Post;
use chrono::TimeDelta;

fn rule(action: Action, first: Option<u32>) -> Behaviour {
    Behaviour { rules: vec![Rule { whom: Whom::Everyone, first, action }] }
}

#[tokio::test]
async fn c164_a_message_arrives_once_and_its_key_counts_once() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    let first = post.send(&[post.intent("hello", contact)]).await;
    let again = post.send(&[post.intent("hello", contact)]).await;
    assert_eq!(first, again);
    post.drain().await;
    assert_eq!(post.story(first[0]).await, "sent [accepted]");
    assert_eq!(post.catcher.count_for("ada@example.org"), 1);
    let mail = post.mail_to("ada@example.org");
    let parsed = mail_parser::MessageParser::default().parse(&mail.raw[..]).unwrap();
    assert_eq!(parsed.subject(), Some("Hello Ada"));
    for header in ["List-Unsubscribe", "List-Unsubscribe-Post", "DKIM-Signature", "List-Id", "Date"] {
        assert!(parsed.header_raw(header).is_some(), "{header}");
    }
    assert_eq!(mail.message_id, Some(post.message(first[0]).await.internet_message_id));
}

#[tokio::test]
async fn c025_a_deferred_message_goes_out_later_under_the_same_message_id() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    post.catcher.set_behaviour(rule(Action::Defer, Some(1)));
    let id = post.send(&[post.intent("hello", contact)]).await[0];
    let before = post.message(id).await;
    post.drain().await;
    assert_eq!(post.story(id).await, "queued [deferred]");
    assert!(post.message(id).await.due_at > post.ports().now() + TimeDelta::minutes(4), "C-61: not at once");
    assert_eq!(post.catcher.totals().stored, 0);
    post.settle().await;
    assert_eq!(post.story(id).await, "sent [deferred accepted]");
    assert_eq!(post.mail_to("ada@example.org").message_id, Some(before.internet_message_id));
}

#[tokio::test]
async fn c051_a_mailbox_that_does_not_exist_gets_nothing_more() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    post.catcher.set_behaviour(rule(Action::Reject, None));
    let first = post.send(&[post.intent("one", contact)]).await[0];
    post.drain().await;
    assert!(post.story(first).await.starts_with("bounced"), "{}", post.story(first).await);
    assert_eq!(post.number("SELECT COUNT(*) AS amount FROM suppressions WHERE reason = 'hard_bounce'").await, 1);
    post.catcher.set_behaviour(Behaviour::default());
    let more = post.send(&[post.intent("two", contact), post.receipt("three", contact)]).await;
    post.settle().await;
    for id in more {
        assert!(post.story(id).await.starts_with("refused"), "{}", post.story(id).await);
    }
    assert_eq!(post.catcher.totals().stored, 0);
}

#[tokio::test]
async fn c175_who_unsubscribed_gets_no_marketing_but_their_receipts() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    post.send(&[post.intent("one", contact)]).await;
    post.drain().await;
    // Queued before they leave, due after.
    let queued = post.send(&[post.intent("two", contact)]).await[0];
    let link = post.one_click(&post.mail_to("ada@example.org"));
    post.unsubscribe(&link).await;
    let after = post.send(&[post.intent("three", contact), post.receipt("four", contact)]).await;
    post.settle().await;
    assert!(post.story(queued).await.starts_with("refused"), "{}", post.story(queued).await);
    assert!(post.story(after[0]).await.starts_with("refused"), "{}", post.story(after[0]).await);
    assert_eq!(post.story(after[1]).await, "sent [accepted]");
    assert_eq!(post.catcher.count_for("ada@example.org"), 2);
}

/// L5: a batch costs what a message costs, but for the groups of sixteen that are started and settled apart.
#[tokio::test]
async fn statements_grow_with_groups_and_not_with_messages() {
    let post = Post::new().await;
    let mut people = Vec::new();
    for number in 0..19 {
        people.push(post.person(&format!("p{number}@example.org")).await);
    }
    let mut costs = Vec::new();
    for batch in [&people[..3], &people[3..]] {
        let intents: Vec<_> = batch.iter().map(|contact| post.intent(&format!("{}", contact.0), *contact)).collect();
        let (_, accepting) = post.statements_of(post.send(&intents)).await;
        let worker = post.worker("counted").await;
        let (done, delivering) = Box::pin(post.statements_of(worker.run_until_quiet())).await;
        assert_eq!(done.unwrap(), batch.len());
        costs.push((accepting, delivering));
    }
    assert_eq!(costs[0], costs[1], "3 messages and 16 cost the same");
    assert_eq!(post.catcher.totals().stored, 19);
}

/// A group more is a step more: on Postgres one statement, which is a transaction of its own; on SQLite a transaction of three.
#[tokio::test]
async fn a_group_costs_one_statement() {
    let post = Post::new().await;
    let mut costs = Vec::new();
    for (round, groups) in [1, 1, 3].into_iter().enumerate() {
        let mut intents = Vec::new();
        for number in 0..groups * GROUP {
            let contact = post.person(&format!("p{round}-{number}@example.org")).await;
            intents.push(post.intent(&format!("{round}-{number}"), contact));
        }
        post.send(&intents).await;
        let worker = post.worker("counted").await;
        let (done, delivering) = Box::pin(post.statements_of(worker.run_until_quiet())).await;
        assert_eq!(done.unwrap(), intents.len());
        costs.push(delivering);
    }
    let step = if post.wall().is_postgres() { 1 } else { 3 };
    assert_eq!(costs[2] - costs[1], 2 * step, "{costs:?}");
}

#[tokio::test]
async fn two_workers_share_the_work_and_send_nothing_twice() {
    let post = Post::new().await;
    let mut intents = Vec::new();
    for number in 0..120 {
        let contact = post.person(&format!("p{number}@example.org")).await;
        intents.push(post.intent(&format!("k{number}"), contact));
    }
    post.send(&intents).await;
    let workers = [post.worker("one").await, post.worker("two").await, post.worker("three").await];
    let done = futures::future::join_all(workers.iter().map(Handlers::run_until_quiet)).await;
    assert_eq!(done.into_iter().map(Result::unwrap).sum::<usize>(), 120);
    let totals = post.catcher.totals();
    assert_eq!((totals.stored, totals.repeated), (120, 0));
}

/// Several messages to one person that are due together all go out.
#[tokio::test]
async fn one_person_may_be_sent_several_messages_at_once() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    let ids = post.send(&[post.receipt("a", contact), post.receipt("b", contact), post.intent("c", contact)]).await;
    post.drain().await;
    for id in ids {
        assert_eq!(post.story(id).await, "sent [accepted]");
    }
    assert_eq!(post.catcher.count_for("ada@example.org"), 3);
}

/// A copy sent later is the same mail: its Date is that of its first hand-off, its bytes are the same.
#[tokio::test]
async fn c026_a_copy_is_dated_by_its_first_hand_off() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    post.catcher.set_behaviour(rule(Action::Drop { stored: true }, Some(1)));
    let id = post.send(&[post.receipt("hello", contact)]).await[0];
    post.drain().await;
    let first = post.mail_to("ada@example.org");
    post.advance(post.ports().settings.reconcile);
    post.settle().await;
    assert_eq!(post.story(id).await, "sent [unknown accepted]");
    let again = post.mail_to("ada@example.org");
    assert_eq!(post.catcher.count_for("ada@example.org"), 2, "the relay hid that it had the first");
    assert_eq!(first.raw, again.raw);

    post.catcher.set_behaviour(rule(Action::Defer, Some(1)));
    post.send(&[post.receipt("later", contact)]).await;
    let due = post.ports().now().timestamp();
    post.drain().await;
    post.settle().await;
    let mail = post.mail_to("ada@example.org");
    let date = mail_parser::MessageParser::default().parse(&mail.raw[..]).unwrap().date().unwrap().to_timestamp();
    assert!((due - 1..=due + 1).contains(&date), "{date}, due at {due}");
}

/// What was never handed over has no first hand-off: the time a relay was away is not the age of the mail.
#[tokio::test]
async fn c026_a_relay_that_was_away_does_not_age_the_mail() {
    let post = Post::new().await;
    // Nobody listens on port 1.
    post.set_relay("smtp://127.0.0.1:1?tls=none").await;
    let contact = post.person("ada@example.org").await;
    let id = post.send(&[post.intent("hello", contact)]).await[0];
    for _ in 0..3 {
        post.drain().await;
        post.advance(TimeDelta::hours(2));
    }
    assert_eq!(post.story(id).await, "queued [not_handed_over not_handed_over not_handed_over]");
    post.set_relay(&format!("smtp://{}?tls=none", post.catcher.addr())).await;
    let sent_at = post.ports().now().timestamp();
    post.settle().await;
    let mail = post.mail_to("ada@example.org");
    let date = mail_parser::MessageParser::default().parse(&mail.raw[..]).unwrap().date().unwrap().to_timestamp();
    assert!(date >= sent_at, "{date} is {} s before the relay was there", sent_at - date);
}

/// An outcome that stays hidden does not make copies faster than the schedule, nor past the message's end.
#[tokio::test]
async fn c168_a_relay_that_hides_every_outcome_gets_few_copies() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    post.catcher.set_behaviour(rule(Action::Drop { stored: true }, None));
    let mut code = post.receipt("code", contact);
    code.expires_at = Some(post.ports().now() + TimeDelta::minutes(10));
    let id = post.send(&[code]).await[0];
    for _ in 0..120 {
        post.drain().await;
        post.advance(TimeDelta::seconds(30));
    }
    assert!(post.story(id).await.starts_with("unknown OUTCOME_UNKNOWN"), "{}", post.story(id).await);
    assert!(post.catcher.count_for("ada@example.org") <= 2, "{}", post.catcher.count_for("ada@example.org"));
}

/// A hand-over that outlasts many renewals of its lease goes on beside them, on either database.
#[tokio::test]
async fn c062_a_slow_relay_and_its_lease_do_not_wait_for_each_other() {
    let settings = Settings { lease: TimeDelta::milliseconds(300), ..Settings::new("https://carillon.test") };
    let post = Post::with(WorldOptions { settings, ..WorldOptions::default() }).await;
    let contact = post.person("ada@example.org").await;
    post.catcher.set_behaviour(rule(Action::Delay { at: Moment::Content, millis: 150 }, None));
    let receipts: Vec<_> = (0..40).map(|n| post.receipt(&format!("r{n}"), contact)).collect();
    let ids = post.send(&receipts).await;
    tokio::time::timeout(std::time::Duration::from_mins(1), post.drain()).await.expect("the batch comes to an end");
    for id in ids {
        assert_eq!(post.story(id).await, "sent [accepted]");
    }
}

/// A key that cannot sign holds the mail of its sender until the mail is stale; the lane goes on.
#[tokio::test]
async fn c002_mail_without_a_usable_key_is_held() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    let id = post.send(&[post.receipt("held", contact)]).await[0];
    let broken = if post.wall().is_postgres() { "'\\x00'::bytea" } else { "x'00'" };
    post.execute(&format!("UPDATE sender_identities SET dkim_sealed = {broken}")).await;
    post.drain().await;
    assert_eq!(post.story(id).await, "queued sender_cannot_sign []");
    assert_eq!(post.catcher.totals().stored, 0);
    post.settle().await;
    assert!(post.story(id).await.starts_with("expired"), "{}", post.story(id).await);
}
