//! What an operator wants to know of a database before processes start: is every table there, and is a login as weak
//! as it must be (C-205).

use sea_orm::{DbErr, FromQueryResult, Statement};

use crate::schema;

/// What a login on Postgres may do.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
#[expect(clippy::struct_excessive_bools, reason = "a row of answers to yes-or-no questions")]
pub struct Login {
    /// Its role.
    pub role: String,
    /// It may do anything.
    pub is_superuser: bool,
    /// Row security does not hold it.
    pub bypasses_row_security: bool,
    /// It may make roles, and with them anything.
    pub makes_roles: bool,
    /// It owns tables, or is a member of a role that does.
    pub owns_tables: bool,
    /// It may make tables in the schema.
    pub makes_tables: bool,
}

const LOGIN: &str = "SELECT r.rolname::text AS role, r.rolsuper AS is_superuser, \
    r.rolbypassrls AS bypasses_row_security, r.rolcreaterole AS makes_roles, \
    EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND pg_has_role(r.oid, c.relowner, 'MEMBER')) \
        AS owns_tables, \
    has_schema_privilege(r.oid, 'public', 'CREATE') AS makes_tables \
    FROM pg_roles r WHERE r.rolname = current_user";

impl Login {
    /// What makes the login too strong for a serving process.
    pub fn excess(&self) -> Vec<&'static str> {
        let powers = [
            (self.is_superuser, "is a superuser"),
            (self.bypasses_row_security, "bypasses row security"),
            (self.makes_roles, "may make roles"),
            (self.owns_tables, "owns tables or is a member of their owner"),
            (self.makes_tables, "may make tables"),
        ];
        powers.into_iter().filter(|(held, _)| *held).map(|(_, power)| power).collect()
    }
}

/// Logs in on Postgres and looks at itself.
pub async fn login(url: &str) -> Result<Login, DbErr> {
    let connection = crate::connect(url).await?;
    let statement = Statement::from_string(sea_orm::DbBackend::Postgres, LOGIN);
    let found = Login::find_by_statement(statement).one(&connection).await?;
    connection.close().await?;
    found.ok_or_else(|| DbErr::RecordNotFound("the role of this login".to_owned()))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c205_every_power_too_many_is_named() {
        let weak = Login {
            role: "carillon_app".to_owned(),
            is_superuser: false,
            bypasses_row_security: false,
            makes_roles: false,
            owns_tables: false,
            makes_tables: false,
        };
        assert!(weak.excess().is_empty());
        let strong = Login { is_superuser: true, owns_tables: true, ..weak };
        assert_eq!(strong.excess(), ["is a superuser", "owns tables or is a member of their owner"]);
    }

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
