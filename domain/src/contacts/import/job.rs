//! An import as it is: what it was told, how far it is, and who may go on with it.

use carillon_entities::ids::{EvidenceId, ImportId, UploadId};
use serde::{Deserialize, Serialize};

use super::{Format, Header, ImportOptions, Position};
use crate::tenancy::Actor;
use crate::time::Timestamp;

text_code! {
    /// How far an import is.
    pub enum ImportState {
        /// Waiting for a worker.
        Queued = "queued",
        /// A worker is or was at it.
        Running = "running",
        /// Every row was read.
        Completed = "completed",
        /// It cannot go on; `error_code` says why. What was read before stays.
        Failed = "failed",
    }
}

/// Where reading goes on: moved in the transaction that writes the rows before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// How the file is read.
    pub format: Format,
    /// Behind the last record that was taken.
    pub position: Position,
}

/// An import.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// Its id.
    pub id: ImportId,
    /// The file.
    pub upload: UploadId,
    /// What its sender calls the file.
    pub file_name: String,
    /// How far it is.
    pub state: ImportState,
    /// What it was told.
    pub options: ImportOptions,
    /// What its columns mean.
    pub columns: Header,
    /// Where reading goes on.
    pub cursor: Cursor,
    /// Bytes of the file.
    pub total_bytes: i64,
    /// Bytes behind which everything is written.
    pub done_bytes: i64,
    /// Rows behind the header so far, blank ones not counted.
    pub rows_seen: i64,
    /// Rows that made a contact.
    pub rows_created: i64,
    /// Rows about a contact that was there, from before or from an earlier row; where those are left alone, 0.
    pub rows_updated: i64,
    /// Rows that were refused.
    pub rows_failed: i64,
    /// SHA-256 of the file; known once a worker has begun.
    pub file_sha256: Option<[u8; 32]>,
    /// What proves the consent in it; there from the same moment.
    pub evidence: Option<EvidenceId>,
    /// Why it failed: the file is gone (`FILE_GONE`), cannot be read to its end (`ROW_QUOTE`, `ROW_ENDLESS`), or our faults
    /// stayed (`TOO_MANY_ATTEMPTS`).
    pub error_code: Option<String>,
    /// Who started it.
    pub actor: Actor,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
}

/// Permission to go on with an import, until somebody else claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportClaim {
    /// Which.
    pub import: ImportId,
    /// Grows with every claim; who writes with an older one writes nothing.
    pub fence: i64,
    /// Which claim this is since the import last moved on, from one.
    pub attempt: i32,
}

/// How a slice of work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do; the import is due again.
    More,
    /// A fault came between; the import is due again later.
    Resting,
    /// Every row was read.
    Done,
    /// It cannot go on.
    Failed,
    /// Somebody else has it, or nobody until the tenant's suspension ends.
    LostLease,
}
