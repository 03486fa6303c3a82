//! What an operator wants to know of a database before processes start: is every table there, and
//! every partition that is written to soon, and how many connections does it take.

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, FromQueryResult, Statement};

use crate::{partitions, schema};

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

/// Tables of the schema that the database does not have; any login may ask.
pub async fn missing_tables(url: &str) -> Result<Vec<&'static str>, DbErr> {
    let connection = crate::connect(url).await?;
    let (backend, sql) = if crate::is_postgres(url) {
        let sql = "SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')";
        (sea_orm::DbBackend::Postgres, sql)
    } else {
        (sea_orm::DbBackend::Sqlite, "SELECT name FROM sqlite_master WHERE type = 'table'")
    };
    let names = Name::find_by_statement(Statement::from_string(backend, sql)).all(&connection).await?;
    connection.close().await?;
    let is_there = |table: &&'static str| names.iter().any(|found| found.name == **table);
    Ok(schema::tables().map(|table| table.name).filter(|table| !is_there(table)).collect())
}

/// Partitions of this month and the next that a Postgres database does not have; any login may ask.
pub async fn missing_partitions(url: &str, now: DateTime<Utc>) -> Result<Vec<String>, DbErr> {
    if !crate::is_postgres(url) {
        return Ok(Vec::new());
    }
    let connection = crate::connect(url).await?;
    let missing = partitions::missing(&connection, now).await?;
    connection.close().await?;
    Ok(missing)
}

/// How many connections a server takes.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimit {
    /// All of them.
    pub most: u32,
    /// Of those, for superusers and whoever else may use reserved ones.
    pub reserved: u32,
}

#[derive(FromQueryResult)]
struct LimitRow {
    most: i32,
    reserved: i32,
}

/// How many connections a Postgres takes; any login may ask.
pub async fn connection_limit(url: &str) -> Result<ConnectionLimit, DbErr> {
    // Postgres 16 came with `reserved_connections`.
    let sql = "SELECT current_setting('max_connections')::int AS most, \
               current_setting('superuser_reserved_connections')::int \
               + COALESCE(current_setting('reserved_connections', true), '0')::int AS reserved";
    let connection = crate::connect(url).await?;
    let row = LimitRow::find_by_statement(Statement::from_string(sea_orm::DbBackend::Postgres, sql));
    let row = row.one(&connection).await?;
    connection.close().await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the server's limits".to_owned()))?;
    Ok(ConnectionLimit { most: row.most.unsigned_abs(), reserved: row.reserved.unsigned_abs() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_empty_database_misses_every_table_and_a_migrated_one_none() {
        let folder = std::env::temp_dir().join(format!("carillon-inspect-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let url = format!("sqlite:{}", folder.join("x.db").display());
        assert_eq!(missing_tables(&url).await.unwrap().len(), schema::tables().count());
        crate::migrate(&url, chrono::DateTime::UNIX_EPOCH).await.unwrap();
        assert!(missing_tables(&url).await.unwrap().is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
