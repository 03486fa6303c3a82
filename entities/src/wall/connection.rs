//! Pools and the one connection type over both databases.
//!
//! A connection whose `BEGIN` did not finish is closed, never reused: it may hold another tenant's setting
//! (`reference` found 122 such leaks in 50,000 dropped futures). A commit after a failed statement is refused.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sea_orm::{DbBackend, ExecResult, QueryResult, Statement, Value};
use sea_query_sqlx::SqlxValues;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Database, Postgres, SqlSafeStr, Sqlite};
use sqlx::{Executor, Row};
use sqlx_core::transaction::TransactionManager;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::login::{Role, options, refuse_others};
use super::pool::{Counted, PoolState};
use super::{DatabaseSettings, Freshness, TxMode, WallError};
use crate::dialect::Bound;
use crate::ids::TenantId;
use crate::seeded_bugs;

type Manager<D> = <D as Database>::TransactionManager;

/// The pools of one process.
#[derive(Debug)]
pub(super) enum Pools {
    Postgres {
        app: Counted<Postgres>,
        /// The same login again, for the links of mails alone (C-11).
        links: Counted<Postgres>,
        identity: Option<Counted<Postgres>>,
        dispatch: Option<Counted<Postgres>>,
        named_statements: bool,
    },
    Sqlite {
        readers: Counted<Sqlite>,
        writer: Counted<Sqlite>,
        /// Fair: writers are served in the order they came, which bounds the longest wait.
        turn: Arc<Mutex<()>>,
    },
}

impl Pools {
    pub(super) async fn open(settings: &DatabaseSettings) -> Result<Self, WallError> {
        if settings.is_postgres() {
            let small = DatabaseSettings::small_pool(settings.pool);
            let given =
                |url: Option<&str>, role| url.map(|url| postgres_pool((url, role), small, settings)).transpose();
            return Ok(Self::Postgres {
                app: postgres_pool((&settings.url, Role::App), settings.pool, settings)?,
                links: postgres_pool((&settings.url, Role::App), small, settings)?,
                identity: given(settings.identity_url.as_deref(), Role::Identity)?,
                dispatch: given(settings.dispatch_url.as_deref(), Role::Dispatch)?,
                named_statements: settings.named_statements,
            });
        }
        let options = SqliteConnectOptions::from_str(&settings.url)?
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What was answered survives a power cut (C-11, L8).
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(settings.acquire_timeout);
        let pool = |size| {
            SqlitePoolOptions::new()
                .max_connections(size)
                .acquire_timeout(settings.acquire_timeout)
                .test_before_acquire(false)
        };
        Ok(Self::Sqlite {
            writer: Counted::new(pool(1).connect_with(options.clone()).await?),
            readers: Counted::new(
                pool(settings.pool.clamp(2, 8)).connect_with(options.pragma("query_only", "ON")).await?,
            ),
            turn: Arc::new(Mutex::new(())),
        })
    }

    pub(super) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    pub(super) async fn begin_tenant(
        &self,
        tenant: TenantId,
        freshness: Freshness,
        mode: TxMode,
    ) -> Result<Connection, WallError> {
        match self {
            Self::Postgres { app, links, named_statements, .. } => {
                let check = match freshness {
                    Freshness::Unchecked | Freshness::Link => String::new(),
                    Freshness::Tenant => format!("; CALL carillon_assert_tenant('{}')", tenant.0),
                    Freshness::User(user, version) => {
                        format!("; CALL carillon_assert_user('{}', {version}, '{}')", user.0, tenant.0)
                    }
                    Freshness::Key(key, set) => {
                        let set = set.map_or_else(|| "NULL".to_owned(), |set| format!("'{}'", set.0));
                        format!("; CALL carillon_assert_key('{}', '{}', {set})", key.0, tenant.0)
                    }
                };
                let set = if seeded_bugs::on("tenant_set_for_session") { "SET" } else { "SET LOCAL" };
                let begin = format!("{}; {set} app.tenant_id = '{}'{check}", begin(mode), tenant.0);
                let pool = if freshness == Freshness::Link { links } else { app };
                Connection::begin_postgres(pool, begin, *named_statements).await
            }
            Self::Sqlite { .. } => {
                let mut connection = self.begin_sqlite(mode).await?;
                connection.check_freshness(tenant, freshness).await?;
                Ok(connection)
            }
        }
    }

    pub(super) async fn begin_identity(&self, mode: TxMode) -> Result<Connection, WallError> {
        match self {
            Self::Postgres { identity, named_statements, .. } => {
                let pool = identity.as_ref().ok_or(WallError::NoLogin(Role::Identity.name()))?;
                Connection::begin_postgres(pool, begin(mode).to_owned(), *named_statements).await
            }
            Self::Sqlite { .. } => self.begin_sqlite(mode).await,
        }
    }

    pub(super) async fn begin_dispatch(&self) -> Result<Connection, WallError> {
        match self {
            Self::Postgres { dispatch, named_statements, .. } => {
                let pool = dispatch.as_ref().ok_or(WallError::NoLogin(Role::Dispatch.name()))?;
                Connection::begin_postgres(pool, begin(TxMode::Read).to_owned(), *named_statements).await
            }
            Self::Sqlite { .. } => self.begin_sqlite(TxMode::Read).await,
        }
    }

    async fn begin_sqlite(&self, mode: TxMode) -> Result<Connection, WallError> {
        let Self::Sqlite { readers, writer, turn } = self else { return Err(WallError::Unavailable) };
        let (pool, begin, turn) = match mode {
            TxMode::Read => (readers, "BEGIN", None),
            TxMode::Write => (writer, "BEGIN IMMEDIATE", Some(turn.clone().lock_owned().await)),
        };
        let mut opening = Opening::new(pool.take().await?);
        Manager::<Sqlite>::begin(opening.connection()?, Some(begin.into_sql_str())).await?;
        let link = Link::Sqlite { connection: opening.opened()?, _turn: turn };
        Ok(Connection { link, failed: false, is_settled: false, named_statements: true, statements: Arc::default() })
    }

    pub(super) async fn now(&self) -> Result<DateTime<Utc>, WallError> {
        match self {
            Self::Postgres { links, identity, .. } => {
                let pool = identity.as_ref().unwrap_or(links);
                // Unnamed, so that it works behind a pooler too.
                let row = sqlx::raw_sql("SELECT clock_timestamp()::text").fetch_one(&**pool).await?;
                let text: String = row.try_get(0)?;
                DateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f%#z")
                    .map(|at| at.to_utc())
                    .map_err(|error| WallError::Row(error.to_string()))
            }
            #[expect(clippy::disallowed_methods, reason = "SQLite's clock is this machine's")]
            Self::Sqlite { .. } => Ok(Utc::now()),
        }
    }

    pub(super) async fn migrations(&self) -> Result<Vec<String>, WallError> {
        // Unnamed, so that it works behind a pooler too.
        let asked = sqlx::raw_sql("SELECT version FROM seaql_migrations");
        match self {
            Self::Postgres { links, .. } => {
                let rows = asked.fetch_all(&**links).await?;
                rows.iter().map(|row| row.try_get(0).map_err(WallError::from)).collect()
            }
            Self::Sqlite { readers, .. } => {
                let rows = asked.fetch_all(&**readers).await?;
                rows.iter().map(|row| row.try_get(0).map_err(WallError::from)).collect()
            }
        }
    }

    /// How each pool is, without asking the database.
    pub(super) fn states(&self) -> Vec<PoolState> {
        match self {
            Self::Postgres { app, links, identity, dispatch, .. } => {
                let given = |pool: &Option<Counted<Postgres>>, name| pool.as_ref().map(|pool| pool.state(name));
                let given = [given(identity, "identity"), given(dispatch, "dispatch")];
                [app.state("app"), links.state("links")].into_iter().chain(given.into_iter().flatten()).collect()
            }
            Self::Sqlite { readers, writer, .. } => vec![readers.state("readers"), writer.state("writer")],
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Postgres { app, links, identity, dispatch, .. } => {
                let pools = [Some(app), Some(links), identity.as_ref(), dispatch.as_ref()];
                futures::future::join_all(pools.into_iter().flatten().map(|pool| pool.close())).await;
            }
            Self::Sqlite { readers, writer, .. } => {
                futures::future::join(readers.close(), writer.close()).await;
            }
        }
    }
}

fn begin(mode: TxMode) -> &'static str {
    match mode {
        TxMode::Read => "BEGIN READ ONLY",
        TxMode::Write => "BEGIN",
    }
}

fn postgres_pool(
    (url, role): (&str, Role),
    size: u32,
    settings: &DatabaseSettings,
) -> Result<Counted<Postgres>, WallError> {
    let pool =
        PgPoolOptions::new().max_connections(size).acquire_timeout(settings.acquire_timeout).test_before_acquire(false);
    let pool = if settings.weak_logins {
        pool.after_connect(move |connection, _| refuse_others(connection, role))
    } else {
        pool
    };
    Ok(Counted::new(pool.connect_lazy_with(options(url)?)))
}

/// A connection on which `BEGIN`, or a statement that is a transaction of its own and writes, is under way: dropped before
/// [`Opening::opened`], it is closed.
pub(super) struct Opening<D: Database>(Option<PoolConnection<D>>);

impl<D: Database> Opening<D> {
    pub(super) fn new(connection: PoolConnection<D>) -> Self {
        Self(Some(connection))
    }

    pub(super) fn connection(&mut self) -> Result<&mut D::Connection, WallError> {
        self.0.as_deref_mut().ok_or(WallError::Unavailable)
    }

    pub(super) fn opened(mut self) -> Result<PoolConnection<D>, WallError> {
        self.0.take().ok_or(WallError::Unavailable)
    }
}

impl<D: Database> Drop for Opening<D> {
    fn drop(&mut self) {
        if let Some(mut connection) = self.0.take()
            && !seeded_bugs::on("begin_not_guarded")
        {
            connection.close_on_drop();
        }
    }
}

#[derive(Debug)]
enum Link {
    Postgres(PoolConnection<Postgres>),
    Sqlite { connection: PoolConnection<Sqlite>, _turn: Option<OwnedMutexGuard<()>> },
}

/// A connection with an open transaction; rolled back when dropped.
#[derive(Debug)]
pub(super) struct Connection {
    link: Link,
    failed: bool,
    /// A commit or a rollback was answered: there is nothing to roll back.
    is_settled: bool,
    named_statements: bool,
    statements: Arc<AtomicU64>,
}

impl Connection {
    async fn begin_postgres(
        pool: &Counted<Postgres>,
        begin: String,
        named_statements: bool,
    ) -> Result<Self, WallError> {
        let mut opening = Opening::new(pool.take().await?);
        let result = Manager::<Postgres>::begin(opening.connection()?, Some(AssertSqlSafe(begin).into_sql_str())).await;
        if let Err(error) = result.map_err(WallError::from) {
            // A stale credential must not cost a connection; anything else closes it.
            if matches!(error, WallError::NotFresh | WallError::Suspended) {
                opening.connection()?.execute(sqlx::raw_sql("ROLLBACK")).await?;
                drop(opening.opened()?);
            } else {
                pool.refused();
            }
            return Err(error);
        }
        let link = Link::Postgres(opening.opened()?);
        Ok(Self { link, failed: false, is_settled: false, named_statements, statements: Arc::default() })
    }

    /// The same connection, counting into `statements` from its `BEGIN` on.
    pub(super) fn counted(mut self, statements: &Arc<AtomicU64>) -> Self {
        self.statements = Arc::clone(statements);
        self.count();
        self
    }

    fn count(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }

    async fn check_freshness(&mut self, tenant: TenantId, freshness: Freshness) -> Result<(), WallError> {
        let (sql, id, held) = match freshness {
            Freshness::Unchecked | Freshness::Link => return Ok(()),
            Freshness::Tenant => (
                "SELECT 1 AS good, (SELECT COUNT(*) FROM tenants WHERE $1 = $1 AND $2 = $2 AND id = $3 \
                 AND suspended_at IS NULL) AS live",
                tenant.0,
                Value::from(0_i64),
            ),
            Freshness::User(user, version) => (
                "SELECT (SELECT COUNT(*) FROM users WHERE id = $1 AND auth_version = $2 AND disabled_at IS NULL) AS good, \
                 (SELECT COUNT(*) FROM tenants WHERE id = $3 AND suspended_at IS NULL) AS live",
                user.0,
                version.into(),
            ),
            Freshness::Key(key, set) => (
                "SELECT (SELECT COUNT(*) FROM credentials WHERE id = $1 AND document_set_id IS $2 AND scope_id = $3 \
                 AND revoked_at IS NULL \
                 AND (expires_at IS NULL OR julianday(expires_at) > julianday('now'))) AS good, \
                 (SELECT COUNT(*) FROM tenants WHERE id = $3 AND suspended_at IS NULL) AS live",
                key.0,
                set.map(|set| set.0).into(),
            ),
        };
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [id.into(), held, tenant.0.into()]);
        let row = self.query_one(statement).await?.ok_or(WallError::NotFresh)?;
        match (row.try_get::<i64>("", "good")?, row.try_get::<i64>("", "live")?) {
            (0, _) => Err(WallError::NotFresh),
            (_, 0) => Err(WallError::Suspended),
            _ => Ok(()),
        }
    }

    pub(super) fn backend(&self) -> DbBackend {
        match self.link {
            Link::Postgres(_) => DbBackend::Postgres,
            Link::Sqlite { .. } => DbBackend::Sqlite,
        }
    }

    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64, WallError> {
        let (sql, values) = split(statement);
        let named = self.named_statements;
        let result: Result<ExecResult, sqlx::Error> = match &mut self.link {
            Link::Postgres(connection) => sqlx::query_with::<Postgres, _>(AssertSqlSafe(sql), values)
                .persistent(named)
                .execute(&mut **connection)
                .await
                .map(Into::into),
            Link::Sqlite { connection, .. } => sqlx::query_with::<Sqlite, _>(AssertSqlSafe(sql), values)
                .execute(&mut **connection)
                .await
                .map(Into::into),
        };
        self.note(result).map(|done| done.rows_affected())
    }

    pub(super) async fn query_all(&mut self, statement: Statement) -> Result<Vec<QueryResult>, WallError> {
        let (sql, values) = split(statement);
        let named = self.named_statements;
        let result = match &mut self.link {
            Link::Postgres(connection) => {
                sqlx::query_with::<Postgres, _>(AssertSqlSafe(sql), values)
                    .persistent(named)
                    .fetch(&mut **connection)
                    .map_ok(QueryResult::from)
                    .try_collect()
                    .await
            }
            Link::Sqlite { connection, .. } => {
                sqlx::query_with::<Sqlite, _>(AssertSqlSafe(sql), values)
                    .fetch(&mut **connection)
                    .map_ok(QueryResult::from)
                    .try_collect()
                    .await
            }
        };
        self.note(result)
    }

    pub(super) async fn query_one(&mut self, statement: Statement) -> Result<Option<QueryResult>, WallError> {
        Ok(self.query_all(statement).await?.into_iter().next())
    }

    pub(super) async fn batch_execute(&mut self, batch: Bound) -> Result<u64, WallError> {
        let named = self.named_statements;
        match (&mut self.link, batch) {
            (Link::Postgres(connection), Bound::Postgres(sql, arguments)) => {
                let result = sqlx::query_with::<Postgres, _>(AssertSqlSafe(sql), arguments)
                    .persistent(named)
                    .execute(&mut **connection)
                    .await;
                self.note(result).map(|done| done.rows_affected())
            }
            (_, Bound::Sqlite(statement)) => self.execute(statement).await,
            _ => Err(WallError::Row("statement of the other dialect".to_owned())),
        }
    }

    pub(super) async fn batch_query(&mut self, batch: Bound) -> Result<Vec<QueryResult>, WallError> {
        let named = self.named_statements;
        match (&mut self.link, batch) {
            (Link::Postgres(connection), Bound::Postgres(sql, arguments)) => {
                let result = sqlx::query_with::<Postgres, _>(AssertSqlSafe(sql), arguments)
                    .persistent(named)
                    .fetch(&mut **connection)
                    .map_ok(QueryResult::from)
                    .try_collect()
                    .await;
                self.note(result)
            }
            (_, Bound::Sqlite(statement)) => self.query_all(statement).await,
            _ => Err(WallError::Row("statement of the other dialect".to_owned())),
        }
    }

    fn note<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, WallError> {
        self.count();
        self.failed |= result.is_err();
        let result = result.map_err(WallError::from);
        if matches!(result, Err(WallError::StalePlan)) {
            // It is kept with the connection, and would fail for ever.
            self.close_on_drop();
            return Err(WallError::Retry);
        }
        result
    }

    fn close_on_drop(&mut self) {
        match &mut self.link {
            Link::Postgres(connection) => connection.close_on_drop(),
            Link::Sqlite { connection, .. } => connection.close_on_drop(),
        }
    }

    /// Commits. After a failed statement Postgres would roll back and report success, so that is refused here.
    pub(super) async fn commit(mut self) -> Result<(), WallError> {
        if self.failed && !seeded_bugs::on("commit_lies") {
            self.rollback().await?;
            return Err(WallError::Failed);
        }
        self.count();
        let result = match &mut self.link {
            Link::Postgres(connection) => Manager::<Postgres>::commit(connection).await,
            Link::Sqlite { connection, .. } => Manager::<Sqlite>::commit(connection).await,
        };
        self.is_settled = result.is_ok();
        if seeded_bugs::on("commit_ignored") {
            return Ok(());
        }
        result.map_err(|error| match WallError::from(error) {
            WallError::Unavailable => WallError::CommitUnknown,
            other => other,
        })
    }

    pub(super) async fn rollback(mut self) -> Result<(), WallError> {
        match &mut self.link {
            Link::Postgres(connection) => Manager::<Postgres>::rollback(connection).await?,
            Link::Sqlite { connection, .. } => Manager::<Sqlite>::rollback(connection).await?,
        }
        self.is_settled = true;
        Ok(())
    }
}

/// Asked for whenever no answer to a commit or rollback came: by then SQLite's thread may have committed, and it takes the
/// next request to roll back for the one that belongs to that commit.
impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        match &mut self.link {
            Link::Postgres(connection) => Manager::<Postgres>::start_rollback(connection),
            Link::Sqlite { connection, .. } => Manager::<Sqlite>::start_rollback(connection),
        }
    }
}

fn split(statement: Statement) -> (String, SqlxValues) {
    (statement.sql, SqlxValues(statement.values.unwrap_or_else(|| sea_orm::Values(Vec::new()))))
}
