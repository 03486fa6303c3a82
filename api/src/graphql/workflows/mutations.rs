//! Drafting, publishing, holding and ending workflows.

use async_graphql::{Context, Object, Result};
use carillon_domain::error::Result as Done;
use carillon_domain::ids::WorkflowVersionId;
use carillon_domain::tenancy::{PublishWorkflows, WriteWorkflows};
use carillon_domain::workflows;

use super::inputs::{
    Archive, Create, CreateWorkflowInput, Pause, PublishWorkflowInput, Resume, Update, UpdateWorkflowInput,
    WorkflowIdInput,
};
use super::payloads::{PublishWorkflowPayload, WorkflowPayload};
use super::types::{Workflow, WorkflowFinding, WorkflowVersion};
use crate::graphql::error::payload_at;
use crate::graphql::mutate::Once;
use crate::graphql::node::parse_id;
use crate::graphql::scope::RequestScope;

/// Mutations of workflows.
#[derive(Debug, Default)]
pub struct WorkflowMutation;

#[Object]
impl WorkflowMutation {
    /// Makes a workflow with a draft; nobody enters before it is published.
    async fn create_workflow(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The workflow.")] input: CreateWorkflowInput,
    ) -> Result<WorkflowPayload<Create>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<WriteWorkflows>()?;
        let once = Once::new("createWorkflow", input.idempotency_key.as_deref(), &input);
        let (name, draft) = (input.name.as_str(), &input.definition.0);
        let made = scope.mutate(grant, &once, |tx, _| {
            Box::pin(
                async move { Ok(workflows::create_workflow(grant, tx, scope.ports(), name, draft.clone()).await?.id) },
            )
        });
        WorkflowPayload::of(ctx, made.await).await
    }

    /// Changes the name or the draft of a workflow that is at the version you saw, else `CONFLICT`.
    async fn update_workflow(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be different.")] input: UpdateWorkflowInput,
    ) -> Result<WorkflowPayload<Update>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<WriteWorkflows>()?;
        let once = Once::new("updateWorkflow", input.idempotency_key.as_deref(), &input);
        let command = &match input.parse() {
            Ok(command) => command,
            Err(refusal) => return WorkflowPayload::of(ctx, Err(refusal.into())).await,
        };
        let changed = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(workflows::update_workflow(grant, tx, scope.ports(), command.clone()).await?.id) })
        });
        WorkflowPayload::at(ctx, changed.await, command.id).await
    }

    /// Checks and publishes the draft of a workflow that is at the version you saw, else `CONFLICT`. The version never
    /// changes after; who is on an older one goes on there.
    async fn publish_workflow(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The draft.")] input: PublishWorkflowInput,
    ) -> Result<PublishWorkflowPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishWorkflows>()?;
        let once = Once::new("publishWorkflow", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let id = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return Ok(PublishWorkflowPayload::refused(refusal)),
        };
        let which = (id, input.version);
        let published = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move {
                let published = workflows::publish_workflow(grant, tx, scope.ports(), which).await?;
                let findings = published.warnings.into_iter().map(WorkflowFinding::from).collect();
                Ok((published.version.id, findings))
            })
        });
        let published: Done<(WorkflowVersionId, Vec<WorkflowFinding>)> = published.await;
        let published = published.map(|(version, findings)| (Some(version), findings));
        let (shown, user_errors) = payload_at(published, (None, Vec::new()))?;
        let Some((version, findings)) = shown else {
            return Ok(PublishWorkflowPayload { user_errors, ..PublishWorkflowPayload::default() });
        };
        let workflow = Workflow::find(ctx, id).await?;
        let Some(version) = version else {
            return Ok(PublishWorkflowPayload { workflow, user_errors, ..PublishWorkflowPayload::default() });
        };
        scope.doorbell(&once).ring_workflows();
        let workflow_version = WorkflowVersion::find(ctx, version).await?;
        Ok(PublishWorkflowPayload { workflow, workflow_version, findings, user_errors })
    }

    /// Holds a live workflow: people enter and stay where they are, and its queued mails wait.
    async fn pause_workflow(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The workflow.")] input: WorkflowIdInput<Pause>,
    ) -> Result<WorkflowPayload<Pause>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<WriteWorkflows>()?;
        let once = Once::new("pauseWorkflow", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let id = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return WorkflowPayload::of(ctx, Err(refusal.into())).await,
        };
        let paused = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(workflows::pause_workflow(grant, tx, scope.ports(), id).await?.id) })
        });
        WorkflowPayload::of(ctx, paused.await).await
    }

    /// Lets a held workflow go on: whoever was due meanwhile is due now.
    async fn resume_workflow(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The workflow.")] input: WorkflowIdInput<Resume>,
    ) -> Result<WorkflowPayload<Resume>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<WriteWorkflows>()?;
        let once = Once::new("resumeWorkflow", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let id = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return WorkflowPayload::of(ctx, Err(refusal.into())).await,
        };
        let resumed = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(workflows::resume_workflow(grant, tx, scope.ports(), id).await?.id) })
        });
        let resumed = resumed.await;
        if resumed.is_ok() {
            scope.doorbell(&once).ring_workflows();
        }
        WorkflowPayload::of(ctx, resumed).await
    }

    /// Ends a workflow for good: nobody enters, and none of its mails leaves any more. Whoever is on it is taken out from then
    /// on, which takes a while for many.
    async fn archive_workflow(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The workflow.")] input: WorkflowIdInput<Archive>,
    ) -> Result<WorkflowPayload<Archive>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishWorkflows>()?;
        let once = Once::new("archiveWorkflow", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let id = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return WorkflowPayload::of(ctx, Err(refusal.into())).await,
        };
        let archived = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(workflows::archive_workflow(grant, tx, scope.ports(), id).await?.id) })
        });
        let archived = archived.await;
        if archived.is_ok() {
            scope.doorbell(&once).ring_workflows();
        }
        WorkflowPayload::of(ctx, archived).await
    }
}
