use chrono::DateTime;
use uuid::Uuid;

use super::*;
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
        Ok(standings) => Ok(standings.into_iter().flatten().map(|standing| standing.remaining).collect()),
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
    let (_clock, rates) = rates();
    let key = [Some(KEY), None];
    assert_eq!(charged(&rates, key, 20_000).await, Ok(vec![0]));
    assert_eq!(charged(&rates, key, 20_000).await, Err(("key", 60_000)));
    let [Some(standing), None] = rates.refund(&key, 20_000) else { panic!("one payer") };
    assert_eq!(standing.remaining, 60);
    let [Some(standing), None] = rates.refund(&key, 20_000) else { panic!("one payer") };
    assert_eq!(standing.remaining, 60, "and no more");
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
