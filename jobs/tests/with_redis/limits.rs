use carillon_domain::tenancy::{Limit, SharedLimits};
use carillon_jobs::redis::Limits;
use chrono::TimeDelta;

use super::server::Server;
use super::{eventually, prefix, redis_url};

const LIMIT: Limit = Limit { burst: 3, every: TimeDelta::hours(1) };

#[tokio::test]
async fn c216_processes_count_together_and_other_deployments_apart() {
    let Some(url) = redis_url() else { return };
    let (ours, theirs) = (prefix(), prefix());
    let processes = [Limits::redis(&url, Some(&ours)).unwrap(), Limits::redis(&url, Some(&ours)).unwrap()];
    for attempt in 0..3 {
        assert_eq!(processes[attempt % 2].take("ada", LIMIT).await, Some(TimeDelta::zero()));
    }
    for process in &processes {
        let wait = process.take("ada", LIMIT).await.unwrap();
        assert!(wait > TimeDelta::minutes(50) && wait <= TimeDelta::hours(1), "{wait}");
        assert_eq!(process.take("bob", LIMIT).await, Some(TimeDelta::zero()));
    }
    let stranger = Limits::redis(&url, Some(&theirs)).unwrap();
    assert_eq!(stranger.take("ada", LIMIT).await, Some(TimeDelta::zero()));
}

#[tokio::test]
async fn a_redis_that_is_away_says_nothing_and_counts_again_when_it_is_back() {
    let Some(mut server) = Server::start().await else { return };
    let limits = Limits::redis(&server.url(), None).unwrap();
    assert_eq!(limits.take("ada", LIMIT).await, Some(TimeDelta::zero()));
    server.kill();
    assert_eq!(limits.take("ada", LIMIT).await, None);
    server.restart().await;
    eventually("it counts again", async || limits.take("ada", LIMIT).await).await;
}
