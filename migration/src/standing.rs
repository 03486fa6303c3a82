//! How the schema of a database stands to this release's. Migrations first add what the next release needs (expand) and take
//! away what nobody needs any more a release later (contract), so each release runs on its own schema and on the next one's:
//! while pods are replaced, and when they are rolled back.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use sea_orm_migration::{Migration, MigratorTrait, SchemaManager};

use crate::{Migrator, connect};

/// How the schema of a database stands to this release's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the same.
    Same,
    /// It lacks migrations of this release, which cannot work on it yet.
    Older,
    /// A later release has migrated it, and this one works on it.
    Newer,
}

impl Standing {
    /// By the names of the migrations that the database has had.
    pub fn of(applied: &[String]) -> Self {
        let ours = Migrator::get_migration_files();
        let ours: BTreeSet<&str> = ours.iter().map(Migration::name).collect();
        let applied: BTreeSet<&str> = applied.iter().map(String::as_str).collect();
        if !ours.is_subset(&applied) {
            Self::Older
        } else if applied.len() > ours.len() {
            Self::Newer
        } else {
            Self::Same
        }
    }

    /// The same in words, with what is to be done.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Same => "current",
            Self::Older => "the schema is older than this release: run `carillon migrate`",
            Self::Newer => "newer than this release, which runs on it",
        }
    }
}

/// How a database stands. The owner and the application role may ask; nothing is written.
pub async fn standing(url: &str) -> Result<Standing, DbErr> {
    let connection = connect(url).await?;
    let stands = of(&connection).await;
    connection.close().await?;
    stands
}

pub(crate) async fn of(connection: &DatabaseConnection) -> Result<Standing, DbErr> {
    if !SchemaManager::new(connection).has_table("seaql_migrations").await? {
        return Ok(Standing::Older);
    }
    let sql = "SELECT version FROM seaql_migrations";
    let rows = connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    let applied = rows.iter().map(|row| row.try_get("", "version")).collect::<Result<Vec<String>, _>>()?;
    Ok(Standing::of(&applied))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_release_lacks_makes_a_schema_older_and_what_it_does_not_know_newer() {
        let of = |applied: &[&str]| Standing::of(&applied.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["m0001_core"]), Standing::Same);
        assert_eq!(of(&[]), Standing::Older);
        assert_eq!(of(&["m0001_core", "m9999_later"]), Standing::Newer);
        assert_eq!(of(&["m9999_later"]), Standing::Older, "another history is no later release of this one");
    }

    #[tokio::test]
    async fn a_later_schema_is_left_as_it_is() {
        let folder = std::env::temp_dir().join(format!("carillon-standing-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let url = format!("sqlite:{}", folder.join("x.db").display());
        assert_eq!(standing(&url).await.unwrap(), Standing::Older);
        let migrate = async || crate::migrate(&url, chrono::DateTime::UNIX_EPOCH).await.unwrap();
        assert_eq!(migrate().await, Standing::Same);
        let connection = connect(&url).await.unwrap();
        let later = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0)";
        connection.execute_unprepared(later).await.unwrap();
        connection.close().await.unwrap();
        assert_eq!(migrate().await, Standing::Newer);
        assert_eq!(standing(&url).await.unwrap(), Standing::Newer);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
