//! Rows of `users`.

use carillon_entities::ids::UserId;
use carillon_entities::rows::tenancy::users;
use carillon_entities::wall::{IdentitySql, IdentityTx};
use sea_orm::ActiveValue::Set;

use super::{sessions, unreadable};
use crate::contacts::EmailAddress;
use crate::error::{Error, Result};
use crate::tenancy::User;
use crate::time::Timestamp;

/// Makes every access token of a user stale (C-213).
pub(in crate::tenancy) static USER_BUMP: IdentitySql =
    IdentitySql { name: "USER_BUMP", text: "UPDATE users SET auth_version = auth_version + 1 WHERE id = $1" };

fn user(row: users::Model) -> Result<User> {
    Ok(User {
        id: row.id,
        email: EmailAddress::parse(&row.email).map_err(unreadable)?,
        name: row.name,
        password_hash: row.password_hash,
        auth_version: row.auth_version,
        is_disabled: row.disabled_at.is_some(),
        created_at: row.created_at,
    })
}

pub(in crate::tenancy) async fn user_find(tx: &mut IdentityTx, id: UserId) -> Result<Option<User>> {
    tx.select::<users::Entity>().eq(users::Column::Id, id.0).one().await?.map(user).transpose()
}

/// Finds and locks a user; before any of their sessions, so that nobody waits in a circle.
pub(in crate::tenancy) async fn user_lock(tx: &mut IdentityTx, id: UserId) -> Result<Option<User>> {
    tx.select::<users::Entity>().eq(users::Column::Id, id.0).for_update().one().await?.map(user).transpose()
}

pub(in crate::tenancy) async fn users_find(tx: &mut IdentityTx, ids: &[UserId]) -> Result<Vec<User>> {
    let mut found = Vec::with_capacity(ids.len());
    for some in ids.chunks(1_000) {
        let rows = tx.select::<users::Entity>().is_in(users::Column::Id, some.iter().map(|id| id.0)).all().await?;
        found.extend(rows);
    }
    found.into_iter().map(user).collect()
}

pub(in crate::tenancy) async fn user_by_email(tx: &mut IdentityTx, email: &EmailAddress) -> Result<Option<User>> {
    tx.select::<users::Entity>().eq(users::Column::EmailNorm, email.norm()).one().await?.map(user).transpose()
}

/// A user to be.
pub(in crate::tenancy) struct NewUser<'a> {
    pub id: UserId,
    pub email: &'a EmailAddress,
    pub name: &'a str,
    pub password_hash: Option<String>,
    pub email_verified_at: Option<Timestamp>,
    pub now: Timestamp,
}

pub(in crate::tenancy) async fn user_insert(tx: &mut IdentityTx, user: NewUser<'_>) -> Result<()> {
    tx.insert(users::ActiveModel {
        id: Set(user.id),
        email: Set(user.email.as_sent().to_owned()),
        email_norm: Set(user.email.norm().to_owned()),
        name: Set(user.name.to_owned()),
        password_hash: Set(user.password_hash),
        auth_version: Set(1),
        email_verified_at: Set(user.email_verified_at),
        disabled_at: Set(None),
        created_at: Set(user.now),
    })
    .await
    .map_err(Error::from)
}

/// Makes every access token of the user stale; refresh sessions live on, so a client gets a new token by itself.
pub(in crate::tenancy) async fn user_bump(tx: &mut IdentityTx, id: UserId) -> Result<()> {
    tx.sql(&USER_BUMP, vec![id.0.into()])?.execute().await?;
    sessions::sessions_carry_over(tx, id).await
}

/// Sets a password that the user proved to be theirs to set: every token and session before it ends (C-213).
pub(in crate::tenancy) async fn user_set_password(
    tx: &mut IdentityTx,
    id: UserId,
    hash: &str,
    now: Timestamp,
) -> Result<()> {
    tx.sql(&USER_BUMP, vec![id.0.into()])?.execute().await?;
    tx.update::<users::Entity>().eq(users::Column::Id, id.0).set(users::Column::PasswordHash, hash).execute().await?;
    sessions::sessions_revoke(tx, id, now).await
}

/// The user has read a mail that was sent to their address.
pub(in crate::tenancy) async fn user_verified(tx: &mut IdentityTx, id: UserId, now: Timestamp) -> Result<()> {
    tx.update::<users::Entity>()
        .eq(users::Column::Id, id.0)
        .is_null(users::Column::EmailVerifiedAt)
        .set(users::Column::EmailVerifiedAt, now)
        .execute()
        .await?;
    Ok(())
}

/// Replaces a hash by one of the same password with newer parameters (C-215), unless the password changed meanwhile.
pub(in crate::tenancy) async fn user_rehash(tx: &mut IdentityTx, id: UserId, old: &str, new: &str) -> Result<()> {
    tx.update::<users::Entity>()
        .eq(users::Column::Id, id.0)
        .eq(users::Column::PasswordHash, old)
        .set(users::Column::PasswordHash, new)
        .execute()
        .await?;
    Ok(())
}

/// Disables or enables a user; every token and session ends.
pub(in crate::tenancy) async fn user_disable(
    tx: &mut IdentityTx,
    id: UserId,
    disabled_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    tx.sql(&USER_BUMP, vec![id.0.into()])?.execute().await?;
    tx.update::<users::Entity>()
        .eq(users::Column::Id, id.0)
        .set(users::Column::DisabledAt, disabled_at)
        .execute()
        .await?;
    sessions::sessions_revoke(tx, id, now).await
}
