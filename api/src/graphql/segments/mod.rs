//! Conditions on contacts over GraphQL.

mod inputs;
mod queries;

pub use inputs::ConditionInput;
pub use queries::SegmentQuery;
