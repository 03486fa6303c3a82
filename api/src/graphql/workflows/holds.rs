//! Holding and letting go everybody of the tenant, or one contact, on all workflows.

use async_graphql::{Context, ID, Object, Result};
use carillon_domain::error::Result as Done;
use carillon_domain::ids::ContactId;
use carillon_domain::tenancy::{Grant, WriteWorkflows};
use carillon_domain::workflows;

use super::inputs::{AllWorkflowsInput, HeldContactInput, Pause, Resume};
use super::payloads::{AllWorkflowsPayload, HeldContactPayload};
use crate::graphql::mutate::Once;
use crate::graphql::node::parse_id;
use crate::graphql::scope::RequestScope;

/// Mutations that hold people and let them go.
#[derive(Debug, Default)]
pub struct HoldMutation;

#[Object]
impl HoldMutation {
    /// Holds everybody on all of the tenant's workflows where they are.
    async fn pause_all_workflows(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Nothing but a key.")] input: Option<AllWorkflowsInput<Pause>>,
    ) -> Result<AllWorkflowsPayload<Pause>> {
        let grant = RequestScope::of(ctx).grant()?;
        let key = input.as_ref().and_then(|input| input.idempotency_key.as_deref());
        AllWorkflowsPayload::of(hold_all(ctx, &grant, Once::new("pauseAllWorkflows", key, &input), true).await)
    }

    /// Ends what `pauseAllWorkflows` did; workflows and contacts that are held by themselves stay so.
    async fn resume_all_workflows(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Nothing but a key.")] input: Option<AllWorkflowsInput<Resume>>,
    ) -> Result<AllWorkflowsPayload<Resume>> {
        let grant = RequestScope::of(ctx).grant()?;
        let key = input.as_ref().and_then(|input| input.idempotency_key.as_deref());
        AllWorkflowsPayload::of(hold_all(ctx, &grant, Once::new("resumeAllWorkflows", key, &input), false).await)
    }

    /// Holds a contact where they are, on all workflows.
    async fn pause_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contact.")] input: HeldContactInput<Pause>,
    ) -> Result<HeldContactPayload<Pause>> {
        let grant = RequestScope::of(ctx).grant()?;
        let once = Once::new("pauseContact", input.idempotency_key.as_deref(), &input);
        HeldContactPayload::of(ctx, hold_contact(ctx, &grant, once, (&input.contact_id, true)).await).await
    }

    /// Ends what `pauseContact` did.
    async fn resume_contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contact.")] input: HeldContactInput<Resume>,
    ) -> Result<HeldContactPayload<Resume>> {
        let grant = RequestScope::of(ctx).grant()?;
        let once = Once::new("resumeContact", input.idempotency_key.as_deref(), &input);
        HeldContactPayload::of(ctx, hold_contact(ctx, &grant, once, (&input.contact_id, false)).await).await
    }
}

async fn hold_all(ctx: &Context<'_>, grant: &Grant<WriteWorkflows>, once: Once, is_held: bool) -> Done<()> {
    let scope = RequestScope::of(ctx);
    let work =
        scope.mutate(grant, &once, |tx, _| Box::pin(workflows::hold_all_workflows(grant, tx, scope.ports(), is_held)));
    work.await?;
    if !is_held {
        scope.ports().doorbell.ring_workflows();
    }
    Ok(())
}

async fn hold_contact(
    ctx: &Context<'_>,
    grant: &Grant<WriteWorkflows>,
    once: Once,
    (contact, is_held): (&ID, bool),
) -> Done<ContactId> {
    let scope = RequestScope::of(ctx);
    let contact: ContactId = parse_id(contact, "contactId")?;
    let work = scope
        .mutate(grant, &once, |tx, _| Box::pin(workflows::hold_contact(grant, tx, scope.ports(), contact, is_held)));
    work.await?;
    if !is_held {
        scope.ports().doorbell.ring_workflows();
    }
    Ok(contact)
}
