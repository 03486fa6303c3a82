//! Rows of `refresh_sessions`: one per refresh token; the tokens of one sign-in are a family.

use carillon_entities::ids::{SessionId, UserId};
use carillon_entities::rows::tenancy::refresh_sessions;
use carillon_entities::wall::{IdentitySql, IdentityTx};
use sea_orm::ActiveValue::Set;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::time::Timestamp;

/// Lets the unused refresh tokens of a user live through a change of roles.
pub(in crate::tenancy) static SESSIONS_CARRY_OVER: IdentitySql = IdentitySql {
    name: "SESSIONS_CARRY_OVER",
    text: "UPDATE refresh_sessions SET auth_version = (SELECT u.auth_version FROM users AS u WHERE u.id = $1)
        WHERE user_id = $1 AND used_at IS NULL AND revoked_at IS NULL",
};

/// Deletes at most 500 sessions of families past their end.
pub(in crate::tenancy) static SESSIONS_FORGET: IdentitySql = IdentitySql {
    name: "SESSIONS_FORGET",
    text: "DELETE FROM refresh_sessions WHERE id IN (SELECT s.id FROM refresh_sessions AS s
        WHERE s.family_expires_at < $1 ORDER BY s.family_expires_at LIMIT 500 {skip_locked})",
};

/// A refresh token as it is kept: without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tenancy) struct StoredSession {
    pub id: SessionId,
    pub family: Uuid,
    pub user: UserId,
    pub auth_version: i64,
    pub expires_at: Timestamp,
    pub family_expires_at: Timestamp,
    pub is_used: bool,
    pub is_revoked: bool,
}

impl From<refresh_sessions::Model> for StoredSession {
    fn from(row: refresh_sessions::Model) -> Self {
        Self {
            id: row.id,
            family: row.family_id,
            user: row.user_id,
            auth_version: row.auth_version,
            expires_at: row.expires_at,
            family_expires_at: row.family_expires_at,
            is_used: row.used_at.is_some(),
            is_revoked: row.revoked_at.is_some(),
        }
    }
}

pub(in crate::tenancy) async fn session_insert(
    tx: &mut IdentityTx,
    session: &StoredSession,
    token: [u8; 32],
    now: Timestamp,
) -> Result<()> {
    tx.insert(refresh_sessions::ActiveModel {
        id: Set(session.id),
        family_id: Set(session.family),
        user_id: Set(session.user),
        token_hash: Set(token.to_vec()),
        auth_version: Set(session.auth_version),
        expires_at: Set(session.expires_at),
        family_expires_at: Set(session.family_expires_at),
        used_at: Set(None),
        revoked_at: Set(None),
        created_at: Set(now),
    })
    .await
    .map_err(Error::from)
}

pub(in crate::tenancy) async fn session_find(tx: &mut IdentityTx, token: [u8; 32]) -> Result<Option<StoredSession>> {
    let select = tx.select::<refresh_sessions::Entity>();
    let row = select.eq(refresh_sessions::Column::TokenHash, token.to_vec()).one().await?;
    Ok(row.map(StoredSession::from))
}

pub(in crate::tenancy) async fn session_use(tx: &mut IdentityTx, id: SessionId, now: Timestamp) -> Result<bool> {
    let update = tx.update::<refresh_sessions::Entity>().eq(refresh_sessions::Column::Id, id.0);
    let update = update.is_null(refresh_sessions::Column::UsedAt).is_null(refresh_sessions::Column::RevokedAt);
    Ok(update.set(refresh_sessions::Column::UsedAt, now).execute().await? == 1)
}

pub(in crate::tenancy) async fn family_revoke(tx: &mut IdentityTx, family: Uuid, now: Timestamp) -> Result<()> {
    tx.update::<refresh_sessions::Entity>()
        .eq(refresh_sessions::Column::FamilyId, family)
        .is_null(refresh_sessions::Column::RevokedAt)
        .set(refresh_sessions::Column::RevokedAt, now)
        .execute()
        .await?;
    Ok(())
}

pub(in crate::tenancy) async fn sessions_revoke(tx: &mut IdentityTx, user: UserId, now: Timestamp) -> Result<()> {
    tx.update::<refresh_sessions::Entity>()
        .eq(refresh_sessions::Column::UserId, user.0)
        .is_null(refresh_sessions::Column::RevokedAt)
        .set(refresh_sessions::Column::RevokedAt, now)
        .execute()
        .await?;
    Ok(())
}

pub(in crate::tenancy) async fn sessions_carry_over(tx: &mut IdentityTx, user: UserId) -> Result<()> {
    tx.sql(&SESSIONS_CARRY_OVER, vec![user.0.into()])?.execute().await?;
    Ok(())
}

/// Deletes some sessions of families past their end.
pub(in crate::tenancy) async fn sessions_forget(tx: &mut IdentityTx, now: Timestamp) -> Result<u64> {
    Ok(tx.sql(&SESSIONS_FORGET, vec![now.into()])?.execute().await?)
}

/// True when a session is past its family's end.
pub(in crate::tenancy) async fn sessions_expired(tx: &mut IdentityTx, now: Timestamp) -> Result<bool> {
    let select = tx.select::<refresh_sessions::Entity>().lt(refresh_sessions::Column::FamilyExpiresAt, now);
    Ok(select.limit(1).one().await?.is_some())
}
