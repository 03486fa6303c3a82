//! A permit is good for seconds (L3): what could not leave in them goes back to the gate.

use carillon_jobs::catcher::{Action, Behaviour, Moment, Rule, Whom};
use carillon_tests::post::Post;
use chrono::TimeDelta;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_leave_while_its_permit_was_good_passes_the_gate_again() {
    const PEOPLE: usize = 48;
    let post = Post::new().await;
    let slow = Action::Delay { at: Moment::Content, millis: 100 };
    post.catcher.set_behaviour(Behaviour { rules: vec![Rule { whom: Whom::Everyone, first: None, action: slow }] });
    let mut intents = Vec::new();
    for number in 0..PEOPLE {
        let person = post.person(&format!("p{number}@example.org")).await;
        intents.push(post.intent(&format!("k{number}"), person));
    }
    post.send(&intents).await;
    let worker = post.worker("slow").await;
    let working = tokio::spawn(async move { worker.run_until_quiet().await.unwrap() });
    post.catcher.stored_at_least(1).await;
    post.advance(post.ports().settings.permit_life + TimeDelta::seconds(1));
    working.await.unwrap();
    // Of the first two groups some were on their way; the third had not begun.
    let lapsed = post.number("SELECT COUNT(*) AS amount FROM attempts WHERE state = 'lapsed'").await;
    assert!(lapsed >= 16, "{lapsed} of {PEOPLE} went back to the gate");
    assert_eq!(post.number("SELECT COUNT(*) AS amount FROM messages WHERE state <> 'sent'").await, 0);
    assert_eq!((post.catcher.totals().stored, post.catcher.totals().repeated), (PEOPLE as u64, 0));
}
