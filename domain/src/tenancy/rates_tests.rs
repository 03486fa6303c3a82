use std::sync::atomic::{AtomicI64, Ordering};

use chrono::DateTime;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::*;
use crate::entropy::SystemEntropy;
use crate::time::ManualClock;

const TENANT: Payer = Payer::Tenant(TenantId(Uuid::from_u128(1)));
const KEY: Payer = Payer::Key(CredentialId(Uuid::from_u128(2)));

fn user(tenant: u128) -> Payer {
    Payer::User(UserId(Uuid::from_u128(3)), Some(TenantId(Uuid::from_u128(tenant))))
}

fn rates() -> (Arc<ManualClock>, Rates) {
    let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
    let settings = RateSettings { tenant: 600, key: 60, user: 120 };
    (Arc::clone(&clock), Rates::new(clock, settings))
}

async fn charged(rates: &Rates, payers: Payers, cost: u64) -> Result<Vec<u32>, (&'static str, i64)> {
    match rates.charge(&payers, cost).await {
        Ok(payment) => Ok(payment.standings.into_iter().flatten().map(|standing| standing.remaining).collect()),
        Err(limited) => Err((limited.payer.kind(), limited.wait.num_milliseconds())),
    }
}

#[tokio::test]
async fn c234_a_bucket_is_spent_and_fills_evenly() {
    let (clock, rates) = rates();
    let tenant = [Some(TENANT), None];
    assert_eq!(charged(&rates, tenant, 500).await, Ok(vec![100]));
    assert_eq!(charged(&rates, tenant, 0).await, Ok(vec![100]), "nothing costs nothing");
    assert_eq!(charged(&rates, tenant, 150).await, Err(("tenant", 5_000)), "ten points come back in a second");
    assert_eq!(charged(&rates, tenant, 100).await, Ok(vec![0]), "a refusal takes nothing");
    clock.advance(TimeDelta::milliseconds(4_999));
    assert_eq!(charged(&rates, tenant, 50).await, Err(("tenant", 1)));
    clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(charged(&rates, tenant, 50).await, Ok(vec![0]));
    let [Some(standing), None] = rates.standings(&tenant) else { panic!("one payer") };
    assert_eq!((standing.limit, standing.full_in), (600, TimeDelta::minutes(1)));
    clock.advance(TimeDelta::hours(1));
    assert_eq!(charged(&rates, tenant, 0).await, Ok(vec![600]), "and never holds more than a minute's");
}

#[tokio::test]
async fn c234_all_payers_pay_or_none_and_the_longest_wait_is_told() {
    let (_clock, rates) = rates();
    let both = [Some(TENANT), Some(KEY)];
    assert_eq!(charged(&rates, both, 50).await, Ok(vec![550, 10]));
    assert_eq!(charged(&rates, both, 20).await, Err(("key", 10_000)));
    assert_eq!(charged(&rates, [Some(TENANT), None], 550).await, Ok(vec![0]));
    assert_eq!(charged(&rates, both, 11).await, Err(("tenant", 1_100)), "the key waits one second");
    assert_eq!(charged(&rates, both, 30).await, Err(("key", 20_000)), "the tenant waits three");
}

#[tokio::test]
async fn c234_tenants_keys_and_users_are_counted_apart() {
    let (_clock, rates) = rates();
    assert_eq!(charged(&rates, [None, Some(user(1))], 120).await, Ok(vec![0]));
    assert_eq!(charged(&rates, [None, Some(user(1))], 1).await, Err(("user", 500)));
    assert_eq!(charged(&rates, [None, Some(user(2))], 1).await, Ok(vec![119]), "an agency's user in another tenant");
    let other = [Some(Payer::Tenant(TenantId(Uuid::from_u128(9)))), Some(KEY)];
    assert_eq!(charged(&rates, other, 1).await, Ok(vec![599, 59]));
    assert_eq!(charged(&rates, [None, None], u64::MAX).await, Ok(vec![]), "nobody pays");
}

#[tokio::test]
async fn what_costs_more_than_a_bucket_takes_a_full_one_and_comes_back() {
    let (clock, rates) = rates();
    let key = [Some(KEY), None];
    let payment = rates.charge(&key, 20_000).await.unwrap();
    assert_eq!(payment.standings[0].map(|standing| standing.remaining), Some(0));
    assert_eq!(charged(&rates, key, 20_000).await, Err(("key", 60_000)));
    clock.advance(TimeDelta::seconds(30));
    let [Some(standing), None] = rates.refund(payment) else { panic!("one payer") };
    assert_eq!(standing.remaining, 60, "a full bucket, and no more");
}

/// A limiter that gives slices or a wait, or is away.
#[derive(Debug)]
struct Shop {
    /// Slices that are left; below zero it is away.
    slices: AtomicI64,
}

impl SharedLimits for Shop {
    fn take<'a>(&'a self, _: &'a str, limit: Limit) -> BoxFuture<'a, Option<TimeDelta>> {
        let answer = match self.slices.load(Ordering::Relaxed) {
            ..0 => None,
            0 => Some(limit.every),
            _ => {
                self.slices.fetch_sub(1, Ordering::Relaxed);
                Some(TimeDelta::zero())
            }
        };
        Box::pin(async move { answer })
    }
}

/// A process whose tenant has 600 points a minute, in slices of 30, one every three seconds.
fn sharing(slices: i64) -> (Arc<ManualClock>, Arc<Shop>, Rates) {
    let (clock, rates) = rates();
    let shop = Arc::new(Shop { slices: slices.into() });
    let keys = Keyring::generate(&SystemEntropy);
    (clock, Arc::clone(&shop), rates.sharing(shop, &keys))
}

#[tokio::test]
async fn c234_who_needs_several_slices_is_told_to_wait_for_all_of_them() {
    let (clock, shop, rates) = sharing(1);
    let tenant = [Some(TENANT), None];
    assert_eq!(charged(&rates, tenant, 100).await, Err(("tenant", 9_000)), "thirty are there, three slices come");
    assert_eq!(charged(&rates, tenant, 31).await, Err(("tenant", 3_000)), "one is enough");
    clock.advance(TimeDelta::seconds(9));
    shop.slices.store(3, Ordering::Relaxed);
    assert!(rates.charge(&tenant, 100).await.is_ok(), "and then it is");
}

#[tokio::test]
async fn c234_nothing_is_saved_up_while_the_limiter_is_away() {
    let (clock, shop, rates) = sharing(-1);
    let tenant = [Some(TENANT), None];
    for _ in 0..50 {
        let payment = rates.charge(&tenant, 100).await.unwrap();
        rates.refund(payment);
    }
    clock.advance(TimeDelta::seconds(6));
    shop.slices.store(0, Ordering::Relaxed);
    assert_eq!(charged(&rates, tenant, 1).await, Err(("tenant", 3_000)), "there is nothing but what it gives");

    clock.advance(TimeDelta::seconds(3));
    shop.slices.store(1, Ordering::Relaxed);
    let payment = rates.charge(&tenant, 30).await.unwrap();
    rates.refund(payment);
    assert!(rates.charge(&tenant, 30).await.is_ok(), "what a slice paid goes back into it");
    assert!(rates.charge(&tenant, 1).await.is_err());
}

#[test]
fn slices_make_up_a_bucket() {
    for quota in [1, 2, 19, 20, 21, 99, 100, 100_000, 1_000_000_000] {
        let (limit, size) = slices(quota);
        let all = size * u64::from(limit.burst);
        assert!(limit.burst <= SLICES && all >= quota && all < quota + size, "{quota}: {limit:?} of {size}");
        let window = limit.every * i32::try_from(limit.burst).unwrap();
        assert!((TimeDelta::minutes(1) - window).num_milliseconds().abs() < 1, "{quota}: {window}");
    }
}
