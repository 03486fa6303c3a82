//! Rules and use cases of Carillon, one folder per aggregate.
//!
//! Pure files decide, use cases load, decide and store, and `store.rs` is the only file of an aggregate that knows SQL.

#[macro_use]
pub mod text_code;

pub mod consent;
pub mod contacts;
pub mod entropy;
pub mod error;
pub mod keys;
pub mod messaging;
pub mod tenancy;
pub mod time;
