//! Where the database is and how it is reached.

use std::time::Duration;

/// One login per role on Postgres; one file on SQLite.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// `sqlite:PATH` or `postgres://..` of the application role.
    pub url: String,
    /// Login of the identity role, the tables without a tenant; none where a process has no business with them (L1).
    pub identity_url: Option<String>,
    /// Login of the dispatch role, which reads due ids of all tenants; none where a process does no work that is due.
    pub dispatch_url: Option<String>,
    /// Connections of the application role; the other roles, and the links of mails, get a quarter of it each, at
    /// least 2.
    pub pool: u32,
    /// How long a transaction waits for a free connection.
    pub acquire_timeout: Duration,
    /// False behind a pooler in transaction mode: statements are then unnamed.
    pub named_statements: bool,
    /// Refuse every connection whose login is not its role's, or that row security does not hold (C-205). Only a test that looks past it says no.
    pub weak_logins: bool,
}

impl DatabaseSettings {
    /// Settings for one URL that serves all roles (SQLite, or a test's superuser).
    pub fn single(url: impl Into<String>) -> Self {
        let url = url.into();
        Self {
            identity_url: Some(url.clone()),
            dispatch_url: Some(url.clone()),
            url,
            pool: 16,
            acquire_timeout: Duration::from_secs(10),
            named_statements: true,
            weak_logins: false,
        }
    }

    /// Connections of each smaller pool beside one of this size.
    pub fn small_pool(pool: u32) -> u32 {
        (pool / 4).max(2)
    }

    /// True for `postgres://` and `postgresql://`.
    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }
}

impl std::fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseSettings").field("pool", &self.pool).finish_non_exhaustive()
    }
}
