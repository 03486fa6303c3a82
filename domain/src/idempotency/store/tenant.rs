//! Rows of `idempotency_keys`.

use carillon_entities::rows::service::idempotency_keys;
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, TenantTx};
use sea_orm::ActiveValue::Set;

use super::{Keys, Stored};
use crate::error::Result;
use crate::idempotency::Call;
use crate::keys::Place;
use crate::time::Timestamp;

statements! {
    /// Takes over a key whose answer is past its time.
    KEY_RENEW(Text, Text, Time, Bytes, Time) = "UPDATE idempotency_keys
        SET input_hash = $5, created_at = $4, expires_at = $6
        WHERE tenant_id = $1 AND operation = $2 AND key = $3 AND expires_at <= $4";
    /// Deletes at most 64 answers past their time: a constant, because a bound limit is planned as a tenth of the table,
    /// which then is scanned.
    KEYS_FORGET(Time) = "DELETE FROM idempotency_keys
        WHERE tenant_id = $1 AND (operation, key) IN (
            SELECT k.operation, k.key FROM idempotency_keys AS k
            WHERE k.tenant_id = $1 AND k.expires_at <= $2 ORDER BY k.expires_at LIMIT 64 {skip_locked})";
}

impl Keys for TenantTx {
    fn place(&self, call: &Call) -> Place {
        Place::new(self.tenant(), "idempotency_keys", "sealed_answer", call.row_id(&[]))
    }

    async fn reserve(
        &mut self,
        call: &Call,
        fingerprint: [u8; 32],
        (now, expires_at): (Timestamp, Timestamp),
    ) -> Result<bool> {
        let row = idempotency_keys::ActiveModel {
            operation: Set(call.operation.to_owned()),
            key: Set(call.key.clone()),
            input_hash: Set(fingerprint.to_vec()),
            sealed_answer: Set(Vec::new()),
            created_at: Set(now),
            expires_at: Set(expires_at),
            ..Default::default()
        };
        if self.insert_many(vec![row], OnConflict::Keep).await? == 1 {
            return Ok(true);
        }
        let args = Args::of([
            call.operation.into(),
            call.key.as_str().into(),
            now.into(),
            fingerprint.to_vec().into(),
            expires_at.into(),
        ]);
        Ok(self.sql(&KEY_RENEW, args)?.execute().await? == 1)
    }

    async fn find(&mut self, call: &Call) -> Result<Option<Stored>> {
        let row = self
            .select::<idempotency_keys::Entity>()
            .eq(idempotency_keys::Column::Operation, call.operation)
            .eq(idempotency_keys::Column::Key, call.key.as_str())
            .one()
            .await?;
        Ok(row.map(|row| Stored { input_hash: row.input_hash, sealed_answer: row.sealed_answer }))
    }

    async fn answer(&mut self, call: &Call, sealed_answer: Vec<u8>) -> Result<()> {
        self.update::<idempotency_keys::Entity>()
            .eq(idempotency_keys::Column::Operation, call.operation)
            .eq(idempotency_keys::Column::Key, call.key.as_str())
            .set(idempotency_keys::Column::SealedAnswer, sealed_answer)
            .execute()
            .await?;
        Ok(())
    }
}

/// Deletes some answers past their time; returns how many.
pub async fn keys_forget(tx: &mut TenantTx, now: Timestamp) -> Result<u64> {
    Ok(tx.sql(&KEYS_FORGET, Args::of([now.into()]))?.execute().await?)
}
