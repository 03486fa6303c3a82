//! Rows of `credentials`: API keys, and the one-time secrets that mails carry.

use carillon_entities::ids::{CredentialId, DocumentSetId, TenantId, UserId};
use carillon_entities::rows::tenancy::credentials;
use carillon_entities::wall::{IdentitySql, IdentityTx};
use sea_orm::ActiveValue::Set;
use serde_json::Value as Json;

use super::unreadable;
use crate::error::{Error, Result};
use crate::paging::{Page, Paged};
use crate::tenancy::{ApiKey, Permission, Role, Scope, Scopes, SecretKind, StoredKey};
use crate::time::Timestamp;

const API_KEY: &str = "api_key";

/// A one-time secret as it is kept: without the secret.
#[derive(Clone, PartialEq)]
pub(in crate::tenancy) struct OneTime {
    pub id: CredentialId,
    /// What an invitation is to.
    pub scope: Option<Scope>,
    pub role: Option<Role>,
    pub user: Option<UserId>,
    /// Whom it was mailed to, while there is no user.
    pub email_norm: Option<String>,
    /// What a sign-up becomes once its address is verified.
    pub pending: Option<Json>,
    pub expires_at: Timestamp,
    pub is_spent: bool,
    pub created_by: Option<UserId>,
}

impl OneTime {
    /// A secret that nothing else is known of.
    pub fn new(id: CredentialId, expires_at: Timestamp) -> Self {
        let (scope, role, user, email_norm, pending, created_by) = (None, None, None, None, None, None);
        Self { id, scope, role, user, email_norm, pending, expires_at, is_spent: false, created_by }
    }

    /// True until it is used, revoked or outlived.
    pub fn is_good(&self, now: Timestamp) -> bool {
        !self.is_spent && now < self.expires_at
    }
}

fn scope(row: &credentials::Model) -> Result<Option<Scope>> {
    match (&row.scope_kind, row.scope_id) {
        (Some(kind), Some(id)) => Scope::from_row(kind, id).map(Some),
        _ => Ok(None),
    }
}

fn role(row: &credentials::Model) -> Result<Option<Role>> {
    row.role.as_deref().map(str::parse).transpose().map_err(unreadable)
}

fn one_time(row: credentials::Model) -> Result<OneTime> {
    Ok(OneTime {
        id: row.id,
        scope: scope(&row)?,
        role: role(&row)?,
        user: row.user_id,
        email_norm: row.email_norm,
        pending: row.pending,
        expires_at: row.expires_at.ok_or_else(|| unreadable("a one-time secret without an end"))?,
        is_spent: row.used_at.is_some() || row.revoked_at.is_some(),
        created_by: row.created_by.map(UserId),
    })
}

/// Stores a one-time secret; a spent one is stored as revoked and opens nothing.
pub(in crate::tenancy) async fn secret_insert(
    tx: &mut IdentityTx,
    kind: SecretKind,
    secret: OneTime,
    hash: [u8; 32],
    now: Timestamp,
) -> Result<()> {
    tx.insert(credentials::ActiveModel {
        id: Set(secret.id),
        kind: Set(kind.as_str().to_owned()),
        scope_kind: Set(secret.scope.map(|scope| scope.kind().to_owned())),
        scope_id: Set(secret.scope.map(Scope::id)),
        user_id: Set(secret.user),
        secret_hash: Set(hash.to_vec()),
        prefix: Set(String::new()),
        name: Set(String::new()),
        role: Set(secret.role.map(|role| role.as_str().to_owned())),
        scopes: Set(Json::Array(Vec::new())),
        document_set_id: Set(None),
        email_norm: Set(secret.email_norm),
        pending: Set(secret.pending),
        expires_at: Set(Some(secret.expires_at)),
        used_at: Set(None),
        revoked_at: Set(secret.is_spent.then_some(now)),
        last_used_at: Set(None),
        created_by: Set(secret.created_by.map(|user| user.0)),
        created_at: Set(now),
    })
    .await
    .map_err(Error::from)
}

pub(in crate::tenancy) async fn secret_find(
    tx: &mut IdentityTx,
    kind: SecretKind,
    hash: [u8; 32],
) -> Result<Option<OneTime>> {
    let select = tx.select::<credentials::Entity>().eq(credentials::Column::Kind, kind.as_str());
    let row = select.eq(credentials::Column::SecretHash, hash.to_vec()).one().await?;
    row.map(one_time).transpose()
}

/// Uses a one-time secret up, and with it what it was to become; false when somebody was faster.
pub(in crate::tenancy) async fn secret_use(tx: &mut IdentityTx, id: CredentialId, now: Timestamp) -> Result<bool> {
    let update = tx.update::<credentials::Entity>().eq(credentials::Column::Id, id.0);
    let update = update.is_null(credentials::Column::UsedAt).is_null(credentials::Column::RevokedAt);
    let update = update.set(credentials::Column::UsedAt, now).set(credentials::Column::Pending, None::<Json>);
    Ok(update.execute().await? == 1)
}

/// Revokes what a user has of a kind.
pub(in crate::tenancy) async fn secrets_revoke(
    tx: &mut IdentityTx,
    user: UserId,
    kind: SecretKind,
    now: Timestamp,
) -> Result<()> {
    tx.update::<credentials::Entity>()
        .eq(credentials::Column::UserId, user.0)
        .eq(credentials::Column::Kind, kind.as_str())
        .is_null(credentials::Column::RevokedAt)
        .set(credentials::Column::RevokedAt, now)
        .execute()
        .await?;
    Ok(())
}

/// Deletes at most 500 one-time secrets past their time; API keys stay, so that their owners see what they were.
pub(in crate::tenancy) static SECRETS_FORGET: IdentitySql = IdentitySql {
    name: "SECRETS_FORGET",
    text: "DELETE FROM credentials WHERE id IN (SELECT c.id FROM credentials AS c
        WHERE c.kind <> 'api_key' AND c.expires_at < $1 ORDER BY c.expires_at LIMIT 500 {skip_locked})",
};

/// Deletes some one-time secrets past their time.
pub(in crate::tenancy) async fn secrets_forget(tx: &mut IdentityTx, now: Timestamp) -> Result<u64> {
    Ok(tx.sql(&SECRETS_FORGET, vec![now.into()])?.execute().await?)
}

/// True when a one-time secret is past its time.
pub(in crate::tenancy) async fn secrets_expired(tx: &mut IdentityTx, now: Timestamp) -> Result<bool> {
    let select = tx.select::<credentials::Entity>().ne(credentials::Column::Kind, API_KEY);
    Ok(select.lt(credentials::Column::ExpiresAt, now).limit(1).one().await?.is_some())
}

fn permissions(row: &credentials::Model) -> Result<Vec<Permission>> {
    serde_json::from_value(row.scopes.clone()).map_err(unreadable)
}

fn api_key(row: credentials::Model) -> Result<ApiKey> {
    Ok(ApiKey {
        id: row.id,
        role: role(&row)?.ok_or_else(|| unreadable("an API key without a role"))?,
        scopes: permissions(&row)?,
        document_set: row.document_set_id,
        name: row.name,
        prefix: row.prefix,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
        created_at: row.created_at,
    })
}

pub(in crate::tenancy) async fn key_insert(
    tx: &mut IdentityTx,
    tenant: TenantId,
    key: &ApiKey,
    hash: [u8; 32],
    created_by: Option<UserId>,
) -> Result<()> {
    tx.insert(credentials::ActiveModel {
        id: Set(key.id),
        kind: Set(API_KEY.to_owned()),
        scope_kind: Set(Some(Scope::Tenant(tenant).kind().to_owned())),
        scope_id: Set(Some(tenant.0)),
        user_id: Set(None),
        secret_hash: Set(hash.to_vec()),
        prefix: Set(key.prefix.clone()),
        name: Set(key.name.clone()),
        role: Set(Some(key.role.as_str().to_owned())),
        scopes: Set(serde_json::to_value(&key.scopes).map_err(Error::fault)?),
        document_set_id: Set(key.document_set),
        email_norm: Set(None),
        pending: Set(None),
        expires_at: Set(key.expires_at),
        used_at: Set(None),
        revoked_at: Set(None),
        last_used_at: Set(None),
        created_by: Set(created_by.map(|user| user.0)),
        created_at: Set(key.created_at),
    })
    .await
    .map_err(Error::from)
}

/// A key of a tenant.
pub(in crate::tenancy) async fn key_find(
    tx: &mut IdentityTx,
    tenant: TenantId,
    id: CredentialId,
) -> Result<Option<ApiKey>> {
    let select = tx.select::<credentials::Entity>().eq(credentials::Column::Id, id.0);
    let select = select.eq(credentials::Column::ScopeKind, "tenant").eq(credentials::Column::ScopeId, tenant.0);
    select.eq(credentials::Column::Kind, API_KEY).one().await?.map(api_key).transpose()
}

/// What a presented key is compared with, and when it was last used.
pub(in crate::tenancy) async fn key_stored(
    tx: &mut IdentityTx,
    id: CredentialId,
) -> Result<Option<(StoredKey, Option<Timestamp>)>> {
    let select = tx.select::<credentials::Entity>().eq(credentials::Column::Id, id.0);
    let Some(row) = select.eq(credentials::Column::Kind, API_KEY).one().await? else { return Ok(None) };
    let Some(Scope::Tenant(tenant)) = scope(&row)? else { return Ok(None) };
    let stored = StoredKey {
        id: row.id,
        hash: row.secret_hash.as_slice().try_into().map_err(unreadable)?,
        tenant,
        role: role(&row)?.ok_or_else(|| unreadable("an API key without a role"))?,
        scopes: Scopes::Only(permissions(&row)?),
        document_set: row.document_set_id,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
    };
    Ok(Some((stored, row.last_used_at)))
}

pub(in crate::tenancy) async fn key_revoke(tx: &mut IdentityTx, id: CredentialId, now: Timestamp) -> Result<()> {
    tx.update::<credentials::Entity>()
        .eq(credentials::Column::Id, id.0)
        .is_null(credentials::Column::RevokedAt)
        .set(credentials::Column::RevokedAt, now)
        .execute()
        .await?;
    Ok(())
}

/// Holds a key to a document set, or to none.
pub(in crate::tenancy) async fn key_limit(
    tx: &mut IdentityTx,
    id: CredentialId,
    document_set: Option<DocumentSetId>,
) -> Result<()> {
    let update = tx.update::<credentials::Entity>().eq(credentials::Column::Id, id.0);
    let set = document_set.map(|set| set.0);
    update.set(credentials::Column::DocumentSetId, set).execute().await?;
    Ok(())
}

pub(in crate::tenancy) async fn key_touch(tx: &mut IdentityTx, id: CredentialId, now: Timestamp) -> Result<()> {
    let update = tx.update::<credentials::Entity>().eq(credentials::Column::Id, id.0);
    update.set(credentials::Column::LastUsedAt, now).execute().await?;
    Ok(())
}

/// How many keys of a tenant are not revoked.
pub(in crate::tenancy) async fn keys_count(tx: &mut IdentityTx, tenant: TenantId) -> Result<i64> {
    let select = tx.select::<credentials::Entity>().eq(credentials::Column::ScopeKind, "tenant");
    let select = select.eq(credentials::Column::ScopeId, tenant.0).is_null(credentials::Column::RevokedAt);
    Ok(select.eq(credentials::Column::Kind, API_KEY).count().await?)
}

/// Keys of a tenant, revoked ones too; unknown ids are left out.
pub(in crate::tenancy) async fn keys_find(
    tx: &mut IdentityTx,
    tenant: TenantId,
    ids: &[CredentialId],
) -> Result<Vec<ApiKey>> {
    let select = tx.select::<credentials::Entity>().is_in(credentials::Column::Id, ids.iter().map(|id| id.0));
    let select = select.eq(credentials::Column::ScopeKind, "tenant").eq(credentials::Column::ScopeId, tenant.0);
    select.eq(credentials::Column::Kind, API_KEY).all().await?.into_iter().map(api_key).collect()
}

/// Who made keys of a tenant, revoked ones too; unknown ids are left out.
pub(in crate::tenancy) async fn keys_makers(
    tx: &mut IdentityTx,
    tenant: TenantId,
    ids: &[CredentialId],
) -> Result<Vec<UserId>> {
    let select = tx.select::<credentials::Entity>().is_in(credentials::Column::Id, ids.iter().map(|id| id.0));
    let select = select.eq(credentials::Column::ScopeKind, "tenant").eq(credentials::Column::ScopeId, tenant.0);
    let rows = select.eq(credentials::Column::Kind, API_KEY).all().await?;
    Ok(rows.into_iter().filter_map(|row| row.created_by.map(UserId)).collect())
}

/// A page of a tenant's keys, revoked ones too, in order of arrival.
pub(in crate::tenancy) async fn keys_page(
    tx: &mut IdentityTx,
    tenant: TenantId,
    page: &Page<CredentialId>,
) -> Result<Paged<ApiKey>> {
    let select = tx.select::<credentials::Entity>().eq(credentials::Column::ScopeKind, "tenant");
    let select = select.eq(credentials::Column::ScopeId, tenant.0);
    let select = select.eq(credentials::Column::Kind, API_KEY);
    let rows = page.keyset(select, credentials::Column::Id).all().await?;
    Ok(page.finish(rows.into_iter().map(api_key).collect::<Result<_>>()?))
}
