//! Brands, topics, consent and suppressions over GraphQL.

mod inputs;
mod loaders;
mod mutations;
mod proof;
mod queries;
mod types;

pub use mutations::ConsentMutation;
pub use proof::{ConsentEvidence, actor_id};
pub use queries::{ConsentQuery, consents, ledger};
pub use types::{Brand, ConsentBasis, ConsentEvent, ConsentState, Suppression, Topic};
