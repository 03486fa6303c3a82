//! The harness itself: worlds are apart, count what they send, and notice what was left behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use carillon_domain::tenancy::ReadContacts;
use carillon_entities::rows::contacts::contacts;
use carillon_tests::World;
use chrono::TimeDelta;

/// Runs the script on a machine of stubs: root, without a user postgres, without packages.
#[cfg(unix)]
fn services(given: &[(&str, &str)], arguments: &[&str]) -> std::process::Output {
    use std::os::unix::fs::PermissionsExt as _;
    let stubs = tempfile::tempdir().unwrap();
    let id = "case $* in -u) echo 0 ;; -un) echo root ;; *) exit 1 ;; esac";
    for (name, script) in [("id", id), ("apt-get", "echo apt-get was run >&2; exit 1"), ("redis-server", "exit 1")] {
        let path = stubs.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", stubs.path().display(), std::env::var("PATH").unwrap());
    let mut script = std::process::Command::new("bash");
    script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/services.sh")).args(arguments).env("PATH", path);
    script.env_remove("DATABASE_URL").env_remove("REDIS_URL").envs(given.iter().copied());
    script.stdin(std::process::Stdio::null()).output().unwrap()
}

#[cfg(unix)]
#[test]
fn servers_that_are_given_are_used_and_nothing_is_wanted_in_their_place() {
    let given = [("DATABASE_URL", "postgres://somebody@db/x"), ("REDIS_URL", "redis://cache")];
    let ran = services(&given, &["run", "--", "sh", "-c", "echo $DATABASE_URL $REDIS_URL ${PGBOUNCER_URL:-no pooler}"]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "postgres://somebody@db/x redis://cache no pooler\n");
    let missing = services(&given, &["missing"]);
    let missing = String::from_utf8_lossy(&missing.stdout).into_owned();
    assert!(["postgres", "redis-server", "pgbouncer"].iter().all(|needless| !missing.contains(needless)), "{missing}");
    let ran = services(&given[1..], &["run", "--", "true"]);
    assert_eq!(ran.status.code(), Some(69), "a private Postgres is not run by root");
}

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
            "INSERT INTO imports (tenant_id, id, upload_id, file_name, state, options, columns, cursor, total_bytes, done_bytes, \
             rows_seen, rows_created, rows_updated, rows_failed, actor_kind, due_at, fence, attempts, created_at) VALUES ({tenant}, {id}, {id}, \
             'a.csv', 'queued', '{{}}', '{{}}', '{{}}', 1, 0, 0, 0, 0, 0, 'system', '2026-03-02T09:00:00+00:00', 0, 0, '2026-03-02T09:00:00+00:00')"
        ))
        .await;
}
