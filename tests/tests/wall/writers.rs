//! SQLite has one writer: transactions that write take turns in the order they came, from their first statement on.

use carillon_domain::tenancy::WriteContacts;
use carillon_entities::rows::service::usage;
use carillon_tests::database::start;
use carillon_tests::{Backend, World, WorldOptions};
use futures::future::{join_all, poll_immediate};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use sea_orm::ActiveValue::Set;

async fn sqlite() -> World {
    World::with(WorldOptions { backend: Backend::Sqlite, ..WorldOptions::default() }).await
}

#[tokio::test]
async fn writers_are_served_in_the_order_they_came() {
    let world = sqlite().await;
    let tenant = world.tenant("One").await;
    let grant = world.grant::<WriteContacts>(tenant);
    let first = grant.begin().await.unwrap();
    let mut waiting = Vec::new();
    for number in 0..20 {
        let grant = grant.clone();
        let mut begin = Box::pin(async move { grant.begin().await.map(|tx| (number, tx)) });
        assert!(poll_immediate(&mut begin).await.is_none(), "two writers at once");
        waiting.push(begin.boxed());
    }
    // Readers do not wait for writers.
    grant.begin_read().await.unwrap().commit().await.unwrap();
    first.commit().await.unwrap();
    let mut served = Vec::new();
    let mut done: FuturesUnordered<_> = waiting.into_iter().rev().collect();
    while let Some(begun) = done.next().await {
        let (number, tx) = begun.unwrap();
        tx.commit().await.unwrap();
        served.push(number);
    }
    assert_eq!(served, (0..20).collect::<Vec<_>>());
}

/// BEGIN IMMEDIATE: a transaction that reads and then writes never loses the file in between.
#[tokio::test]
async fn writers_that_read_first_lose_nothing() {
    let world = sqlite().await;
    let tenant = world.tenant("One").await;
    let grant = world.grant::<WriteContacts>(tenant);
    let mut tx = grant.begin().await.unwrap();
    let row = usage::ActiveModel {
        meter: Set("test".to_owned()),
        day: Set(start().date_naive()),
        count: Set(0),
        ..Default::default()
    };
    tx.insert(row).await.unwrap();
    tx.commit().await.unwrap();
    join_all((0..200).map(|_| async {
        let mut tx = grant.begin().await.unwrap();
        let row = tx.select::<usage::Entity>().one().await.unwrap().unwrap();
        tokio::task::yield_now().await;
        let update = tx.update::<usage::Entity>().set(usage::Column::Count, row.count + 1);
        assert_eq!(update.execute().await.unwrap(), 1);
        tx.commit().await.unwrap();
    }))
    .await;
    assert_eq!(world.number("SELECT count AS amount FROM usage").await, 200);
}

/// A commit that happened but whose answer nobody took leaves the connection as good as new: the next transaction that is
/// dropped is rolled back.
#[tokio::test]
async fn c204_after_a_commit_nobody_waited_for_a_dropped_transaction_is_rolled_back() {
    let world = sqlite().await;
    let tenant = world.tenant("One").await;
    let grant = world.grant::<WriteContacts>(tenant);
    let count = async || world.number("SELECT COALESCE(SUM(count), 0) AS amount FROM usage").await;
    for day in 1..=20 {
        let row = |count| usage::ActiveModel {
            meter: Set("test".to_owned()),
            day: Set(start().date_naive() + chrono::TimeDelta::days(day)),
            count: Set(count),
            ..Default::default()
        };
        let mut tx = grant.begin().await.unwrap();
        tx.insert(row(1)).await.unwrap();
        let mut commit = Box::pin(tx.commit());
        assert!(poll_immediate(&mut commit).await.is_none(), "it answered at once");
        while count().await < day {}
        drop(commit);
        let mut tx = grant.begin().await.unwrap();
        let update = tx.update::<usage::Entity>().set(usage::Column::Count, 1000);
        assert_eq!(update.execute().await.unwrap(), u64::try_from(day).unwrap());
        drop(tx);
    }
    assert_eq!(count().await, 20);
}
