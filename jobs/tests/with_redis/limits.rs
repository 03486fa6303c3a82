use std::sync::Arc;

use carillon_domain::entropy::SystemEntropy;
use carillon_domain::ids::TenantId;
use carillon_domain::keys::Keyring;
use carillon_domain::tenancy::{Limit, Payer, Payers, RateSettings, Rates, SharedLimits};
use carillon_domain::time::ManualClock;
use carillon_jobs::redis::Limits;
use chrono::TimeDelta;

use super::server::Server;
use super::{eventually, prefix, redis_url};

const LIMIT: Limit = Limit { burst: 3, every: TimeDelta::hours(1) };

fn is_counted(wait: TimeDelta) -> bool {
    wait <= TimeDelta::zero()
}

#[tokio::test]
async fn c216_processes_count_together_and_other_deployments_apart() {
    let Some(url) = redis_url() else { return };
    let (ours, theirs) = (prefix(), prefix());
    let processes = [Limits::redis(&url, Some(&ours)).unwrap(), Limits::redis(&url, Some(&ours)).unwrap()];
    for attempt in 0..3 {
        let room = -processes[attempt % 2].take("ada", LIMIT).await.unwrap();
        let least = TimeDelta::hours(2 - i64::try_from(attempt).unwrap());
        assert!(room >= least && room < least + TimeDelta::minutes(10), "{room}");
    }
    for process in &processes {
        let wait = process.take("ada", LIMIT).await.unwrap();
        assert!(wait > TimeDelta::minutes(50) && wait <= TimeDelta::hours(1), "{wait}");
        assert!(process.take("bob", LIMIT).await.is_some_and(is_counted));
    }
    let stranger = Limits::redis(&url, Some(&theirs)).unwrap();
    assert!(stranger.take("ada", LIMIT).await.is_some_and(is_counted));
}

#[tokio::test]
async fn a_redis_that_is_away_says_nothing_and_counts_again_when_it_is_back() {
    let Some(mut server) = Server::start().await else { return };
    let limits = Limits::redis(&server.url(), None).unwrap();
    assert!(limits.take("ada", LIMIT).await.is_some_and(is_counted));
    server.kill();
    assert_eq!(limits.take("ada", LIMIT).await, None);
    server.restart().await;
    eventually("it counts again", async || limits.take("ada", LIMIT).await).await;
}

/// What a process lets through of requests that cost ten points each, until it refuses.
async fn spend(rates: &Rates, payers: &Payers) -> u64 {
    let mut spent = 0;
    while rates.charge(payers, 10).await.is_ok() {
        spent += 10;
    }
    spent
}

#[tokio::test]
async fn c234_processes_spend_a_bucket_together() {
    let Some(mut server) = Server::start().await else { return };
    let keys = Keyring::generate(&SystemEntropy);
    let process = || {
        let settings = RateSettings { tenant: 1_000, key: 1_000, user: 1_000 };
        let clock = Arc::new(ManualClock::new(chrono::DateTime::UNIX_EPOCH));
        let limits = Limits::redis(&server.url(), None).unwrap();
        (Arc::clone(&clock), Rates::new(clock, settings).sharing(Arc::new(limits), &keys))
    };
    let ((_, one), (clock, two)) = (process(), process());
    let payers = [Some(Payer::Tenant(TenantId(uuid::Uuid::from_u128(1)))), None];
    let first = one.charge(&payers, 10).await.unwrap().standings[0].unwrap();
    assert!((980..=990).contains(&first.remaining), "{first:?}");
    // The server's clock runs on meanwhile: a slice of fifty comes back in three seconds.
    let spent = 10 + spend(&two, &payers).await + spend(&one, &payers).await;
    assert!((1_000..1_200).contains(&spent), "{spent}");
    let limited = two.charge(&payers, 10).await.unwrap_err();
    assert!(limited.wait > TimeDelta::zero() && limited.wait <= TimeDelta::seconds(3), "{limited:?}");
    let others = [Some(Payer::Tenant(TenantId(uuid::Uuid::from_u128(2)))), None];
    assert!(two.charge(&others, 10).await.is_ok());

    server.kill();
    clock.advance(TimeDelta::seconds(6));
    assert!(two.charge(&payers, 10).await.is_ok(), "it goes on for itself");
    let alone = 10 + spend(&two, &payers).await;
    assert!((90..=150).contains(&alone), "with what came back in six seconds, not with a full bucket: {alone}");
}
