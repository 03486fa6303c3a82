//! The object store: a folder or a bucket, the same parts under the same names in both.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use carillon_entities::ids::{TenantId, UploadId};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::BucketSettings;
use crate::error::{Error, Refusal};

/// The object store cannot be used; never holds a credential or a name a person chose.
#[derive(Debug, thiserror::Error)]
pub enum BlobsError {
    /// The address is none that Carillon knows.
    #[error("files are kept at file:PATH or s3://BUCKET/PREFIX")]
    Address,
    /// The folder cannot be made, opened or emptied.
    #[error("the folder for files cannot be used: {0}")]
    Folder(std::io::ErrorKind),
    /// The store did not do what it was asked.
    #[error("the object store failed")]
    Store(#[from] object_store::Error),
    /// Parts do not follow each other: the store lost one.
    #[error("a part of the file is missing at {0}")]
    Gap(u64),
}

impl From<BlobsError> for Error {
    fn from(error: BlobsError) -> Self {
        match error {
            // Trying again would not bring it back.
            BlobsError::Gap(_) => Refusal::new("FILE_GONE", "uploadId", "The file is not there any more.").into(),
            error => Self::fault(error),
        }
    }
}

/// Where files are kept; cloning is cheap.
#[derive(Debug, Clone)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
    /// Bodies that may be taken at once.
    places: Arc<Semaphore>,
}

/// Bodies that a process takes at once: each holds a segment of 8 MiB.
const BODIES: usize = 16;

impl Files {
    /// Opens `file:PATH`, `s3://BUCKET/PREFIX` or `memory:`.
    pub fn open(address: &str) -> Result<Self, BlobsError> {
        Self::open_with(address, &BucketSettings::default())
    }

    /// The same, with what is to be known of a bucket.
    pub fn open_with(address: &str, settings: &BucketSettings) -> Result<Self, BlobsError> {
        if let Some(path) = address.strip_prefix("file:") {
            return Self::open_folder(PathBuf::from(path));
        }
        if let Some(rest) = address.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(BlobsError::Address);
            }
            let store = settings.open(bucket)?;
            return Ok(Self { root: Path::from(prefix), ..Self::kept_in(Arc::new(store)) });
        }
        match address {
            "memory:" => Ok(Self::kept_in(Arc::new(InMemory::new()))),
            _ => Err(BlobsError::Address),
        }
    }

    /// Files in a store that is there.
    pub fn kept_in(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, root: Path::default(), folder: None, places: Arc::new(Semaphore::new(BODIES)) }
    }

    /// A place for one more body, held until it is dropped; none while all are taken.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    fn open_folder(path: PathBuf) -> Result<Self, BlobsError> {
        std::fs::create_dir_all(&path).map_err(|error| BlobsError::Folder(error.kind()))?;
        let store = LocalFileSystem::new_with_prefix(&path)?.with_fsync(true);
        Ok(Self { folder: Some(path), ..Self::kept_in(Arc::new(store)) })
    }

    fn folder(&self, tenant: TenantId, upload: UploadId) -> Path {
        self.root.clone().join("uploads").join(tenant.to_string()).join(upload.to_string())
    }

    /// Stores the part that starts at `offset` and was announced under `fence`.
    pub(super) async fn put_part(
        &self,
        (tenant, upload): (TenantId, UploadId),
        (offset, fence): (u64, i64),
        part: PutPayload,
    ) -> Result<(), BlobsError> {
        // Twenty digits: names sort as the numbers do.
        let path = self.folder(tenant, upload).join(format!("{offset:020}-{fence:020}"));
        self.store.put(&path, part).await?;
        Ok(())
    }

    /// The bytes of a file from `offset` up to `size`.
    pub async fn read(
        &self,
        (tenant, upload): (TenantId, UploadId),
        offset: u64,
        size: u64,
    ) -> Result<impl Stream<Item = Result<Bytes, BlobsError>> + Send + Unpin + use<>, BlobsError> {
        let parts = self.parts(tenant, upload, size).await?;
        let store = Arc::clone(&self.store);
        let wanted = parts.into_iter().filter(move |(start, part)| start + part.size > offset);
        let bytes = stream::iter(wanted).then(move |(start, part)| {
            let store = Arc::clone(&store);
            async move {
                let range = GetRange::Bounded(offset.saturating_sub(start)..part.size.min(size - start));
                let options = GetOptions::new().with_range(Some(range));
                let found = store.get_opts(&part.location, options).await?;
                Ok::<_, BlobsError>(found.into_stream().map_err(BlobsError::from))
            }
        });
        Ok(Box::pin(bytes.try_flatten()))
    }

    /// The counted parts in order, each with its place in the file. Of several that start at one place the one announced
    /// last was counted: nothing is announced there any more once the file goes on behind it.
    async fn parts(&self, tenant: TenantId, upload: UploadId, size: u64) -> Result<Vec<(u64, ObjectMeta)>, BlobsError> {
        let listed = self.store.list(Some(&self.folder(tenant, upload)));
        let mut parts: Vec<(u64, ObjectMeta)> = listed
            .try_filter_map(|part| async move {
                let start = part.location.filename().and_then(|name| name.split('-').next()?.parse().ok());
                Ok(start.map(|start: u64| (start, part)))
            })
            .try_collect()
            .await?;
        parts.retain(|(start, _)| *start < size);
        parts.sort_by(|(_, one), (_, other)| other.location.cmp(&one.location));
        parts.dedup_by_key(|(start, _)| *start);
        parts.reverse();
        let mut end = 0;
        for (start, part) in &parts {
            if *start != end {
                return Err(BlobsError::Gap(end));
            }
            end += part.size;
        }
        if end < size { Err(BlobsError::Gap(end)) } else { Ok(parts) }
    }

    /// Deletes all parts of a file, also those that were never counted or written to their end.
    pub async fn delete(&self, tenant: TenantId, upload: UploadId) -> Result<(), BlobsError> {
        if let Some(folder) = &self.folder {
            // The store lists no part whose writing broke off, so here the folder goes as a whole.
            let folder = folder.join(self.folder(tenant, upload).as_ref());
            return match tokio::fs::remove_dir_all(folder).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BlobsError::Folder(error.kind())),
                _ => Ok(()),
            };
        }
        let listed = self.store.list(Some(&self.folder(tenant, upload)));
        let paths = listed.map_ok(|part| part.location).boxed();
        self.store.delete_stream(paths).try_for_each(|_| async { Ok(()) }).await?;
        Ok(())
    }

    /// Asks the store for something that is not there, which tells whether it can be reached.
    pub async fn check(&self) -> Result<(), BlobsError> {
        match self.store.head(&self.root.clone().join("check")).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
