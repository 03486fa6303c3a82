//! Who may get a test send (C-162): read from the tables without a tenant.

use carillon_entities::ids::TenantId;
use carillon_entities::wall::{IdentitySql, TxMode};
use sea_orm::FromQueryResult;

use crate::contacts::EmailAddress;
use crate::error::Result;
use crate::ports::Ports;

/// Memberships of an enabled, verified user on a tenant or on an account above it.
pub(in crate::messaging) static VERIFIED_MEMBER: IdentitySql = IdentitySql {
    name: "VERIFIED_MEMBER",
    text: "WITH RECURSIVE above (id, parent_id) AS (
            SELECT a.id, a.parent_id FROM tenants t JOIN accounts a ON a.id = t.account_id WHERE t.id = $1
            UNION SELECT a.id, a.parent_id FROM accounts a JOIN above ON a.id = above.parent_id)
        SELECT COUNT(*) AS found FROM users u JOIN memberships m ON m.user_id = u.id
        WHERE u.email_norm = $2 AND u.email_verified_at IS NOT NULL AND u.disabled_at IS NULL
        AND ((m.scope_kind = 'tenant' AND m.scope_id = $1)
            OR (m.scope_kind = 'account' AND m.scope_id IN (SELECT id FROM above)))",
};

#[derive(FromQueryResult)]
struct Row {
    found: i64,
}

/// True when the address is that of an enabled user who has verified it and belongs to the tenant.
pub(in crate::messaging) async fn is_verified_member(
    ports: &Ports,
    tenant: TenantId,
    address: &EmailAddress,
) -> Result<bool> {
    let mut tx = ports.wall.begin_identity(TxMode::Read).await?;
    let row: Option<Row> = tx.sql(&VERIFIED_MEMBER, vec![tenant.into(), address.norm().into()])?.one().await?;
    tx.commit().await?;
    Ok(row.is_some_and(|row| row.found > 0))
}
