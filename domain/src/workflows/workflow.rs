//! A workflow, its versions, and the people on them, as the rest of the house sees them.

use carillon_entities::ids::{
    ContactEventId, ContactId, EnrollmentId, EventDefinitionId, StepId, TenantId, WorkflowId, WorkflowVersionId,
};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{Definition, StepOutcome, Way, WayState};
use crate::time::Timestamp;

text_code! {
    /// Where a workflow stands.
    pub enum WorkflowState {
        /// Nothing is published.
        Draft = "draft",
        /// Its trigger starts people.
        Live = "live",
        /// People enter and stay where they are until it is resumed.
        Paused = "paused",
        /// Over: nobody enters, none of its mails leaves, and the engine takes out whoever is on it.
        Archived = "archived",
    }
}

/// A workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// Its id.
    pub id: WorkflowId,
    /// Unique in the tenant.
    pub name: String,
    /// Where it stands.
    pub state: WorkflowState,
    /// The definition that is being written.
    pub draft: Json,
    /// Counts changes; a change must name the one it saw.
    pub version: i64,
    /// The published version that people enter.
    pub live_version: Option<WorkflowVersionId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
}

/// A published version; never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its id.
    pub id: WorkflowVersionId,
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// From 1.
    pub number: i32,
    /// What it says, as it is stored.
    pub json: Json,
    /// The same, read; none where a newer program wrote it (C-182).
    pub definition: Option<Definition>,
    /// SHA-256 of the canonical JSON.
    pub content_hash: Vec<u8>,
    /// When it was published.
    pub published_at: Timestamp,
}

/// Somebody on a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrollment {
    /// Its id.
    pub id: EnrollmentId,
    /// The version they entered.
    pub version: WorkflowVersionId,
    /// Who.
    pub contact: ContactId,
    /// The how manieth time under their entry key, from 1.
    pub entry: i32,
    /// The event that began it.
    pub event: Option<ContactEventId>,
    /// How it stands.
    pub state: WayState,
    /// Where they are.
    pub way: Way,
    /// When they are looked at next.
    pub due_at: Timestamp,
    /// When it began.
    pub entered_at: Timestamp,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Something that happened on somebody's way.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// Its id.
    pub id: StepId,
    /// Where.
    pub node: String,
    /// What.
    pub outcome: StepOutcome,
    /// Why.
    pub reason: Option<String>,
    /// The variant they were in, as `node/label`.
    pub variant: Option<String>,
    /// What it was decided from.
    pub facts: Json,
    /// When.
    pub at: Timestamp,
}

/// What a version listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watch {
    /// An event; none for changes of contacts.
    pub event: Option<EventDefinitionId>,
    /// It starts people; otherwise it ends ways.
    pub starts: bool,
}

/// A version that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// To what.
    pub watch: Watch,
    /// Which version.
    pub version: WorkflowVersionId,
    /// Of which workflow.
    pub workflow: WorkflowId,
}

/// What can be held beside a workflow, whose state says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Everybody of the tenant.
    Tenant,
    /// A contact, on all workflows.
    Contact(ContactId),
}

impl Held {
    /// Its kind and id as they are stored.
    pub(super) fn parts(self, tenant: TenantId) -> (&'static str, Uuid) {
        match self {
            Self::Tenant => ("tenant", tenant.0),
            Self::Contact(id) => ("contact", id.0),
        }
    }
}
