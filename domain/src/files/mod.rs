//! Files that people upload: parts in an object store, reached by signed addresses that expire.
//!
//! A file is as long as it was declared to be. What was received is counted in its row, moved on only after the part is
//! in the store, so an upload that broke off goes on where the row says (and a part that was stored without being
//! counted is never read). Memory is flat: at most one part per upload is held.

mod blobs;
mod bucket;
mod create_upload;
mod expire;
mod receive;
pub(crate) mod store;
mod token;

pub use blobs::{BlobsError, Files};
pub use bucket::{BucketKey, BucketSettings};
pub use create_upload::{CreateUpload, MAX_FILE_NAME, Upload, UploadState, create_upload, find_uploads};
pub use expire::expire_uploads;
pub use receive::{Part, ReceiveError, Received, receive, received};
pub use store::STATEMENTS;
pub use token::{FileTarget, SignedFile};
