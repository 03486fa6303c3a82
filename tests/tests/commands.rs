//! What an operator runs, through the commands themselves, on a deployment of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use carillon::commands::migrate;
use carillon::config::{Config, Source};
use carillon_domain::entropy::SeededEntropy;
use carillon_domain::keys::Keyring;
use carillon_tests::database::start;
use carillon_tests::{World, WorldOptions};
use chrono::{DateTime, Months, Utc};

/// A production configuration over the world's database; `changes` win.
fn config(world: &World, changes: &[(&str, &str)]) -> Config {
    let logins = world.database.settings(4);
    let keys = [1, 2].map(|seed| Keyring::generate(&SeededEntropy::new(seed)).to_secret_text());
    let own = [
        ("CARILLON_PUBLIC_URL", "https://carillon.test"),
        ("CARILLON_TRUSTED_PROXIES", "none"),
        ("CARILLON_BLOBS", "file:/nowhere/at/all"),
        ("CARILLON_KEYS", &keys[0]),
        ("CARILLON_JWT_KEYS", &keys[1]),
        ("DATABASE_URL", &logins.url),
        ("DATABASE_IDENTITY_URL", &logins.identity_url),
        ("DATABASE_DISPATCH_URL", &logins.dispatch_url),
        ("DATABASE_OWNER_URL", &world.database.admin_url),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("SMTP_URL", "smtp://127.0.0.1:1"),
    ];
    Config::new(&Source::of(own.into_iter().chain(changes.iter().copied())).unwrap()).unwrap()
}

async fn partitions(world: &World, table: &str) -> Vec<String> {
    let sql = "SELECT c.relname::text AS line FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid \
               WHERE c.relkind = 'r' AND c.relname LIKE";
    world.lines(&format!("{sql} '{table}_2%' ORDER BY 1")).await
}

#[tokio::test]
async fn maintenance_drops_message_events_past_their_retention_and_nothing_else() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let maintain = async |changes: &[(&str, &str)], now: DateTime<Utc>| {
        migrate::run(&config(&world, changes), &migrate::Arguments { maintain: true }, now).await.unwrap();
    };
    let later = start() + Months::new(6);
    let before = partitions(&world, "message_events").await;
    maintain(&[], later).await;
    let kept = partitions(&world, "message_events").await;
    assert!(kept.starts_with(&before) && kept.len() > before.len(), "made and kept for ever: {kept:?}");

    let decisions = partitions(&world, "gate_decisions").await;
    maintain(&[("CARILLON_RETENTION_MONTHS", "6")], later).await;
    let left = partitions(&world, "message_events").await;
    assert_eq!(left[0], start().format("message_events_%Y_%m").to_string(), "{left:?}");
    assert_eq!(partitions(&world, "gate_decisions").await, decisions, "decisions are evidence");
}
