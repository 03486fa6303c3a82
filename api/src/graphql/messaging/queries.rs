//! Reading senders and messages.

use async_graphql::{Context, ID, Object, Result};
use carillon_domain::error::Error;
use carillon_domain::messaging;
use carillon_domain::tenancy::ReadMessages;

use super::content_types::{Relay, Sender};
use super::inputs::MessageFilter;
use super::types::{Message, MessageStats};
use crate::graphql::connection::{List, ListOrder, PageArgs, list};
use crate::graphql::node::by_id;
use crate::graphql::scope::RequestScope;
use crate::graphql::time::Instant;

/// Queries of messaging.
#[derive(Debug, Default)]
pub struct MessagingQuery;

#[Object]
impl MessagingQuery {
    /// A sender of the tenant.
    async fn sender(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Sender>> {
        by_id(&id, |id| Sender::find(ctx, id)).await
    }

    /// The tenant's senders, oldest first.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn senders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<Sender>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadMessages>().await?;
        Ok(list(messaging::senders(&grant, &mut tx, &page).await?, |sender| sender.id, Sender))
    }

    /// The tenant's own relay; null while its mail leaves through the deployment's.
    async fn relay(&self, ctx: &Context<'_>) -> Result<Option<Relay>> {
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadMessages>().await?;
        Ok(messaging::own_relay(&grant, &mut tx).await?.map(Relay::from))
    }

    /// A message of the tenant.
    async fn message(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Message>> {
        by_id(&id, |id| Message::find(ctx, id)).await
    }

    /// The tenant's messages, by when they were accepted.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
        #[graphql(desc = "In which order; the oldest first if nothing is said.")] order_by: Option<ListOrder>,
        #[graphql(desc = "Which messages.")] filter: Option<MessageFilter>,
    ) -> Result<List<Message>> {
        let order = order_by.unwrap_or_default();
        let page = order.page(PageArgs { first, after, last, before }.page()?);
        let filter = filter.unwrap_or_default().parse().map_err(Error::from)?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadMessages>().await?;
        let messages = messaging::messages(&grant, &mut tx, &filter, &page).await?;
        Ok(list(order.told(messages), |message| message.id, Message))
    }

    /// How many messages came to what, among those accepted since an instant (the last 30 days if none is given).
    async fn message_stats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The instant.")] since: Option<Instant>,
    ) -> Result<MessageStats> {
        MessageStats::of(ctx, RequestScope::of(ctx).tenant()?.tenant(), since).await
    }
}
