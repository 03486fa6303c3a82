//! Deleting what uploads left behind: raw files hold personal data and nobody needs them once they are imported.

use super::Files;
use super::store::{upload_expire, upload_expired};
use crate::error::Result;
use crate::ports::Ports;
use crate::tenancy::{Grant, ImportContacts};

/// Deletes the parts of at most `limit` expired uploads of a tenant, then marks them; returns how many.
///
/// Parts go first: after a crash in between the next sweep finds the row again and deletes nothing twice.
pub async fn expire_uploads(grant: &Grant<ImportContacts>, ports: &Ports, files: &Files, limit: i64) -> Result<usize> {
    let mut tx = grant.begin_read().await?;
    let expired = upload_expired(&mut tx, ports.now(), limit).await?;
    tx.commit().await?;
    for upload in &expired {
        files.delete(grant.tenant(), upload.id).await?;
        let mut tx = grant.begin().await?;
        upload_expire(&mut tx, upload.id).await?;
        tx.commit().await?;
    }
    Ok(expired.len())
}
