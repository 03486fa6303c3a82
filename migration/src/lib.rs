//! Schema history, row-level security, grants and partitions.
//!
//! Run as the owner role; no other process has DDL. `migrate` is safe to run twice and from several places at once.

pub mod inspect;
mod m0001_core;
pub mod partitions;
mod render;
pub mod roles;
pub mod schema;
mod seeded_bugs;

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Partitions are made this far ahead.
pub const MONTHS_AHEAD: u32 = 3;

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_core::Core)]
    }
}

/// Brings a database to the newest schema; on Postgres also makes the partitions around `now`.
pub async fn migrate(url: &str, now: DateTime<Utc>) -> Result<(), DbErr> {
    let connection = connect(url).await?;
    Migrator::up(&connection, None).await?;
    if is_postgres(url) {
        partitions::maintain(&connection, now, MONTHS_AHEAD, None).await?;
    }
    connection.close().await
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
    let connection = connect(url).await?;
    let done = partitions::maintain(&connection, now, MONTHS_AHEAD, keep_from).await?;
    connection.close().await?;
    Ok(done)
}

/// True when no migration is left to run.
pub async fn is_current(url: &str) -> Result<bool, DbErr> {
    let connection = connect(url).await?;
    let pending = Migrator::get_pending_migrations(&connection).await?;
    connection.close().await?;
    Ok(pending.is_empty())
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
    let url = if is_postgres(url) || url.contains('?') { url.to_owned() } else { format!("{url}?mode=rwc") };
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Box::pin(Database::connect(options)).await
}
