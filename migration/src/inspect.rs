//! What an operator wants to know of a database before processes start: is every table there, and
//! every partition that is written to soon.

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
