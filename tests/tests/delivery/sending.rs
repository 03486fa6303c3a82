//! The usual ways of a message: sent, deferred and sent, bounced, refused.

use carillon_jobs::catcher::{Action, Behaviour, Rule, Whom};
use carillon_jobs::handlers::Handlers;
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
        let (done, delivering) = post.statements_of(worker.run_until_quiet()).await;
        assert_eq!(done.unwrap(), batch.len());
        costs.push((accepting, delivering));
    }
    assert_eq!(costs[0], costs[1], "3 messages and 16 cost the same");
    assert_eq!(post.catcher.totals().stored, 19);
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
