//! The two SQL dialects, held equal by tests: everything else in the house is portable SQL.

mod postgres;
mod sqlite;

use std::borrow::Cow;

use sea_orm::{ColumnType, DbBackend, Statement, Value};
use uuid::Uuid;

use crate::wall::WallError;

/// The column types that batches and registered statements may have; all but `Json` and `Float` reach an index
/// through row security (leakproof comparison).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 16 bytes.
    Uuid,
    /// Text.
    Text,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    BigInt,
    /// Boolean.
    Bool,
    /// UTC instant in microseconds.
    Time,
    /// Bytes.
    Bytes,
    /// JSON document.
    Json,
    /// Double.
    Float,
    /// Calendar date.
    Date,
}

impl Kind {
    /// The kind of an entity's column.
    pub(crate) fn of(column: &ColumnType) -> Option<Self> {
        Some(match column {
            ColumnType::Uuid => Self::Uuid,
            ColumnType::String(_) | ColumnType::Text | ColumnType::Char(_) => Self::Text,
            ColumnType::Integer | ColumnType::SmallInteger => Self::Int,
            ColumnType::BigInteger => Self::BigInt,
            ColumnType::Boolean => Self::Bool,
            ColumnType::TimestampWithTimeZone | ColumnType::Timestamp | ColumnType::DateTime => Self::Time,
            ColumnType::Binary(_) | ColumnType::VarBinary(_) | ColumnType::Blob => Self::Bytes,
            ColumnType::Json | ColumnType::JsonBinary => Self::Json,
            ColumnType::Double | ColumnType::Float => Self::Float,
            ColumnType::Date => Self::Date,
            _ => return None,
        })
    }
}

/// A statement with its arguments in the form its database wants.
#[derive(Debug)]
pub(crate) enum Bound {
    /// Text and arguments, arrays for a batch.
    Postgres(String, sqlx::postgres::PgArguments),
    /// A plain statement.
    Sqlite(Statement),
}

/// Replaces the lock tokens; a condition that is not given holds.
pub(crate) fn expand(text: &'static str, backend: DbBackend) -> Cow<'static, str> {
    if !text.contains('{') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(expand_where(text, "TRUE", backend))
}

/// Replaces the lock tokens and the condition.
pub(crate) fn expand_where(text: &str, condition: &str, backend: DbBackend) -> String {
    let lock = |clause| if backend == DbBackend::Postgres { clause } else { "" };
    text.replace("{skip_locked}", lock("FOR UPDATE SKIP LOCKED"))
        .replace("{for_share}", lock("FOR SHARE"))
        .replace("{for_update}", lock("FOR UPDATE"))
        .replace("{no_key_update}", lock("FOR NO KEY UPDATE"))
        .replace("{condition}", condition)
}

/// Binds scalars and a batch to a text in which `{batch}` stands for the batch's relation.
pub(crate) fn bind(
    backend: DbBackend,
    text: &str,
    scalars: Vec<Value>,
    columns: &[(&str, Kind)],
    rows: Vec<Vec<Value>>,
) -> Result<Bound, WallError> {
    match backend {
        DbBackend::Postgres => postgres::bind(text, scalars, columns, rows),
        _ => Ok(sqlite::bind(text, scalars, columns, rows)),
    }
}

/// A text as Postgres runs it, with its batch in arrays behind `scalars` arguments.
pub(crate) fn text_of_arrays(text: &'static str, scalars: usize, columns: &[(&str, Kind)]) -> String {
    postgres::text(&expand(text, DbBackend::Postgres), columns, scalars + 1)
}

/// Whose credential must still be good when a function begins, as its last arguments; a worker has none (C-213).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Credential {
    pub user: Option<Uuid>,
    pub version: Option<i64>,
    pub key: Option<Uuid>,
    pub set: Option<Uuid>,
}

/// Binds scalars and a batch to a function of Postgres that takes an array for each column, and a credential.
pub(crate) fn call(
    function: &str,
    scalars: Vec<Value>,
    columns: &[(&str, Kind)],
    rows: Vec<Vec<Value>>,
    credential: Credential,
) -> Result<Bound, WallError> {
    postgres::call(function, scalars, columns, rows, credential)
}

/// The largest number of rows one batch may have on a database, given its columns (bind limits).
pub(crate) fn max_rows(backend: DbBackend, columns: usize) -> usize {
    match backend {
        // One array per column: only memory limits it.
        DbBackend::Postgres => 5_000,
        _ => (32_000 / columns.max(1)).clamp(1, 1_000),
    }
}
