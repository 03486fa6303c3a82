//! Deleting what uploads left behind: raw files hold personal data and nobody needs them once they are imported.

use super::Files;
use super::store::{uploads_expire, uploads_expired};
use crate::error::Result;
use crate::ports::Ports;
use crate::tenancy::{Grant, ImportContacts};

/// Uploads that are deleted together.
const BATCH: i64 = 16;

/// Deletes the parts of some expired uploads of a tenant, also of those never counted, and then their rows; returns how
/// many uploads that were.
///
/// Parts go first: after a crash in between the next sweep finds the row again and deletes nothing twice. No transaction
/// waits for the store meanwhile; whoever still puts a part of such a file finds it expired and deletes it.
pub async fn expire_uploads(grant: &Grant<ImportContacts>, ports: &Ports, files: &Files) -> Result<usize> {
    let mut tx = grant.begin().await?;
    let expired = uploads_expired(&mut tx, ports.now(), BATCH).await?;
    tx.commit().await?;
    if expired.is_empty() {
        return Ok(0);
    }
    for upload in &expired {
        files.delete(grant.tenant(), *upload).await?;
    }
    let mut tx = grant.begin().await?;
    uploads_expire(&mut tx, &expired).await?;
    tx.commit().await?;
    Ok(expired.len())
}
