//! The harness itself: worlds are apart, count what they send, and notice what was left behind.

use carillon_domain::tenancy::ReadContacts;
use carillon_entities::rows::contacts::contacts;
use carillon_tests::World;
use chrono::TimeDelta;

#[tokio::test]
async fn worlds_are_apart_and_count_their_statements() {
    let (one, other) = (World::new().await, World::new().await);
    let tenant = one.tenant("One").await;
    assert_eq!(one.number("SELECT COUNT(*) AS amount FROM tenants").await, 1);
    assert_eq!(other.number("SELECT COUNT(*) AS amount FROM tenants").await, 0);

    let grant = one.grant::<ReadContacts>(tenant);
    let (contacts, statements) = one
        .statements_of(async {
            let mut tx = grant.begin_read().await.unwrap();
            let contacts = tx.select::<contacts::Entity>().all().await.unwrap();
            tx.commit().await.unwrap();
            contacts
        })
        .await;
    assert!(contacts.is_empty());
    assert_eq!(statements, 3, "BEGIN, SELECT, COMMIT");

    let before = one.ports().now();
    one.advance(TimeDelta::days(30));
    assert_eq!(one.ports().now() - before, TimeDelta::days(30));
}

#[tokio::test]
#[should_panic(expected = "the test left unsettled work behind")]
async fn a_world_with_unsettled_work_fails_its_test() {
    let world = World::new().await;
    let tenant = world.tenant("One").await;
    let (tenant, id) = if world.wall().is_postgres() {
        (format!("'{}'", tenant.0), "'018f0000-0000-7000-8000-000000000001'".to_owned())
    } else {
        (format!("x'{}'", tenant.0.simple()), "x'018f0000000070008000000000000001'".to_owned())
    };
    world
        .execute(&format!(
            "INSERT INTO uploads (tenant_id, id, file_name, size, received, fence, state, expires_at, created_at) \
             VALUES ({tenant}, {id}, 'a.csv', 1, 1, 1, 'complete', '2026-03-02T10:00:00+00:00', '2026-03-02T09:00:00+00:00')"
        ))
        .await;
    world
        .execute(&format!(
            "INSERT INTO imports (tenant_id, id, upload_id, file_name, state, options, cursor, total_bytes, done_bytes, rows_seen, \
             rows_created, rows_updated, rows_failed, actor_kind, due_at, fence, attempts, created_at) VALUES ({tenant}, {id}, {id}, \
             'a.csv', 'queued', '{{}}', '{{}}', 1, 0, 0, 0, 0, 0, 'system', '2026-03-02T09:00:00+00:00', 0, 0, '2026-03-02T09:00:00+00:00')"
        ))
        .await;
}
