//! Announcing a file: its name and size, answered with the address to put it to.

use carillon_entities::ids::{TenantId, UploadId};
use carillon_entities::wall::TenantTx;

use super::store::{upload_insert, uploads_find};
use super::{FileTarget, SignedFile};
use crate::contacts::one_line;
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, ImportContacts};
use crate::time::Timestamp;

/// Octets of a file's name.
pub const MAX_FILE_NAME: usize = 255;

text_code! {
    /// How far an upload is.
    pub enum UploadState {
        /// Waiting for bytes.
        Open = "open",
        /// All declared bytes are there.
        Complete = "complete",
        /// Over; its parts are or will be deleted.
        Expired = "expired",
    }
}

/// A file on its way to us, or here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// What its sender calls it.
    pub file_name: String,
    /// Declared bytes.
    pub size: u64,
    /// Bytes that are safely stored.
    pub received: u64,
    /// How far it is.
    pub state: UploadState,
    /// When it is deleted, whatever its state.
    pub expires_at: Timestamp,
}

impl Upload {
    /// The address to put the file to.
    pub fn url(&self, ports: &Ports, tenant: TenantId) -> String {
        let token = SignedFile::sign(&ports.keys, tenant, FileTarget::Upload(self.id), self.expires_at);
        format!("{}/files/{token}", ports.settings.public_url)
    }
}

/// A file that will be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateUpload {
    file_name: String,
    size: u64,
}

impl CreateUpload {
    /// Checks name and size; `max` is the deployment's largest file in bytes.
    pub fn parse(file_name: &str, size: i64, max: u64) -> Result<Self, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let file_name = one_line(file_name, MAX_FILE_NAME)
            .map_err(|invalid| refusals.push(Refusal::new("INVALID_FILE_NAME", "fileName", invalid.to_string())));
        let size = u64::try_from(size).ok().filter(|size| (1..=max).contains(size));
        if size.is_none() {
            let message = format!("A file has at least one byte and at most {max}.");
            refusals.push(Refusal::new("INVALID_SIZE", "size", message));
        }
        match (file_name, size) {
            (Ok(file_name), Some(size)) => Ok(Self { file_name, size }),
            _ => Err(refusals),
        }
    }
}

/// Announces a file.
pub async fn create_upload(
    _grant: &Grant<ImportContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: CreateUpload,
) -> Result<Upload> {
    let now = ports.now();
    let upload = Upload {
        id: ports.new_id(),
        file_name: command.file_name,
        size: command.size,
        received: 0,
        state: UploadState::Open,
        expires_at: now + ports.settings.upload_life,
    };
    upload_insert(tx, &upload, now).await?;
    Ok(upload)
}

/// Uploads by id, in no order; what is not there is left out.
pub async fn find_uploads(_grant: &Grant<ImportContacts>, tx: &mut TenantTx, ids: &[UploadId]) -> Result<Vec<Upload>> {
    uploads_find(tx, ids).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_size_are_checked_together() {
        assert!(CreateUpload::parse("contacts.csv", 1, 10).is_ok());
        let codes = |name: &str, size| {
            CreateUpload::parse(name, size, 10).map_err(|all| all.iter().map(|one| one.code).collect::<Vec<_>>()).err()
        };
        assert_eq!(codes("a\r\nb", 11), Some(vec!["INVALID_FILE_NAME", "INVALID_SIZE"]));
        assert_eq!(codes("a", 0), Some(vec!["INVALID_SIZE"]));
        assert_eq!(codes("a", i64::MIN), Some(vec!["INVALID_SIZE"]));
    }
}
