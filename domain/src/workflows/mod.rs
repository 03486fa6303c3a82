//! Workflows: what happens to people after an event, over days and weeks.
//!
//! A draft becomes an immutable version when it is published; who enters stays on the version they entered (C-182). The
//! engine loads a batch of due people with their facts, asks the pure [`advance()`] for each, and writes the batch (L5). A
//! goal or an exit ends somebody's way at once, in the transaction that made it true, and the gate asks again (C-184).
//!
//! Pausing and archiving write the workflow and nobody on it: the engine looks for due people on live workflows only, takes
//! those of archived ones out in batches, and the gate asks how the workflow stands.

mod advance;
mod answers;
mod assign;
mod check;
mod close;
mod definition;
mod engine;
mod entry;
mod facts;
pub(crate) mod local_time;
mod manage;
mod parse;
mod publish;
mod react;
mod store;
mod versions;
mod wilson;
mod workflow;

pub use advance::{Effects, Next, Ration, Step, StepOutcome, Way, WayFacts, WayState, advance};
pub use answers::{
    NodeAnswer, VariantAnswer, are_workflows_held, enrollments, find_enrollments, find_workflow_versions,
    find_workflows, held_contacts, node_answers, paths, variant_answers, workflow_versions, workflows,
};
pub(crate) use assign::{allot, bucket, variant_of};
pub use check::{Finding, Severity, WAIT_MAX_SECONDS};
pub use definition::{
    BASIS_POINTS, Conversion, DEFINITION_MAX, Definition, End, NODES_MAX, Node, NodeName, PropertyFilter, Reentry,
    Trigger, Variant, definition_schema,
};
pub(crate) use engine::renewed;
pub use engine::{EngineGrants, PEOPLE, advance_due};
pub use manage::{
    UpdateWorkflow, archive_workflow, create_workflow, hold_all_workflows, hold_contact, pause_workflow,
    resume_workflow, update_workflow,
};
pub use publish::{PublishedWorkflow, check_workflows, publish_workflow};
pub use react::{Occurred, react_to_events};
pub(crate) use react::{react_to_contacts, react_to_engagement};
pub(crate) use store::enrollments::ways_at_gate;
pub(crate) use store::events::{TenantDefaults, tenant_defaults};
pub use store::statements;
pub use versions::VersionCache;
pub use wilson::Proportion;
pub(crate) use wilson::wilson;
pub use workflow::{Enrollment, Held, Listener, StepRecord, Version, Watch, Workflow, WorkflowState};
