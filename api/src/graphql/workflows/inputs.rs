//! Inputs of workflows.

use std::marker::PhantomData;

use async_graphql::{ID, InputObject, Json};
use carillon_domain::error::Refusal;
use carillon_domain::workflows;
use serde_json::Value;

use crate::graphql::node::parse_id;

/// A workflow to draft. Its definition is an object: `trigger` (`event`, and of its properties `filter`, `accept_late`,
/// `entry_key`), `reentry` (`kind`: `never`, `after_exit`, `after_interval` with `seconds`), `goal` and `exits` (`kind`:
/// `event` or `condition`), `start`, and `nodes` by name. Kinds of nodes: `send` (`template`, `sender`, `topic`, `next`),
/// `wait_for` (`seconds`, `next`), `wait_until` (`time`, `next`), `branch` (`condition`, `then`, `otherwise`, `unknown`),
/// `split` (`variants` with `label`, `weight_bp` and `next`; `conversion`), `update` (`set`, `add_tags`, `remove_tags`,
/// `next`) and `exit` (`reason`).
#[derive(Debug, InputObject)]
pub struct CreateWorkflowInput {
    /// Its name, unique in the tenant.
    pub name: String,
    /// What it does; a draft need not be right yet, its `findings` say what is missing.
    pub definition: Json<Value>,
    /// The same key again gives the same answer and makes nothing.
    pub idempotency_key: Option<String>,
}

/// What is to be different about a draft; what is published stays as it is.
#[derive(Debug, InputObject)]
pub struct UpdateWorkflowInput {
    /// The workflow.
    id: ID,
    /// The version you saw.
    version: i64,
    /// Another name.
    name: Option<String>,
    /// Another definition, as in `createWorkflow`.
    definition: Option<Json<Value>>,
    /// The same key again gives the same answer and changes nothing.
    pub idempotency_key: Option<String>,
}

impl UpdateWorkflowInput {
    /// The command.
    pub fn parse(&self) -> Result<workflows::UpdateWorkflow, Refusal> {
        Ok(workflows::UpdateWorkflow {
            id: parse_id(&self.id, "id")?,
            version: self.version,
            name: self.name.clone(),
            draft: self.definition.as_ref().map(|definition| definition.0.clone()),
        })
    }
}

/// A draft to publish.
#[derive(Debug, InputObject)]
pub struct PublishWorkflowInput {
    /// The workflow.
    pub id: ID,
    /// The version you saw.
    pub version: i64,
    /// The same key again gives the same answer and publishes nothing.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

/// Names of mutations, for the inputs and payloads they have apart although they are alike.
macro_rules! mutations {
    ($($name:ident)+) => {$(
        #[doc = concat!("`", stringify!($name), "` of a workflow or of those on it.")]
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}
    )+};
}
mutations! { Create Update Pause Resume Archive }

/// A workflow.
#[derive(Debug, InputObject)]
#[graphql(
    concrete(name = "PauseWorkflowInput", params(Pause)),
    concrete(name = "ResumeWorkflowInput", params(Resume)),
    concrete(name = "ArchiveWorkflowInput", params(Archive))
)]
pub struct WorkflowIdInput<Of: Send + Sync> {
    /// The workflow.
    pub id: ID,
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
    #[graphql(skip)]
    pub of: PhantomData<Of>,
}

/// All workflows of the tenant.
#[derive(Debug, InputObject)]
#[graphql(
    concrete(name = "PauseAllWorkflowsInput", params(Pause)),
    concrete(name = "ResumeAllWorkflowsInput", params(Resume))
)]
pub struct AllWorkflowsInput<Of: Send + Sync> {
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
    #[graphql(skip)]
    pub of: PhantomData<Of>,
}

/// A contact, on all workflows.
#[derive(Debug, InputObject)]
#[graphql(concrete(name = "PauseContactInput", params(Pause)), concrete(name = "ResumeContactInput", params(Resume)))]
pub struct HeldContactInput<Of: Send + Sync> {
    /// The contact.
    pub contact_id: ID,
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
    #[graphql(skip)]
    pub of: PhantomData<Of>,
}
