//! What is due, over all tenants: ids only, through the read-only dispatch role (L4).

use sea_orm::{QueryResult, Statement};

use super::{IdentitySql, Role, TxMode, Wall, WallError};
use crate::ids::TenantId;

/// A tenant with due work in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueTenant {
    /// Whose work is due.
    pub tenant: TenantId,
    /// The due time of its oldest work, in microseconds since 1970.
    pub oldest_due_at: chrono::DateTime<chrono::Utc>,
}

impl Wall {
    /// Runs a registered read of due ids: its columns are `tenant_id` and `oldest_due_at`, its arguments as given.
    pub async fn due(&self, sql: &'static IdentitySql, args: Vec<sea_orm::Value>) -> Result<Vec<DueTenant>, WallError> {
        let rows = self.dispatched(sql, args).await?;
        rows.iter()
            .map(|row| {
                Ok(DueTenant {
                    tenant: row.try_get("", "tenant_id")?,
                    oldest_due_at: row.try_get("", "oldest_due_at")?,
                })
            })
            .collect()
    }

    /// Runs a registered count of what is due: its one column is `amount`.
    pub async fn due_amount(&self, sql: &'static IdentitySql, args: Vec<sea_orm::Value>) -> Result<i64, WallError> {
        let rows = self.dispatched(sql, args).await?;
        rows.first().map_or(Ok(0), |row| Ok(row.try_get("", "amount")?))
    }

    /// One statement of a role that only reads has no need of a transaction around it.
    async fn dispatched(
        &self,
        sql: &'static IdentitySql,
        args: Vec<sea_orm::Value>,
    ) -> Result<Vec<QueryResult>, WallError> {
        if self.pools.runs_alone() {
            return self.pools.run_alone((Role::Dispatch, TxMode::Read), sql.bind(args)?, &self.statements).await;
        }
        let mut connection = self.pools.begin_dispatch().await?.counted(&self.statements);
        let statement = Statement::from_sql_and_values(connection.backend(), sql.text(connection.backend()), args);
        let rows = connection.query_all(statement).await?;
        connection.commit().await?;
        Ok(rows)
    }
}
