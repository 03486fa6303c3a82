//! What can be watched of messages.

use async_graphql::{Context, Result, Subscription};
use carillon_domain::messaging::{self, StatRow};
use carillon_domain::tenancy::ReadMessages;
use carillon_domain::time::Timestamp;
use chrono::TimeDelta;
use futures::{Stream, StreamExt as _};

use super::types::MessageStats;
use crate::graphql::live::watch;
use crate::graphql::scope::RequestScope;
use crate::graphql::time::Instant;

/// Counts go back this far unless asked otherwise: they are made again each time something changed.
const PROGRESS_SINCE: TimeDelta = TimeDelta::days(1);

/// Subscriptions to messages.
#[derive(Debug, Default)]
pub struct MessagingSubscription;

#[Subscription]
#[expect(clippy::unused_async, reason = "the library wants it")]
impl MessagingSubscription {
    /// How many messages came to what, among those accepted since an instant (a day before now if none is given), and again
    /// whenever that changed, at most once a second.
    async fn message_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The instant.")] since: Option<Instant>,
    ) -> Result<impl Stream<Item = Result<MessageStats>>> {
        let since = since.map_or_else(|| RequestScope::of(ctx).ports().now() - PROGRESS_SINCE, Instant::get);
        let counts = watch(ctx, move |scope| count(scope, since), |_| false);
        Ok(counts.map(|rows| Ok(rows?.into_iter().collect())))
    }
}

/// In an order, so that the same counts are equal.
async fn count(scope: RequestScope, since: Timestamp) -> carillon_domain::error::Result<Vec<StatRow>> {
    let (grant, mut tx) = scope.read::<ReadMessages>().await?;
    let mut rows = messaging::stats(&grant, &mut tx, since).await?;
    rows.sort_by(|one, other| (one.status.as_str(), &one.reason).cmp(&(other.status.as_str(), &other.reason)));
    Ok(rows)
}
