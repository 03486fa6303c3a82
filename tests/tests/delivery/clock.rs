//! C-180: a process that does not know the time takes nothing.

use std::sync::Arc;

use carillon_domain::dispatch::elect;
use carillon_domain::messaging::{ContentCache, Lane, claim, sweep};
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::SendMessages;
use carillon_domain::time::{Clock as _, DatabaseClock};
use carillon_tests::post::Post;
use chrono::TimeDelta;

#[tokio::test]
async fn c180_without_the_time_nothing_is_claimed_swept_or_dispatched() {
    let post = Post::new().await;
    let contact = post.person("ada@example.org").await;
    post.send(&[post.intent("hello", contact)]).await;
    let clock = Arc::new(DatabaseClock::new());
    let ports = Ports { clock: clock.clone(), ..post.ports().clone() };
    let worker = post.worker_with("unsure", ports.clone()).await;
    assert_eq!(worker.run_until_quiet().await.unwrap(), 0);
    assert!(!elect(&ports, "bulk", "unsure").await.unwrap());

    // What another worker claimed and lost is not swept either.
    let grant = post.grant::<SendMessages>(post.tenant);
    let taken = claim(&grant, post.ports(), &ContentCache::default(), Lane::Bulk, (1, "lost")).await.unwrap();
    assert_eq!(taken.messages.len(), 1);
    post.advance(post.ports().settings.lease + TimeDelta::seconds(1));
    assert_eq!(sweep(&grant, &ports).await.unwrap().taken_back, 0);

    clock.measured(post.ports().now() + TimeDelta::seconds(1), clock.monotonic(), clock.monotonic());
    assert_eq!(sweep(&grant, &ports).await.unwrap().taken_back, 1);
    assert!(elect(&ports, "bulk", "unsure").await.unwrap());

    // A host whose own clock is wrong leaves the work to others, and takes it up when it is right again.
    clock.compare_host(clock.now() - DatabaseClock::HOST_WRONG - TimeDelta::seconds(1));
    assert!(!elect(&ports, "bulk", "unsure").await.unwrap());
    assert_eq!(worker.run_until_quiet().await.unwrap(), 0);
    clock.compare_host(clock.now() + DatabaseClock::HOST_ALARM + TimeDelta::seconds(1));
    assert!(elect(&ports, "bulk", "unsure").await.unwrap(), "that is an alarm only");
    assert_eq!(worker.run_until_quiet().await.unwrap(), 1);
    assert_eq!(post.catcher.count_for("ada@example.org"), 1);
}
