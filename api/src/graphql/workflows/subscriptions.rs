//! What can be watched of workflows.

use async_graphql::{Context, ID, Result, Subscription};
use carillon_domain::error::Refusal;
use carillon_domain::ids::WorkflowId;
use carillon_domain::tenancy::ReadWorkflows;
use carillon_domain::workflows::{self as domain, NodeAnswer, VariantAnswer, WorkflowState};
use futures::{Stream, StreamExt as _};

use super::types::Workflow;
use crate::graphql::live::watch;
use crate::graphql::node::parse_id;
use crate::graphql::scope::RequestScope;

/// Subscriptions to workflows.
#[derive(Debug, Default)]
pub struct WorkflowSubscription;

#[Subscription]
#[expect(clippy::unused_async, reason = "the library wants it")]
impl WorkflowSubscription {
    /// A workflow as it is, and again whenever it or the numbers of its live version changed, at most once a second; ends
    /// when it is archived.
    async fn workflow_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Result<impl Stream<Item = Result<Workflow>>> {
        let id: WorkflowId = parse_id(&id, "id").map_err(carillon_domain::error::Error::from)?;
        let is_over = |seen: &Seen| seen.workflow.state == WorkflowState::Archived;
        let subject = ("workflowProgress", id.0.as_u128());
        let progress = watch(ctx, subject, move |scope| find(scope, id), is_over);
        Ok(progress.map(|seen| Ok(Workflow(seen?.workflow))))
    }
}

/// What makes it worth telling again.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    workflow: domain::Workflow,
    nodes: Vec<NodeAnswer>,
    variants: Vec<VariantAnswer>,
}

async fn find(scope: RequestScope, id: WorkflowId) -> carillon_domain::error::Result<Seen> {
    let (grant, mut tx) = scope.read::<ReadWorkflows>().await?;
    let found = domain::find_workflows(&grant, &mut tx, [id]).await?.pop();
    let workflow = found.ok_or_else(|| Refusal::not_found("id"))?;
    let Some(live) = workflow.live_version else {
        return Ok(Seen { workflow, nodes: Vec::new(), variants: Vec::new() });
    };
    let nodes = domain::node_answers(&grant, &mut tx, &[live]).await?.remove(&live).unwrap_or_default();
    let variants = domain::variant_answers(&grant, &mut tx, &[live]).await?.remove(&live).unwrap_or_default();
    Ok(Seen { workflow, nodes, variants })
}
