//! Reading endpoints and deliveries.

use async_graphql::{Context, Object, Result};
use carillon_domain::error::Error;
use carillon_domain::tenancy::ReadWebhooks;
use carillon_domain::webhooks;

use super::inputs::WebhookDeliveryFilter;
use super::types::{WebhookDelivery, WebhookEndpoint};
use crate::graphql::connection::{List, ListOrder, PageArgs, list};
use crate::graphql::scope::RequestScope;

/// Queries of webhooks.
#[derive(Debug, Default)]
pub struct WebhookQuery;

#[Object]
impl WebhookQuery {
    /// The tenant's webhook endpoints, oldest first; deleted ones are left out.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn webhook_endpoints(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<WebhookEndpoint>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadWebhooks>().await?;
        Ok(list(webhooks::endpoints(&grant, &mut tx, &page).await?, |endpoint| endpoint.id, WebhookEndpoint))
    }

    /// The log: what was or is to be delivered, by when it was asked for.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn webhook_deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
        #[graphql(desc = "Which deliveries.")] filter: Option<WebhookDeliveryFilter>,
        #[graphql(desc = "In which order; the oldest first if nothing is said.")] order_by: Option<ListOrder>,
    ) -> Result<List<WebhookDelivery>> {
        let order = order_by.unwrap_or_default();
        let page = order.page(PageArgs { first, after, last, before }.page()?);
        let filter = filter.unwrap_or_default().parse().map_err(Error::from)?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadWebhooks>().await?;
        let found = webhooks::deliveries(&grant, &mut tx, &filter, &page).await?;
        Ok(list(order.told(found), |delivery| delivery.id, WebhookDelivery))
    }
}
