//! What the mutations of workflows answer.

use std::marker::PhantomData;

use async_graphql::{Context, Result, SimpleObject};
use carillon_domain::error::{Refusal, Result as Done};
use carillon_domain::ids::{ContactId, WorkflowId};

use super::inputs::{Archive, Create, Pause, Resume, Update};
use super::types::{Workflow, WorkflowFinding, WorkflowVersion};
use crate::graphql::contacts::Contact;
use crate::graphql::error::{UserError, payload, payload_at, user_errors};
use crate::graphql::node::named;

/// The answer of a mutation of a workflow.
#[derive(Debug, SimpleObject)]
#[graphql(
    concrete(name = "CreateWorkflowPayload", params(Create)),
    concrete(name = "UpdateWorkflowPayload", params(Update)),
    concrete(name = "PauseWorkflowPayload", params(Pause)),
    concrete(name = "ResumeWorkflowPayload", params(Resume)),
    concrete(name = "ArchiveWorkflowPayload", params(Archive))
)]
pub struct WorkflowPayload<Of: Send + Sync> {
    /// The workflow as it is now, beside `CONFLICT` too.
    workflow: Option<Workflow>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> WorkflowPayload<Of> {
    /// The payload of a use case that names the workflow.
    pub async fn of(ctx: &Context<'_>, done: Done<WorkflowId>) -> Result<Self> {
        Self::showing(ctx, payload(done)?).await
    }

    /// The same of one that names the version of the workflow that its caller saw.
    pub async fn at(ctx: &Context<'_>, done: Done<WorkflowId>, seen: WorkflowId) -> Result<Self> {
        Self::showing(ctx, payload_at(done, seen)?).await
    }

    async fn showing(ctx: &Context<'_>, (id, user_errors): (Option<WorkflowId>, Vec<UserError>)) -> Result<Self> {
        let workflow = named(id, |id| Workflow::find(ctx, id)).await?;
        Ok(Self { workflow, user_errors, of: PhantomData })
    }
}

/// The answer of `publishWorkflow`.
#[derive(Debug, Default, SimpleObject)]
pub struct PublishWorkflowPayload {
    /// The workflow as it is now, beside `CONFLICT` too.
    pub workflow: Option<Workflow>,
    /// The version that people enter from now on; the one that was live already if the draft says the same.
    pub workflow_version: Option<WorkflowVersion>,
    /// What its author should know; it is published all the same.
    pub findings: Vec<WorkflowFinding>,
    /// Why it was refused: each finding that is an error, its field `definition.nodes.` and the node's name.
    pub user_errors: Vec<UserError>,
}

impl PublishWorkflowPayload {
    /// The payload of an input that cannot be read.
    pub fn refused(refusal: Refusal) -> Self {
        Self { user_errors: user_errors([refusal]), ..Self::default() }
    }
}

/// The answer of a mutation of all workflows.
#[derive(Debug, SimpleObject)]
#[graphql(
    concrete(name = "PauseAllWorkflowsPayload", params(Pause)),
    concrete(name = "ResumeAllWorkflowsPayload", params(Resume))
)]
pub struct AllWorkflowsPayload<Of: Send + Sync> {
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> AllWorkflowsPayload<Of> {
    /// The payload of a use case.
    pub fn of(done: Done<()>) -> Result<Self> {
        Ok(Self { user_errors: payload(done)?.1, of: PhantomData })
    }
}

/// The answer of a mutation of a contact on all workflows.
#[derive(Debug, SimpleObject)]
#[graphql(
    concrete(name = "PauseContactPayload", params(Pause)),
    concrete(name = "ResumeContactPayload", params(Resume))
)]
pub struct HeldContactPayload<Of: Send + Sync> {
    /// The contact. Needs the right to see contacts.
    contact: Option<Result<Contact>>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> HeldContactPayload<Of> {
    /// The payload of a use case on a contact.
    pub async fn of(ctx: &Context<'_>, done: Done<ContactId>) -> Result<Self> {
        let (id, user_errors) = payload(done)?;
        let contact = named(id, |id| Contact::find(ctx, id)).await.transpose();
        Ok(Self { contact, user_errors, of: PhantomData })
    }
}
