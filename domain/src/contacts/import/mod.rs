//! Importing contacts from a file: bytes to records to rows, pure and in bounded memory.
//!
//! The reader can stop after any record and start again there ([`Position`]), in every encoding, and gives the same
//! records however the bytes were cut; so an import that was killed repeats no row and misses none. Whatever is wrong
//! with a row is told with its physical line and never with its content (L9), and reading goes on behind it.

mod cell;
mod decode;
mod field;
mod format;
mod header;
mod records;
mod row;

pub use cell::{csv_line, guard_cell, unguard_cell};
pub use field::Field;
pub use format::{Encoding, Format, FormatError};
pub use header::{Column, Header, HeaderRules, Target};
pub use records::{Position, Record, RecordError, RecordErrorKind, RecordReader};
pub use row::{ImportRow, RowError, RowRules, Subscription};
