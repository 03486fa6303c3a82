//! What the gateway itself answers.

use async_graphql::{Context, Object};
use chrono::{DateTime, Utc};

use super::scope::RequestScope;

/// Queries about the deployment.
#[derive(Debug, Default)]
pub struct GatewayQuery;

#[Object]
impl GatewayQuery {
    /// The present instant on the clock that decides what is due: the database's, not that of the answering process.
    async fn server_time(&self, ctx: &Context<'_>) -> DateTime<Utc> {
        RequestScope::of(ctx).ports().now()
    }
}
