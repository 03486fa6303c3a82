//! Workflows: drafts, versions, the people on them, and what came of it.

mod answers;
mod enrollments;
mod holds;
mod inputs;
mod loaders;
mod mutations;
mod payloads;
mod queries;
mod subscriptions;
mod types;

pub use answers::Proportion;
pub use enrollments::{Enrollment, EnrollmentStep, enrollments, is_held};
pub use holds::HoldMutation;
pub use mutations::WorkflowMutation;
pub use queries::WorkflowQuery;
pub use subscriptions::WorkflowSubscription;
pub use types::{Workflow, WorkflowVersion};
