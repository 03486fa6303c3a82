//! SQL of the consent aggregate, a file per table; rows go in, domain types come out.

pub(super) mod addressees;
pub mod endpoints;
pub(super) mod evidence;
pub(super) mod ledger;
pub(super) mod operators;
pub(super) mod states;
pub(super) mod suppressions;
pub(crate) mod topics;

use carillon_entities::wall::{Sql, WallError};

/// Every registered statement of the aggregate.
pub static STATEMENTS: &[&[&Sql]] =
    &[endpoints::STATEMENTS, ledger::STATEMENTS, operators::STATEMENTS, states::STATEMENTS, suppressions::STATEMENTS];

/// A stored code that no longer parses is a fault of ours, never the caller's.
fn code<T: std::str::FromStr>(text: &str) -> Result<T, WallError> {
    text.parse().map_err(|_| WallError::Row(format!("unknown code {text:?}")))
}

/// A stored address hash.
fn hash(bytes: &[u8]) -> Result<crate::keys::AddressHash, WallError> {
    crate::keys::AddressHash::from_slice(bytes).ok_or_else(|| WallError::Row("an address hash of wrong length".into()))
}
