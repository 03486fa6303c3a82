//! Statements that are transactions of their own: one statement and one round trip on Postgres, where BEGIN, the statement
//! and COMMIT are three.
//!
//! Postgres commits such a statement after it has told of its rows and before it says that it is ready for the next. So all is
//! read up to there, and a connection on which that did not come is closed, as one is whose `BEGIN` did not finish. What
//! has changed is then as unknown as after a COMMIT without an answer (C-187).

use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt as _;
use sea_orm::{FromQueryResult, QueryResult, Value};
use sqlx::{AssertSqlSafe, PgConnection, Postgres};

use super::connection::{Opening, Pools};
use super::login::Role;
use super::sql::{Args, IdentitySql, Sql};
use super::{Freshness, TenantDoor, TenantTx, TxMode, Wall, WallError};
use crate::dialect::{self, Bound, Credential};
use crate::ids::TenantId;

/// A registered statement that may be a transaction of its own ([`TenantDoor::run_alone`], [`TenantTx::sql_alone`]): on
/// Postgres one statement in one round trip, where BEGIN, the statement and COMMIT are three.
///
/// There it is a call of a function of the schema that sets the tenant for its transaction, asks whether the credential is
/// still good (C-213) and then runs the same text, with the rights of whoever calls it: row security holds in it as
/// everywhere (L1). A test compares the texts, another leaves the
/// tenant out of them. The function refuses to run inside the transaction of a tenant.
#[derive(Debug)]
pub struct Alone {
    /// The statement.
    pub sql: &'static Sql,
    /// The function: it takes the tenant, the scalars, an array for each column of the batch, and the credential.
    pub function: &'static str,
    /// Whether it writes.
    pub mode: TxMode,
}

impl Alone {
    /// What the function runs once the tenant is set.
    pub fn text(&self) -> String {
        dialect::text_of_arrays(self.sql.text, self.sql.args.len() + 1, self.sql.batch)
    }

    /// The call of the function.
    fn call(&self, tenant: TenantId, args: Args, credential: Credential) -> Result<Bound, WallError> {
        let mut scalars = Vec::with_capacity(args.scalars.len() + 1);
        scalars.push(Value::from(tenant.0));
        scalars.extend(args.scalars);
        dialect::call(self.function, scalars, self.sql.batch, args.batch, credential)
    }
}

impl Freshness {
    /// What a function asks before it does anything; none where only the beginning of a transaction asks it.
    fn credential(self) -> Option<Credential> {
        match self {
            Self::Unchecked => Some(Credential::default()),
            Self::User(user, version) => {
                Some(Credential { user: Some(user.0), version: Some(version), ..Credential::default() })
            }
            Self::Key(key, set) => {
                Some(Credential { key: Some(key.0), set: set.map(|set| set.0), ..Credential::default() })
            }
            Self::Link | Self::Tenant => None,
        }
    }
}

/// The rows that a statement gave that was a transaction of its own.
#[derive(Debug)]
pub struct Rows(pub(super) Vec<QueryResult>);

impl Rows {
    /// All of them.
    pub fn read<M: FromQueryResult>(&self) -> Result<Vec<M>, WallError> {
        self.0.iter().map(|row| M::from_query_result(row, "").map_err(WallError::from)).collect()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TenantDoor {
    /// Runs a statement that is a transaction of its own; one round trip on Postgres. SQLite, a door for links or of a tenant that
    /// must not be suspended, and a pooler that knows no named statements have the transaction around it that it would have
    /// anywhere.
    ///
    /// # Errors
    /// [`WallError::CommitUnknown`] when no answer came: it may be committed, just as after a COMMIT without an answer.
    /// Whatever else the database said, nothing was changed.
    pub async fn run_alone(&self, alone: &'static Alone, args: Args) -> Result<Rows, WallError> {
        if let Some(credential) = self.alone() {
            return self.run_as(alone, args, credential).await;
        }
        let mut tx = self.begin(alone.mode).await?;
        let rows = tx.sql(alone.sql, args)?.rows().await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// The credential that a function is to ask for; none where a transaction has to begin.
    pub(super) fn alone(&self) -> Option<Credential> {
        self.freshness.credential().filter(|_| self.wall.pools.runs_alone())
    }

    async fn run_as(&self, alone: &'static Alone, args: Args, credential: Credential) -> Result<Rows, WallError> {
        let call = alone.call(self.tenant, args, credential)?;
        Ok(Rows(self.wall.pools.run_alone((Role::App, alone.mode), call, &self.wall.statements).await?))
    }
}

impl TenantTx {
    /// A registered statement that reads: where the transaction has not begun yet, as one of its own.
    pub async fn sql_alone(&mut self, alone: &'static Alone, args: Args) -> Result<Rows, WallError> {
        let waiting = self.link.waiting().and_then(|door| Some((door.clone(), door.alone()?)));
        match waiting {
            Some((door, credential)) if alone.mode == TxMode::Read => door.run_as(alone, args, credential).await,
            _ => self.sql(alone.sql, args)?.rows().await,
        }
    }
}

impl Wall {
    /// A registered statement on the tables without a tenant that is a transaction of its own: one round trip on Postgres.
    pub async fn run_identity(&self, sql: &'static IdentitySql, args: Vec<Value>) -> Result<Rows, WallError> {
        if self.pools.runs_alone() {
            let bound = sql.bind(args)?;
            return Ok(Rows(self.pools.run_alone((Role::Identity, TxMode::Write), bound, &self.statements).await?));
        }
        let mut tx = self.begin_identity(TxMode::Write).await?;
        let rows = tx.sql(sql, args)?.rows().await?;
        tx.commit().await?;
        Ok(rows)
    }
}

impl Pools {
    /// True where one statement can be a transaction of its own. Where statements are unnamed it cannot: the driver says what
    /// it is and runs it in two messages, and a pooler in transaction mode may carry these to two connections.
    pub(super) fn runs_alone(&self) -> bool {
        matches!(self, Self::Postgres { named_statements: true, .. })
    }

    /// Runs one statement that is a transaction of its own; where it writes, an answer that stays away leaves its commit
    /// unknown.
    pub(super) async fn run_alone(
        &self,
        (role, mode): (Role, TxMode),
        bound: Bound,
        statements: &AtomicU64,
    ) -> Result<Vec<QueryResult>, WallError> {
        let Self::Postgres { app, identity, dispatch, .. } = self else { return Err(other_dialect()) };
        let pool = match role {
            Role::App => Some(app),
            Role::Identity => identity.as_ref(),
            Role::Dispatch => dispatch.as_ref(),
        };
        let pool = pool.ok_or(WallError::NoLogin(role.name()))?;
        if mode == TxMode::Read {
            // One that is dropped on the way goes back when the server has answered, as one in a transaction does: so
            // the server never has more to do than there are places in the pool.
            let mut connection = pool.take().await?;
            statements.fetch_add(1, Ordering::Relaxed);
            let answer = fetch(&mut connection, bound).await;
            if answer.as_ref().is_err_and(is_for_ever) {
                connection.close_on_drop();
            }
            return answer.map_err(passing);
        }
        let mut opening = Opening::new(pool.take().await?);
        statements.fetch_add(1, Ordering::Relaxed);
        let answer = fetch(opening.connection()?, bound).await;
        match answer {
            Err(WallError::Unavailable) => {
                pool.refused();
                return Err(WallError::CommitUnknown);
            }
            // Nothing ran.
            Err(error) if is_for_ever(&error) => return Err(passing(error)),
            _ => {}
        }
        // Done, or refused and undone: the connection is as it was.
        drop(opening.opened()?);
        answer
    }
}

/// To the end: Postgres tells of the rows first, commits, and is then ready for what comes next.
async fn fetch(connection: &mut PgConnection, bound: Bound) -> Result<Vec<QueryResult>, WallError> {
    let Bound::Postgres(sql, arguments) = bound else { return Err(other_dialect()) };
    let rows = sqlx::query_with::<Postgres, _>(AssertSqlSafe(sql), arguments).fetch(connection);
    Ok(rows.map_ok(QueryResult::from).try_collect().await?)
}

/// What is kept with a connection, and would fail on it again: a plan older than the schema, and a tenant that was set for
/// longer than a transaction.
fn is_for_ever(error: &WallError) -> bool {
    match error {
        WallError::StalePlan => true,
        WallError::Database { code, .. } => code == "CA400",
        _ => false,
    }
}

/// On another connection it would do.
fn passing(error: WallError) -> WallError {
    if is_for_ever(&error) { WallError::Retry } else { error }
}

fn other_dialect() -> WallError {
    WallError::Row("statement of the other dialect".to_owned())
}
