//! Registered statements: the one named escape from the typed queries (L1).
//!
//! A [`Sql`] is static text that a `store.rs` owns. `$1` is always the tenant and is bound by the wall; the store's
//! scalars follow from `$2`. A statement over a batch names its columns, and `{batch}` in the text becomes a relation
//! of those columns on either database (UNNEST or VALUES). `{skip_locked}`, `{for_share}`, `{for_update}` and
//! `{no_key_update}` become the lock clause, or nothing on SQLite, whose single writer is the lock. `{condition}` is where
//! a compiled condition goes ([`super::Fragment`]).
//!
//! A statement that is all there is to a transaction may be declared [`super::Alone`] beside.

use std::borrow::Cow;

use sea_orm::{DbBackend, Value};

use super::WallError;
pub use crate::dialect::Kind;
use crate::dialect::{self, Bound};

/// A registered statement on tables with a tenant.
#[derive(Debug)]
pub struct Sql {
    /// Unique name, `store_verb`; also the span name.
    pub name: &'static str,
    /// The text; `$1` is the tenant.
    pub text: &'static str,
    /// Kinds of the scalars from `$2` on, for the test that runs every registered statement.
    pub args: &'static [Kind],
    /// Columns of `{batch}`, if the text has one.
    pub batch: &'static [(&'static str, Kind)],
}

/// A registered statement on the tables without a tenant, or of the dispatch role.
#[derive(Debug)]
pub struct IdentitySql {
    /// Unique name.
    pub name: &'static str,
    /// The text; scalars from `$1` on.
    pub text: &'static str,
}

impl IdentitySql {
    /// The text for a database.
    pub fn text(&self, backend: DbBackend) -> Cow<'static, str> {
        dialect::expand(self.text, backend)
    }

    /// With its arguments, for Postgres.
    pub(super) fn bind(&self, args: Vec<Value>) -> Result<Bound, WallError> {
        dialect::bind(DbBackend::Postgres, &self.text(DbBackend::Postgres), args, &[], Vec::new())
    }
}

/// A registered statement over a batch, on the tables without a tenant.
#[derive(Debug)]
pub struct IdentityBatch {
    /// Unique name.
    pub name: &'static str,
    /// The text; scalars from `$1` on, and `{batch}`.
    pub text: &'static str,
    /// Kinds of the scalars.
    pub args: &'static [Kind],
    /// Columns of `{batch}`.
    pub batch: &'static [(&'static str, Kind)],
}

/// Arguments of a registered statement: scalars, and rows of the batch.
#[derive(Debug, Default, Clone)]
pub struct Args {
    /// Scalars from `$2` on (`$1` on for identity statements).
    pub scalars: Vec<Value>,
    /// Rows of the batch, each in the order of its columns.
    pub batch: Vec<Vec<Value>>,
}

impl Args {
    /// Scalars only.
    pub fn of(scalars: impl IntoIterator<Item = Value>) -> Self {
        Self { scalars: scalars.into_iter().collect(), batch: Vec::new() }
    }

    /// A batch only.
    pub fn batch(rows: impl IntoIterator<Item = Vec<Value>>) -> Self {
        Self { scalars: Vec::new(), batch: rows.into_iter().collect() }
    }

    /// Adds a batch to scalars.
    #[must_use]
    pub fn with_batch(mut self, rows: impl IntoIterator<Item = Vec<Value>>) -> Self {
        self.batch = rows.into_iter().collect();
        self
    }
}

/// A registered statement with its arguments, ready to run.
#[derive(Debug)]
pub struct Query<'a, S> {
    pub(super) tx: &'a mut super::Tx<S>,
    pub(super) bound: Bound,
}

/// Declares registered statements and the slice that lists them.
///
/// ```text
/// statements! {
///     /// Claims due messages.
///     MESSAGE_CLAIM(Text, Int) [id: Uuid] = "UPDATE .. WHERE tenant_id = $1 ..";
/// }
/// ```
#[macro_export]
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident ($($arg:ident),* $(,)?) $([$($column:ident : $kind:ident),* $(,)?])? = $text:expr;)*) => {
        $($(#[$doc])*
        pub(crate) static $name: $crate::wall::Sql = $crate::wall::Sql {
            name: stringify!($name),
            text: $text,
            args: &[$($crate::wall::Kind::$arg),*],
            batch: &[$($((stringify!($column), $crate::wall::Kind::$kind)),*)?],
        };)*
        /// Every registered statement of this store.
        pub static STATEMENTS: &[&$crate::wall::Sql] = &[$(&$name),*];
    };
}
