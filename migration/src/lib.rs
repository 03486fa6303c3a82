//! Schema history, row-level security, grants and partitions.
//!
//! Run as the owner role; no other process has DDL. `migrate` is safe to run twice and from several places at once, and
//! while processes work on the database: what it changes it waits for only briefly, again and again, so that nobody waits
//! long behind it. A release runs on its own schema and on the next one's ([`Standing`]).

mod alone;
pub mod inspect;
mod m0001_core;
pub mod partitions;
mod render;
pub mod roles;
pub mod schema;
mod seeded_bugs;
mod standing;
mod waiting;

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

pub use standing::{Standing, standing};
pub use waiting::LOCK_TIMEOUT_MS;

/// Partitions are made this far ahead.
pub const MONTHS_AHEAD: u32 = 3;

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_core::Core)]
    }
}

/// Brings a database to this release's schema and says how it stands then: one that a later release has migrated is left
/// as it is. On Postgres also makes the partitions around `now`.
pub async fn migrate(url: &str, now: DateTime<Utc>) -> Result<Standing, DbErr> {
    let connection = waiting::connect(url).await?;
    if standing::of(&connection).await? == Standing::Older {
        bring_up(&connection).await?;
    }
    if is_postgres(url) {
        partitions::maintain(&connection, now, MONTHS_AHEAD, None).await?;
    }
    let stands = standing::of(&connection).await?;
    connection.close().await?;
    Ok(stands)
}

/// Each migration is a transaction of its own: the next try goes on with the one that had to wait.
async fn bring_up(connection: &DatabaseConnection) -> Result<(), DbErr> {
    let mut patience = waiting::Patience::default();
    loop {
        let done = Migrator::up(connection, None).await;
        if !patience.lasts(waiting::is_held(&done)).await {
            return done;
        }
    }
}

/// A number that changes with the schema: names what was made by these migrations, such as a test's template.
pub fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    for backend in [DbBackend::Postgres, DbBackend::Sqlite] {
        m0001_core::ddl(backend).hash(&mut hasher);
    }
    hasher.finish()
}

/// Makes and drops partitions.
pub async fn maintain(
    url: &str,
    now: DateTime<Utc>,
    keep_from: Option<DateTime<Utc>>,
) -> Result<partitions::Maintained, DbErr> {
    if !is_postgres(url) {
        return Ok(partitions::Maintained::default());
    }
    let connection = waiting::connect(url).await?;
    let done = partitions::maintain(&connection, now, MONTHS_AHEAD, keep_from).await?;
    connection.close().await?;
    Ok(done)
}

/// Sets the password of one of [`roles::ROLES`]; the owner needs CREATEROLE for it.
pub async fn set_password(url: &str, role: &str, password: &str) -> Result<(), DbErr> {
    if !roles::ROLES.contains(&role) {
        return Err(DbErr::Custom(format!("{role} is not a role of Carillon")));
    }
    let connection = connect(url).await?;
    connection.execute_unprepared(&format!("ALTER ROLE {role} PASSWORD '{}'", password.replace('\'', "''"))).await?;
    connection.close().await
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres")
}

async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    Box::pin(Database::connect(one_connection(url))).await
}

fn one_connection(url: &str) -> ConnectOptions {
    let url = if is_postgres(url) || url.contains('?') { url.to_owned() } else { format!("{url}?mode=rwc") };
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    options
}
