//! Persisted documents and the sets of them that API keys are held to.

mod check;
mod inputs;
mod loaders;
mod mutations;
mod queries;
mod types;

pub use mutations::PersistedMutation;
pub use queries::PersistedQuery;
pub use types::{DocumentSet, PersistedDocument};
