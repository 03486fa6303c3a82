//! Reading workflows.

use async_graphql::{Context, ID, Object, Result};
use carillon_domain::tenancy::ReadWorkflows;
use carillon_domain::workflows;

use super::types::Workflow;
use crate::graphql::connection::{List, ListOrder, PageArgs, list};
use crate::graphql::node::by_id;
use crate::graphql::scope::RequestScope;

/// Queries of workflows.
#[derive(Debug, Default)]
pub struct WorkflowQuery;

#[Object]
impl WorkflowQuery {
    /// A workflow of the tenant.
    async fn workflow(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Workflow>> {
        by_id(&id, |id| Workflow::find(ctx, id)).await
    }

    /// The tenant's workflows, by when they were made.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn workflows(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
        #[graphql(desc = "In which order; the oldest first if nothing is said.")] order_by: Option<ListOrder>,
    ) -> Result<List<Workflow>> {
        let order = order_by.unwrap_or_default();
        let page = order.page(PageArgs { first, after, last, before }.page()?);
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadWorkflows>().await?;
        let workflows = workflows::workflows(&grant, &mut tx, &page).await?;
        Ok(list(order.told(workflows), |workflow| workflow.id, Workflow))
    }

    /// Whether everybody of the tenant is held, as `pauseAllWorkflows` does.
    async fn all_workflows_paused(&self, ctx: &Context<'_>) -> Result<bool> {
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadWorkflows>().await?;
        Ok(workflows::are_workflows_held(&grant, &mut tx).await?)
    }
}
