//! Importing contacts from a file: bytes to records to rows, pure and in bounded memory.
//!
//! The reader can stop after any record and start again there ([`Position`]), in every encoding, and gives the same
//! records however the bytes were cut; so an import that was killed repeats no row and misses none. Whatever is wrong
//! with a row is told with its physical line and never with its content (L9), and reading goes on behind it.

mod apply;
mod cell;
mod decode;
mod field;
mod format;
mod header;
mod job;
mod options;
mod prove;
mod records;
mod report;
mod row;
mod run;
mod source;
mod start;

pub use cell::{csv_line, guard_cell, unguard_cell};
pub use field::Field;
pub use format::{Encoding, Format, FormatError};
pub use header::{Column, Header, HeaderRules, Mapped, Target};
pub use job::{Cursor, Import, ImportClaim, ImportState, Progress};
pub use options::{DeclareColumn, ImportConsent, ImportOptions, MapColumn, OnExisting};
pub use records::{Position, Record, RecordError, RecordErrorKind, RecordReader};
pub use report::{errors_csv, errors_url, get_import, get_imports, list_import_errors, list_imports};
pub use row::{ImportRow, RefusedRow, RowError, RowRules, Subscription};
pub use run::{ATTEMPTS_MAX, claim_imports, return_claim, run_slice};
pub use source::FileHead;
pub use start::{Head, StartImport, read_head, start_import};

pub use super::store::imports::ImportError;
