//! Rows of `identity_idempotency_keys`.

use carillon_entities::ids::UserId;
use carillon_entities::rows::tenancy::identity_idempotency_keys as rows;
use carillon_entities::wall::{IdentitySql, IdentityTx, OnConflict};
use sea_orm::ActiveValue::Set;
use uuid::Uuid;

use super::{Keys, Stored};
use crate::error::Result;
use crate::idempotency::Call;
use crate::keys::Place;
use crate::time::Timestamp;

/// Deletes at most 500 answers past their time.
pub static KEYS_OF_USERS_FORGET: IdentitySql = IdentitySql {
    name: "KEYS_OF_USERS_FORGET",
    text: "DELETE FROM identity_idempotency_keys WHERE (user_id, scope_id, operation, key) IN (
        SELECT k.user_id, k.scope_id, k.operation, k.key FROM identity_idempotency_keys AS k
        WHERE k.expires_at < $1 ORDER BY k.expires_at LIMIT 500 {skip_locked})",
};

/// A user's keys: those they used in one tenant, or, where that is no matter, anywhere.
#[derive(Debug)]
pub struct UserKeys<'a> {
    /// The transaction of the effect.
    pub tx: &'a mut IdentityTx,
    /// Whose keys.
    pub user: UserId,
    /// The tenant, or the user.
    pub scope: Uuid,
}

/// Narrows a query to the row of a call.
macro_rules! row_of {
    ($query:expr, $keys:expr, $call:expr) => {
        $query
            .eq(rows::Column::UserId, $keys.user.0)
            .eq(rows::Column::ScopeId, $keys.scope)
            .eq(rows::Column::Operation, $call.operation)
            .eq(rows::Column::Key, $call.key.as_str())
    };
}

impl Keys for UserKeys<'_> {
    fn place(&self, call: &Call) -> Place {
        let row = call.row_id(&[self.user.0.as_bytes(), self.scope.as_bytes()]);
        Place { tenant: None, table: "identity_idempotency_keys", column: "sealed_answer", row }
    }

    async fn reserve(
        &mut self,
        call: &Call,
        fingerprint: [u8; 32],
        (now, expires_at): (Timestamp, Timestamp),
    ) -> Result<bool> {
        let row = rows::ActiveModel {
            user_id: Set(self.user),
            scope_id: Set(self.scope),
            operation: Set(call.operation.to_owned()),
            key: Set(call.key.clone()),
            input_hash: Set(fingerprint.to_vec()),
            sealed_answer: Set(Vec::new()),
            created_at: Set(now),
            expires_at: Set(expires_at),
        };
        if self.tx.insert_many(vec![row], OnConflict::Keep).await? == 1 {
            return Ok(true);
        }
        // Takes over a key whose answer is past its time.
        let update = row_of!(self.tx.update::<rows::Entity>(), self, call).lt(rows::Column::ExpiresAt, now);
        let update = update.set(rows::Column::InputHash, fingerprint.to_vec()).set(rows::Column::CreatedAt, now);
        Ok(update.set(rows::Column::ExpiresAt, expires_at).execute().await? == 1)
    }

    async fn find(&mut self, call: &Call) -> Result<Option<Stored>> {
        let row = row_of!(self.tx.select::<rows::Entity>(), self, call).one().await?;
        Ok(row.map(|row| Stored { input_hash: row.input_hash, sealed_answer: row.sealed_answer }))
    }

    async fn answer(&mut self, call: &Call, sealed_answer: Vec<u8>) -> Result<()> {
        let update = row_of!(self.tx.update::<rows::Entity>(), self, call);
        update.set(rows::Column::SealedAnswer, sealed_answer).execute().await?;
        Ok(())
    }
}

/// Deletes some answers past their time; returns how many.
pub async fn keys_of_users_forget(tx: &mut IdentityTx, now: Timestamp) -> Result<u64> {
    Ok(tx.sql(&KEYS_OF_USERS_FORGET, vec![now.into()])?.execute().await?)
}

/// True when an answer is past its time.
pub async fn keys_of_users_expired(tx: &mut IdentityTx, now: Timestamp) -> Result<bool> {
    let select = tx.select::<rows::Entity>().lt(rows::Column::ExpiresAt, now);
    Ok(select.limit(1).one().await?.is_some())
}
