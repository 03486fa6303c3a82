//! What an operator runs, through the commands themselves, on a deployment of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;

use carillon::app::{App, AppError};
use carillon::commands::{check, migrate};
use carillon::config::{Config, Duty, Source};
use carillon::http::Serves;
use carillon_domain::entropy::SeededEntropy;
use carillon_domain::keys::Keyring;
use carillon_domain::messaging::{OtherKeys, key_mismatch};
use carillon_domain::tenancy::bootstrap;
use carillon_entities::wall::{DatabaseSettings, TxMode, Wall, WallError};
use carillon_migration::inspect::connection_limit;
use carillon_migration::{Standing, standing};
use carillon_tests::database::start;
use carillon_tests::{World, WorldOptions};
use chrono::{DateTime, Months, Utc};
use tokio_util::task::AbortOnDropHandle;

/// The URLs of the three roles in the world's database.
fn logins(world: &World) -> [String; 3] {
    let settings = world.database.settings(4);
    [settings.url, settings.identity_url.unwrap(), settings.dispatch_url.unwrap()]
}

/// A production configuration over the world's database; `changes` win.
fn config(world: &World, changes: &[(&str, &str)]) -> Config {
    let [app, identity, dispatch] = logins(world);
    let keys = [1, 2].map(|seed| Keyring::generate(&SeededEntropy::new(seed)).to_secret_text());
    let own = [
        ("CARILLON_PUBLIC_URL", "https://carillon.test"),
        ("CARILLON_TRUSTED_PROXIES", "none"),
        ("CARILLON_BLOBS", "file:/nowhere/at/all"),
        ("CARILLON_KEYS", &keys[0]),
        ("CARILLON_JWT_KEYS", &keys[1]),
        ("DATABASE_URL", &app),
        ("DATABASE_IDENTITY_URL", &identity),
        ("DATABASE_DISPATCH_URL", &dispatch),
        ("DATABASE_OWNER_URL", &world.database.admin_url),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("SMTP_URL", "smtp://127.0.0.1:1"),
    ];
    Config::new(&Source::of(own.into_iter().chain(changes.iter().copied())).unwrap()).unwrap()
}

/// What `check` finds wrong with the database's part.
async fn wrong(config: &Config) -> Vec<String> {
    let about_services = ["files", "Redis", "relay", "database clock", "database schema"];
    let all = check::wrong(config, &[]).await;
    all.into_iter().filter(|line| !about_services.iter().any(|what| line.starts_with(what))).collect()
}

#[tokio::test]
async fn c205_logins_that_stand_in_each_others_place_are_refused() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    assert_eq!(wrong(&config(&world, &[])).await, Vec::<String>::new());
    let urls = logins(&world);
    let [app, identity, dispatch] = urls.each_ref().map(String::as_str);
    for (settings, urls) in [
        (["DATABASE_URL", "DATABASE_IDENTITY_URL"], [identity, app]),
        (["DATABASE_URL", "DATABASE_DISPATCH_URL"], [dispatch, app]),
        (["DATABASE_IDENTITY_URL", "DATABASE_DISPATCH_URL"], [dispatch, identity]),
    ] {
        let swapped = || config(&world, &[(settings[0], urls[0]), (settings[1], urls[1])]);
        let told = wrong(&swapped()).await;
        for setting in settings {
            let line = told.iter().find(|line| line.starts_with(&format!("{setting}: ")));
            assert!(line.is_some_and(|line| line.contains("belongs")), "{setting}: {told:?}");
        }
        let started = App::build(swapped()).await;
        assert!(matches!(started, Err(AppError::Login { setting, .. }) if settings.contains(&setting)), "{started:?}");
        // The pools ask, too: they may be the first that reach the database.
        let pools = DatabaseSettings {
            acquire_timeout: std::time::Duration::from_millis(500),
            ..carillon::app::database_settings(&swapped())
        };
        let wall = Wall::open(&pools).await.unwrap();
        let identity = wall.begin_identity(TxMode::Read).await;
        assert_eq!(identity.is_err(), settings.contains(&"DATABASE_IDENTITY_URL"));
        drop(identity);
        wall.close().await;
    }
}

#[tokio::test]
async fn c205_logins_into_different_databases_are_refused() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let Some(other) = World::on_postgres(WorldOptions::default()).await else { return };
    let [_, identity, dispatch] = logins(&other);
    for (setting, url) in [
        ("DATABASE_IDENTITY_URL", &*identity),
        ("DATABASE_DISPATCH_URL", &*dispatch),
        ("DATABASE_OWNER_URL", &*other.database.admin_url),
    ] {
        let told = wrong(&config(&world, &[(setting, url)])).await;
        assert!(told.len() == 1 && told[0].starts_with(&format!("{setting}: ")), "{told:?}");
        assert!(told[0].contains("another database"), "{told:?}");
        if setting != "DATABASE_OWNER_URL" {
            let started = App::build(config(&world, &[(setting, url)])).await;
            assert!(matches!(started, Err(AppError::Login { setting: named, .. }) if named == setting), "{started:?}");
        }
    }
}

#[tokio::test]
async fn c205_who_serves_recipients_starts_without_a_way_to_accounts() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let app = recipients(&world).await;
    let wall = &app.ports().wall;
    let accounts = wall.begin_identity(TxMode::Read).await.map(drop);
    assert!(matches!(accounts, Err(WallError::NoLogin("carillon_identity"))), "{accounts:?}");
    let due = carillon_domain::dispatch::due_sweeps(app.ports()).await.map(drop);
    assert!(due.is_err(), "nor to what is due");
    // What its readiness asks, and what a link begins with.
    assert!(wall.database_now().await.is_ok());
    assert_eq!(key_mismatch(wall, &app.ports().keys).await.unwrap(), None);
    wall.close().await;
}

#[tokio::test]
async fn what_migrations_need_is_the_owners_login_and_no_schema() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let [app, ..] = logins(&world);
    let needs = async |owner: &str| {
        let source = Source::of([("CARILLON_MODE", "production"), ("DATABASE_OWNER_URL", owner)]);
        check::wrong(&Config::for_duty(Duty::Migrate, &source.unwrap()).unwrap(), &[]).await
    };
    assert_eq!(needs(&world.database.admin_url).await, Vec::<String>::new());
    let told = needs(&app).await;
    assert!(told[0].starts_with("DATABASE_OWNER_URL: carillon_app is not the owner"), "{told:?}");
}

#[tokio::test]
async fn replicas_are_counted_against_what_postgres_takes() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let limit = connection_limit(&world.database.admin_url).await.unwrap();
    let shown = world.number("SELECT current_setting('max_connections')::bigint AS amount").await;
    assert_eq!(i64::from(limit.most), shown);
    assert!(limit.reserved < limit.most);
    let config = config(&world, &[]);
    let connections = async |replicas: &str| {
        let replicas: Vec<check::Replicas> = replicas.split(',').map(|text| text.parse().unwrap()).collect();
        let wrong = check::wrong(&config, &replicas).await;
        wrong.into_iter().filter(|line| line.starts_with("connections: ")).collect::<Vec<_>>()
    };
    assert_eq!(connections("gateway=1x1,worker=1x1").await, Vec::<String>::new());
    let told = connections("gateway=1000x1000").await;
    assert!(told.len() == 1 && told[0].contains("none is left"), "{told:?}");
}

#[tokio::test]
async fn c157_a_database_is_not_served_with_other_keys_than_its_own() {
    let world = World::new().await;
    let ports = world.ports();
    let other = Keyring::generate(&SeededEntropy::new(77));
    assert_eq!(key_mismatch(&ports.wall, &other).await.unwrap(), None, "an empty database takes any");
    bootstrap(ports).await.unwrap();
    assert_eq!(key_mismatch(&ports.wall, &ports.keys).await.unwrap(), None);
    assert_eq!(key_mismatch(&ports.wall, &other).await.unwrap(), Some(OtherKeys::Sealed), "the same number");
    let rotated = ports.keys.rotated(&SeededEntropy::new(78));
    assert_eq!(key_mismatch(&ports.wall, &rotated).await.unwrap(), None, "retired keys stay");

    let text = rotated.to_secret_text();
    let without: Keyring = text.split(',').next().unwrap().parse().unwrap();
    let missing = ports.keys.active();
    assert_eq!(key_mismatch(&ports.wall, &without).await.unwrap(), Some(OtherKeys::Missing(missing)));

    if !ports.wall.is_postgres() {
        return;
    }
    let with = |keys: &Keyring| config(&world, &[("CARILLON_KEYS", &keys.to_secret_text())]);
    assert_eq!(wrong(&with(&rotated)).await, Vec::<String>::new());
    for keys in [other, without] {
        let told = wrong(&with(&keys)).await;
        assert!(told.len() == 1 && told[0].starts_with("keys: "), "{told:?}");
        let started = App::build(with(&keys)).await;
        assert!(matches!(started, Err(AppError::OtherKeys(_))), "{started:?}");
    }
}

/// A process that serves recipients, which starts without anything but the database.
async fn recipients(world: &World) -> App {
    let [app, ..] = logins(world);
    let keys = Keyring::generate(&SeededEntropy::new(1)).to_secret_text();
    let own = [
        ("CARILLON_PUBLIC_URL", "https://carillon.test"),
        ("CARILLON_TRUSTED_PROXIES", "none"),
        ("CARILLON_KEYS", &keys),
        ("DATABASE_URL", &app),
    ];
    let config = Config::for_duty(Duty::Recipient, &Source::of(own).unwrap()).unwrap();
    App::build_serving(config, Serves::Recipients).await.unwrap()
}

/// The address at which a process tells its readiness. Its connections live as long as its server.
fn serving(app: &App) -> (String, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health/ready", listener.local_addr().unwrap());
    let server = app.serve_on(listener).unwrap();
    (url, AbortOnDropHandle::new(tokio::spawn(async move { server.await.unwrap() })))
}

/// What the readiness of a process says.
async fn readiness(url: &str) -> (u16, serde_json::Value) {
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

const CORE: &str = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m0001_core', 0)";
const LATER: &str = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0)";

#[tokio::test]
async fn a_process_is_not_ready_on_an_older_schema_and_says_what_to_do() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let [login, ..] = logins(&world);
    world.execute("DELETE FROM seaql_migrations").await;
    assert_eq!(standing(&login).await.unwrap(), Standing::Older, "every process may ask");
    let app = recipients(&world).await;
    let (url, _serving) = serving(&app);
    let (status, told) = readiness(&url).await;
    let older = "the schema is older than this release: run `carillon migrate`";
    assert_eq!((status, &told["checks"]["schema"]), (503, &older.into()), "{told}");
    let told = check::wrong(app.config(), &[]).await;
    assert!(told.contains(&format!("database schema: {older}")), "{told:?}");
    world.execute(CORE).await;
    let (status, told) = readiness(&url).await;
    assert_eq!((status, &told["checks"]["schema"]), (200, &"ok".into()), "{told}");
    app.ports().wall.close().await;
}

#[tokio::test]
async fn a_release_runs_on_the_next_ones_schema_and_leaves_it_alone() {
    let Some(world) = World::on_postgres(WorldOptions::default()).await else { return };
    let [login, ..] = logins(&world);
    world.execute(LATER).await;
    assert_eq!(standing(&login).await.unwrap(), Standing::Newer);
    let app = recipients(&world).await;
    let (url, _serving) = serving(&app);
    let (status, told) = readiness(&url).await;
    assert_eq!((status, &told["checks"]["schema"]), (200, &"ok".into()), "{told}");
    migrate::run(&config(&world, &[]), &migrate::Arguments { maintain: false }, start()).await.unwrap();
    assert_eq!(standing(&login).await.unwrap(), Standing::Newer);
    app.ports().wall.close().await;
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
