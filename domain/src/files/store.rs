//! Rows of `uploads`.

use carillon_entities::ids::UploadId;
use carillon_entities::rows::contacts::uploads;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use sea_orm::{ActiveValue::Set, FromQueryResult};

use super::create_upload::{Upload, UploadState};
use crate::error::{Error, Result};
use crate::time::Timestamp;

statements! {
    /// Announces a part from where the file ends so far: whoever announced the same one before can count theirs no more.
    UPLOAD_ANNOUNCE(Uuid, BigInt) = "UPDATE uploads SET fence = fence + 1 \
        WHERE tenant_id = $1 AND id = $2 AND received = $3 AND state = 'open' RETURNING fence";
    /// Counts the part that was announced under a fence.
    UPLOAD_ADVANCE(Uuid, BigInt, BigInt, Text) = "UPDATE uploads SET received = $4, state = $5 \
        WHERE tenant_id = $1 AND id = $2 AND fence = $3 AND state = 'open'";
    /// Uploads that nobody may read any more: expired, and no import is at work on them.
    UPLOAD_EXPIRED(Time, BigInt) = "SELECT u.tenant_id, u.id, u.file_name, u.size, u.received, u.fence, \
        u.state, u.expires_at, u.created_at FROM uploads u WHERE u.tenant_id = $1 \
        AND u.state IN ('open', 'complete') AND u.expires_at <= $2 \
        AND NOT EXISTS (SELECT 1 FROM imports i WHERE i.tenant_id = $1 AND i.upload_id = u.id \
            AND i.state IN ('queued', 'running')) \
        ORDER BY u.expires_at LIMIT $3 {skip_locked}";
    /// Deletes the rows that no import tells of.
    UPLOADS_FORGET() [id: Uuid] = "DELETE FROM uploads WHERE tenant_id = $1 AND id IN (SELECT b.id FROM ({batch}) AS b) \
        AND NOT EXISTS (SELECT 1 FROM imports i WHERE i.tenant_id = $1 AND i.upload_id = uploads.id)";
    /// Marks the others: what was imported keeps its file's name.
    UPLOADS_EXPIRE() [id: Uuid] = "UPDATE uploads SET state = 'expired' \
        WHERE tenant_id = $1 AND id IN (SELECT b.id FROM ({batch}) AS b)";
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
        fence: Set(0),
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

pub(crate) async fn uploads_find(tx: &mut TenantTx, ids: &[UploadId]) -> Result<Vec<Upload>> {
    let rows = tx.select::<uploads::Entity>().is_in(uploads::Column::Id, ids.iter().copied()).all().await?;
    rows.into_iter().map(Upload::try_from).collect()
}

/// The fence of a part that begins at `received`; none when the file does not go on there.
pub(super) async fn upload_announce(tx: &mut TenantTx, id: UploadId, received: u64) -> Result<Option<i64>> {
    #[derive(FromQueryResult)]
    struct Announced {
        fence: i64,
    }
    let args = Args::of([id.0.into(), signed(received)?.into()]);
    let announced: Option<Announced> = tx.sql(&UPLOAD_ANNOUNCE, args)?.one().await?;
    Ok(announced.map(|announced| announced.fence))
}

/// Counts a part that lies in the store; false when somebody else announced it since.
pub(super) async fn upload_advance(tx: &mut TenantTx, upload: &Upload, fence: i64, received: u64) -> Result<bool> {
    let state = if received == upload.size { UploadState::Complete } else { UploadState::Open };
    let args = [upload.id.0.into(), fence.into(), signed(received)?.into(), state.as_str().to_owned().into()];
    Ok(tx.sql(&UPLOAD_ADVANCE, Args::of(args))?.execute().await? == 1)
}

/// Expired uploads whose parts are still there; one that an import is being started with is passed over.
pub(super) async fn uploads_expired(tx: &mut TenantTx, now: Timestamp, limit: i64) -> Result<Vec<UploadId>> {
    let rows: Vec<uploads::Model> = tx.sql(&UPLOAD_EXPIRED, Args::of([now.into(), limit.into()]))?.all().await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Forgets uploads whose parts are gone; what is left of one that was imported is its row.
pub(super) async fn uploads_expire(tx: &mut TenantTx, ids: &[UploadId]) -> Result<()> {
    let batch = || Args::batch(ids.iter().map(|id| vec![id.0.into()]));
    tx.sql(&UPLOADS_FORGET, batch())?.execute().await?;
    tx.sql(&UPLOADS_EXPIRE, batch())?.execute().await?;
    Ok(())
}

fn signed(bytes: u64) -> Result<i64> {
    i64::try_from(bytes).map_err(|_| Error::fault("an upload larger than a database can count"))
}
