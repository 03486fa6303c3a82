//! Partitions of the append-only tables: made ahead of time, whole, and dropped only where history may go.

use std::time::Duration;

use carillon_migration::schema::{Access, tables};
use carillon_migration::{LOCK_TIMEOUT_MS, MONTHS_AHEAD, inspect, maintain};
use carillon_tests::database::start;
use carillon_tests::{World, WorldOptions};
use chrono::Months;
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};

fn partitioned() -> usize {
    tables().filter(|table| table.access == Access::AppendOnlyPartitioned).count()
}

#[tokio::test]
async fn maintenance_makes_the_coming_months_and_drops_only_events_past_their_time() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let url = &world.database.admin_url;
    let nothing = maintain(url, start(), None).await.unwrap();
    assert!(nothing.made.is_empty() && nothing.dropped.is_empty(), "{nothing:?}");

    let later = start() + Months::new(2);
    let done = maintain(url, later, None).await.unwrap();
    assert_eq!((done.made.len(), done.dropped.len()), (2 * partitioned(), 0), "{done:?}");
    assert!(done.made.iter().any(|name| name == "gate_decisions_2026_08"), "{:?} ahead by {MONTHS_AHEAD}", done.made);
    let open = world
        .number(
            "SELECT COUNT(*) AS amount FROM pg_class c WHERE c.relispartition AND c.relkind = 'r' AND NOT \
             (c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid \
             AND t.tgname = 'append_only_truncate'))",
        )
        .await;
    assert_eq!(open, 0, "partitions that are not held");

    let done = maintain(url, later, Some(start() + Months::new(1))).await.unwrap();
    assert_eq!(done.made, Vec::<String>::new());
    let mut dropped = done.dropped;
    dropped.sort();
    let months = |table: &str| ["02", "03"].map(|month| format!("{table}_2026_{month}"));
    let may_go = ["message_events", "outbox_events", "webhook_attempts"].map(months).concat();
    assert_eq!(dropped, may_go, "decisions and changes are evidence");
}

/// To drop a month the whole table is locked: who asks for it after that waits, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_waits_only_briefly_behind_maintenance_which_tries_again() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let reader = world.database.admin().await.unwrap();
    let reading = reader.begin().await.unwrap();
    reading.execute_unprepared("SELECT 1 FROM message_events").await.unwrap();
    let url = world.database.admin_url.clone();
    let maintaining = tokio::spawn(async move { maintain(&url, start(), Some(start())).await });
    world.until_waiting(|| maintaining.is_finished()).await;
    let patience = Duration::from_millis(2 * u64::from(LOCK_TIMEOUT_MS));
    let behind = world.number("SELECT COUNT(*) AS amount FROM message_events");
    assert_eq!(tokio::time::timeout(patience, behind).await.expect("it is let pass"), 0);
    assert!(!maintaining.is_finished(), "it did not wait, or gave up");
    reading.commit().await.unwrap();
    let done = tokio::time::timeout(Duration::from_mins(1), maintaining).await.expect("it tries again").unwrap();
    let may_go = ["message_events", "outbox_events", "webhook_attempts"].map(|table| format!("{table}_2026_02"));
    assert_eq!(done.unwrap().dropped, may_go);
    reader.close().await.unwrap();
}

/// A new month makes nobody wait at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_are_made_beside_those_who_read_and_write() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let writer = world.database.admin().await.unwrap();
    let writing = writer.begin().await.unwrap();
    writing.execute_unprepared("LOCK TABLE message_events, gate_decisions IN ROW EXCLUSIVE MODE").await.unwrap();
    let url = world.database.admin_url.clone();
    let later = start() + Months::new(1);
    let done =
        tokio::time::timeout(Duration::from_mins(1), maintain(&url, later, None)).await.expect("it does not wait");
    assert_eq!(done.unwrap().made.len(), partitioned());
    writing.commit().await.unwrap();
    writer.close().await.unwrap();
}

#[tokio::test]
async fn a_missing_month_is_noticed() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let login = world.database.settings(1).url;
    let missing = async || inspect::missing_partitions(&login, start()).await.unwrap();
    assert_eq!(missing().await, Vec::<String>::new());
    world.execute("DROP TABLE gate_decisions_2026_04").await;
    assert_eq!(missing().await, ["gate_decisions_2026_04"]);
    maintain(&world.database.admin_url, start(), None).await.unwrap();
    assert_eq!(missing().await, Vec::<String>::new());
}
