//! A server that is slow to answer holds one place of those a claim has, not the mails it was claimed with (C-62).

use carillon_domain::messaging::MessageStatus;
use carillon_jobs::catcher::{Action, Behaviour, Moment, Rule, Whom};
use carillon_tests::post::Post;

/// Slower than any test.
const HOUR_MS: u64 = 3_600_000;

fn slow(address: &str) -> Behaviour {
    let whom = Whom::Address { address: address.to_owned() };
    let action = Action::Delay { at: Moment::Content, millis: HOUR_MS };
    Behaviour { rules: vec![Rule { whom, first: None, action }] }
}

#[tokio::test]
async fn c062_one_slow_server_holds_up_nothing_but_itself() {
    let post = Post::new().await;
    let (ada, bob) = (post.person("ada@example.org").await, post.person("bob@slow.example").await);
    post.catcher.set_behaviour(slow("bob@slow.example"));
    let mut receipts: Vec<_> = (0..39).map(|n| post.receipt(&format!("r{n}"), ada)).collect();
    receipts.insert(3, post.receipt("slow", bob));
    let ids = post.send(&receipts).await;
    let ended = async {
        while post.number("SELECT COUNT(*) AS amount FROM messages WHERE state = 'sent'").await < 39 {
            tokio::task::yield_now().await;
        }
    };
    let all_others = async {
        tokio::select! { () = ended => {}, _ = Box::pin(post.drain()) => panic!("the slow server answered") }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), all_others)
        .await
        .expect("the others wait for the slow one");
    assert_eq!(post.catcher.count_for("ada@example.org"), 39);
    assert_eq!(post.message(ids[3]).await.status, MessageStatus::Claimed);
    let open = "SELECT COUNT(*) AS amount FROM attempts WHERE state IN ('cleared', 'started')";
    assert_eq!(post.number(open).await, 1, "outcomes that are known and not written");
    post.leave_unsettled();
}
