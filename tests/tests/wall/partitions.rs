//! Partitions of the append-only tables: made ahead of time, whole, and dropped only where history may go.

use carillon_migration::schema::{Access, tables};
use carillon_migration::{MONTHS_AHEAD, inspect, maintain};
use carillon_tests::database::start;
use carillon_tests::{World, WorldOptions};
use chrono::Months;

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
