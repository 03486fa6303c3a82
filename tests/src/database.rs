//! A database per test, cloned from one migrated template and gone with the test.
//!
//! The template of SQLite is made once per process and lives in memory. That of Postgres is made once per cluster and
//! schema, under a lock that all test binaries share; nothing but templates and roles outlives a run on a given server.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_entities::wall::DatabaseSettings;
use carillon_migration::roles;
use chrono::{DateTime, TimeZone, Utc};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file of its own.
    Sqlite,
    /// A database of its own in the cluster that `DATABASE_URL` administers.
    Postgres,
}

impl Backend {
    /// What `CARILLON_TEST_BACKEND` names; SQLite when it is not set.
    pub fn from_env() -> Self {
        match std::env::var("CARILLON_TEST_BACKEND").as_deref() {
            Ok("postgres") => Self::Postgres,
            Ok("sqlite") | Err(_) => Self::Sqlite,
            Ok(other) => panic!("CARILLON_TEST_BACKEND is sqlite or postgres, not {other}"),
        }
    }
}

/// Where every world's clock starts; the template's partitions lie around it.
pub fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 9, 0, 0).single().expect("a date that exists")
}

/// Roles get this password where the server asks for one; it never holds anything but test data.
const ROLE_PASSWORD: &str = "carillon-test";
/// One for all test binaries of a cluster.
const TEMPLATE_LOCK: i64 = 7_228_003_115;

static MADE: AtomicU32 = AtomicU32::new(0);

/// One test's database.
#[derive(Debug)]
pub struct TestDatabase {
    /// As the owner of everything (a superuser on Postgres), past the wall and row security.
    pub admin_url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(#[expect(dead_code, reason = "removes the folder when dropped")] TempDir),
    Cluster { admin_url: String, name: String },
}

impl TestDatabase {
    /// A fresh copy of the template.
    pub async fn create(backend: Backend) -> Result<Self> {
        match backend {
            Backend::Sqlite => {
                let folder = tempfile::Builder::new().prefix("carillon-world-").tempdir()?;
                let path = folder.path().join("world.db");
                tokio::fs::write(&path, sqlite_template().await?).await?;
                Ok(Self { admin_url: format!("sqlite:{}", path.display()), place: Place::File(folder) })
            }
            Backend::Postgres => {
                let admin_url = std::env::var("DATABASE_URL").context("DATABASE_URL is an administrator's login")?;
                let template = postgres_template(&admin_url).await?;
                let name = format!("w_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
                let admin = connect(&admin_url).await?;
                admin.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
                admin.execute_unprepared(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await?;
                admin.close().await?;
                Ok(Self { admin_url: url_of(&admin_url, None, &name), place: Place::Cluster { admin_url, name } })
            }
        }
    }

    /// How a process reaches it, one login per role on Postgres.
    pub fn settings(&self, pool: u32) -> DatabaseSettings {
        let mut settings = self.settings_at(&self.admin_url);
        settings.pool = pool;
        settings
    }

    /// The same through PgBouncer in transaction mode, or `None` where there is none.
    pub fn settings_through_pooler(&self, pool: u32) -> Option<DatabaseSettings> {
        let Place::Cluster { name, .. } = &self.place else { return None };
        let pooler = std::env::var("PGBOUNCER_URL").ok()?;
        let mut settings = self.settings_at(&url_of(&pooler, None, name));
        settings.pool = pool;
        settings.named_statements = false;
        Some(settings)
    }

    fn settings_at(&self, url: &str) -> DatabaseSettings {
        let mut settings = DatabaseSettings::single(url);
        if let Place::Cluster { name, .. } = &self.place {
            let login = |role| url_of(url, Some(role), name);
            settings.url = login("carillon_app");
            settings.identity_url = Some(login("carillon_identity"));
            settings.dispatch_url = Some(login("carillon_dispatch"));
            settings.weak_logins = true;
        }
        settings.acquire_timeout = Duration::from_secs(30);
        settings
    }

    /// A connection past the wall, for what a test has to see or spoil.
    pub async fn admin(&self) -> Result<DatabaseConnection> {
        connect(&self.admin_url).await
    }

    /// Removes it, whoever is still connected. Blocks; for `Drop`.
    pub fn remove(&self) -> Result<()> {
        match &self.place {
            Place::File(_) => Ok(()),
            Place::Cluster { admin_url, name } => {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                apart(async {
                    let admin = connect(admin_url).await?;
                    admin.execute_unprepared(&drop).await?;
                    Ok(admin.close().await?)
                })
            }
        }
    }
}

/// Runs something to its end on a thread and runtime of its own, from inside another runtime's `Drop`.
pub fn apart<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work));
        thread.join().map_err(|_| anyhow::anyhow!("the thread panicked"))?
    })
}

/// One connection that may do anything.
pub async fn connect(url: &str) -> Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false).connect_timeout(Duration::from_secs(30));
    Ok(Box::pin(sea_orm::Database::connect(options)).await?)
}

async fn sqlite_template() -> Result<&'static [u8]> {
    static TEMPLATE: OnceCell<Vec<u8>> = OnceCell::const_new();
    let bytes = TEMPLATE
        .get_or_try_init(|| async {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("template.db");
            carillon_migration::migrate(&format!("sqlite:{}", path.display()), start()).await?;
            anyhow::Ok(tokio::fs::read(&path).await?)
        })
        .await?;
    Ok(bytes)
}

async fn postgres_template(admin_url: &str) -> Result<&'static str> {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let name = TEMPLATE
        .get_or_try_init(|| async {
            let name = format!("carillon_template_{:016x}", carillon_migration::fingerprint());
            // The lock is held by this connection, so it ends with the process whatever happens.
            let admin = connect(admin_url).await?;
            admin.execute_unprepared(&format!("SELECT pg_advisory_lock({TEMPLATE_LOCK})")).await?;
            if !has_database(&admin, &name).await? {
                make_postgres_template(&admin, admin_url, &name).await?;
            }
            admin.close().await?;
            anyhow::Ok(name)
        })
        .await?;
    Ok(name)
}

async fn has_database(admin: &DatabaseConnection, name: &str) -> Result<bool> {
    let text = "SELECT 1 FROM pg_database WHERE datname = $1";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, text, [name.into()]);
    Ok(admin.query_one_raw(statement).await?.is_some())
}

/// Made under another name and renamed when whole, so that a killed run leaves no half template.
async fn make_postgres_template(admin: &DatabaseConnection, admin_url: &str, name: &str) -> Result<()> {
    let making = format!("{name}_making");
    admin.execute_unprepared(&format!("DROP DATABASE IF EXISTS {making} WITH (FORCE)")).await?;
    admin.execute_unprepared(&format!("CREATE DATABASE {making} TEMPLATE template0")).await?;
    let url = url_of(admin_url, None, &making);
    let stands = carillon_migration::migrate(&url, start()).await?;
    ensure!(stands == carillon_migration::Standing::Same, "the migrations did not run");
    if has_password(admin_url) {
        for role in roles::ROLES {
            carillon_migration::set_password(&url, role, ROLE_PASSWORD).await?;
        }
    }
    admin.execute_unprepared(&format!("ALTER DATABASE {making} RENAME TO {name}")).await?;
    Ok(())
}

fn parts(url: &str) -> (&str, &str, &str, &str) {
    let (scheme, rest) = url.split_once("://").expect("DATABASE_URL has a scheme");
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    (scheme, user, host, query)
}

fn has_password(url: &str) -> bool {
    parts(url).1.contains(':')
}

/// The URL of another database, and of another login where one is given.
/// The same server as `role` (itself if none), in another database.
pub(crate) fn url_of(url: &str, role: Option<&str>, database: &str) -> String {
    let (scheme, user, host, query) = parts(url);
    let user = match role {
        None => user.to_owned(),
        Some(role) if has_password(url) => format!("{role}:{ROLE_PASSWORD}"),
        Some(role) => role.to_owned(),
    };
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    format!("{scheme}://{user}@{host}/{database}{query}")
}

#[cfg(test)]
mod tests {
    use super::url_of;

    #[test]
    fn urls_of_other_logins_keep_the_rest() {
        let url = "postgres://postgres@127.0.0.1:5432/carillon";
        assert_eq!(url_of(url, Some("carillon_app"), "w"), "postgres://carillon_app@127.0.0.1:5432/w");
        let url = "postgres://admin:s%40cret@db/x?sslmode=require";
        assert_eq!(url_of(url, None, "w"), "postgres://admin:s%40cret@db/w?sslmode=require");
        assert_eq!(
            url_of(url, Some("carillon_app"), "w"),
            "postgres://carillon_app:carillon-test@db/w?sslmode=require"
        );
    }
}
