//! Brands, topics, consent and suppressions over GraphQL.

mod inputs;
mod loaders;
mod mutations;
mod queries;
mod types;

pub use mutations::ConsentMutation;
pub use queries::{ConsentQuery, consents, ledger};
pub use types::{Brand, ConsentEvent, ConsentState, Suppression, Topic};
