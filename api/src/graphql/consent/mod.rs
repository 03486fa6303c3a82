//! Brands, topics, consent and suppressions over GraphQL.

mod inputs;
mod mutations;
mod queries;
mod types;

pub use mutations::ConsentMutation;
pub use queries::{ConsentQuery, consents, consents_of, ledger, load_brand, load_topic};
pub use types::{Brand, ConsentEvent, ConsentState, Suppression, Topic};
