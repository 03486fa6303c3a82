//! Rows of `uploads`.

use carillon_entities::ids::UploadId;
use carillon_entities::rows::contacts::uploads;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use sea_orm::ActiveValue::Set;

use super::create_upload::{Upload, UploadState};
use crate::error::{Error, Result};
use crate::time::Timestamp;

statements! {
    /// Moves the counter on; only from where the part began, so two writers never count the same bytes.
    UPLOAD_ADVANCE(Uuid, BigInt, BigInt, Text) = "UPDATE uploads SET received = $4, state = $5 \
        WHERE tenant_id = $1 AND id = $2 AND received = $3 AND state = 'open'";
    /// Uploads that nobody may read any more: expired, and no import is at work on them.
    UPLOAD_EXPIRED(Time, BigInt) = "SELECT u.* FROM uploads u WHERE u.tenant_id = $1 \
        AND u.state IN ('open', 'complete') AND u.expires_at <= $2 \
        AND NOT EXISTS (SELECT 1 FROM imports i WHERE i.tenant_id = $1 AND i.upload_id = u.id \
            AND i.state IN ('queued', 'running')) \
        ORDER BY u.expires_at LIMIT $3";
}

impl TryFrom<uploads::Model> for Upload {
    type Error = Error;

    fn try_from(row: uploads::Model) -> Result<Self> {
        let bytes = |n: i64| u64::try_from(n).map_err(|_| Error::fault("an upload has a negative size"));
        Ok(Self {
            id: row.id,
            file_name: row.file_name,
            size: bytes(row.size)?,
            received: bytes(row.received)?,
            state: row.state.parse().map_err(Error::fault)?,
            expires_at: row.expires_at,
        })
    }
}

pub(super) async fn upload_insert(tx: &mut TenantTx, upload: &Upload, now: Timestamp) -> Result<()> {
    tx.insert(uploads::ActiveModel {
        id: Set(upload.id),
        file_name: Set(upload.file_name.clone()),
        size: Set(signed(upload.size)?),
        received: Set(signed(upload.received)?),
        state: Set(upload.state.as_str().to_owned()),
        expires_at: Set(upload.expires_at),
        created_at: Set(now),
        ..Default::default()
    })
    .await?;
    Ok(())
}

pub(crate) async fn upload_find(tx: &mut TenantTx, id: UploadId) -> Result<Option<Upload>> {
    let row = tx.select::<uploads::Entity>().eq(uploads::Column::Id, id).one().await?;
    row.map(Upload::try_from).transpose()
}

/// As [`upload_find`], and keeps others from writing to it until the transaction ends.
pub(super) async fn upload_lock(tx: &mut TenantTx, id: UploadId) -> Result<Option<Upload>> {
    let row = tx.select::<uploads::Entity>().eq(uploads::Column::Id, id).for_update().one().await?;
    row.map(Upload::try_from).transpose()
}

/// Counts a part that lies in the store; false when somebody else was there first.
pub(super) async fn upload_advance(tx: &mut TenantTx, upload: &Upload, received: u64) -> Result<bool> {
    let state = if received == upload.size { UploadState::Complete } else { UploadState::Open };
    let args = [
        upload.id.0.into(),
        signed(upload.received)?.into(),
        signed(received)?.into(),
        state.as_str().to_owned().into(),
    ];
    Ok(tx.sql(&UPLOAD_ADVANCE, Args::of(args))?.execute().await? == 1)
}

pub(crate) async fn upload_expired(tx: &mut TenantTx, now: Timestamp, limit: i64) -> Result<Vec<Upload>> {
    let rows: Vec<uploads::Model> = tx.sql(&UPLOAD_EXPIRED, Args::of([now.into(), limit.into()]))?.all().await?;
    rows.into_iter().map(Upload::try_from).collect()
}

pub(crate) async fn upload_expire(tx: &mut TenantTx, id: UploadId) -> Result<()> {
    let expired = UploadState::Expired.as_str().to_owned();
    tx.update::<uploads::Entity>().set(uploads::Column::State, expired).eq(uploads::Column::Id, id).execute().await?;
    Ok(())
}

fn signed(bytes: u64) -> Result<i64> {
    i64::try_from(bytes).map_err(|_| Error::fault("an upload larger than a database can count"))
}
