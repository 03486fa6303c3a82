//! What happened is only ever inserted, and the database enforces it (L7, C-149).

use carillon_domain::tenancy::WriteContacts;
use carillon_entities::wall::{Args, Sql, WallError};
use carillon_migration::schema::{Access, Table};
use carillon_tests::schema::{columns, tenant_tables};
use carillon_tests::{World, seed};
use sea_orm::ConnectionTrait;

fn append_only() -> impl Iterator<Item = &'static Table> {
    tenant_tables().filter(|table| table.access.is_append_only())
}

async fn seeded() -> World {
    let world = World::new().await;
    let tenant = world.tenant("One").await;
    let wall = world.wall_without_row_security().await;
    seed::tenant(&wall, tenant).await;
    wall.close().await;
    world.leave_unsettled();
    world
}

async fn refused(world: &World, sql: &str) {
    let done = world.admin().await.execute_unprepared(sql).await;
    let words = done.expect_err(sql).to_string();
    assert!(
        words.contains("append-only") || words.contains("never deleted") || words.contains("attempt"),
        "{sql}: {words}"
    );
}

#[tokio::test]
async fn c149_even_the_owner_changes_no_row_of_what_happened() {
    let world = seeded().await;
    for table in append_only() {
        let name = table.name;
        let column = columns(table).pop().expect("a column").name;
        refused(&world, &format!("UPDATE {name} SET {column} = {column}")).await;
        refused(&world, &format!("DELETE FROM {name}")).await;
        if world.wall().is_postgres() {
            refused(&world, &format!("TRUNCATE {name} CASCADE")).await;
        }
    }
    assert!(append_only().count() >= 6, "the list of append-only tables went missing");
}

#[tokio::test]
async fn c149_partitions_are_no_way_around() {
    let world = seeded().await;
    if !world.wall().is_postgres() {
        return;
    }
    for table in append_only().filter(|table| table.access == Access::AppendOnlyPartitioned) {
        let sql = format!(
            "SELECT inhrelid::regclass::text AS line FROM pg_inherits WHERE inhparent = '{}'::regclass",
            table.name
        );
        let partitions = world.lines(&sql).await;
        assert!(partitions.len() >= 5, "{} has {} partitions", table.name, partitions.len());
        for partition in partitions {
            refused(&world, &format!("TRUNCATE {partition}")).await;
            if world.number(&format!("SELECT COUNT(*) AS amount FROM {partition}")).await > 0 {
                refused(&world, &format!("DELETE FROM {partition}")).await;
            }
        }
    }
}

static UPDATE: Sql =
    Sql { name: "UPDATE", text: "UPDATE consent_events SET locale = 'xx' WHERE tenant_id = $1", args: &[], batch: &[] };
static DELETE: Sql =
    Sql { name: "DELETE", text: "DELETE FROM gate_decisions WHERE tenant_id = $1", args: &[], batch: &[] };

#[tokio::test]
async fn c149_the_application_changes_nothing_either() {
    let world = seeded().await;
    let tenant = world.tenant("Two").await;
    for sql in [&UPDATE, &DELETE] {
        let mut tx = world.grant::<WriteContacts>(tenant).begin().await.unwrap();
        let done = tx.sql(sql, Args::default()).unwrap().execute().await;
        if world.wall().is_postgres() {
            // No privilege at all, whether or not there is a row.
            assert!(matches!(&done, Err(WallError::Database { code, .. }) if code == "42501"), "{done:?}");
        } else {
            assert_eq!(done.ok(), Some(0), "another tenant's rows");
        }
    }
}

/// An attempt goes cleared -> started -> one outcome; only `unknown` may still be settled (L7, L8).
#[tokio::test]
async fn c149_an_attempt_only_goes_forward() {
    let world = seeded().await;
    let states = ["cleared", "lapsed", "started", "accepted", "deferred", "rejected", "not_handed_over", "unknown"];
    let outcomes = ["accepted", "deferred", "rejected", "not_handed_over"];
    for (number, from) in states.into_iter().enumerate() {
        assert_eq!(
            world
                .number(&format!(
                    "SELECT COUNT(*) AS amount FROM attempts WHERE number = {number} AND state = '{from}'"
                ))
                .await,
            1
        );
        for to in states {
            let allowed = match from {
                "cleared" => to == "started" || to == "lapsed",
                "started" => outcomes.contains(&to) || to == "unknown",
                "unknown" => outcomes.contains(&to),
                _ => false,
            };
            let sql = format!("UPDATE attempts SET state = '{to}' WHERE number = {number}");
            if allowed {
                let undone = format!("BEGIN; {sql}; ROLLBACK");
                world.execute(&undone).await;
            } else {
                refused(&world, &sql).await;
            }
        }
    }
    for change in ["fence = fence + 1", "cleared_at = started_at", "worker = 'another'"] {
        refused(&world, &format!("UPDATE attempts SET state = 'accepted', {change} WHERE state = 'started'")).await;
    }
    refused(&world, "DELETE FROM attempts").await;
}
