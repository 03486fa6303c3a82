//! What can be watched of messages.

use std::sync::Arc;

use async_graphql::{Context, Result, Subscription};
use carillon_domain::messaging::{self, FeedKind, StatRow};
use carillon_domain::tenancy::ReadMessages;
use carillon_domain::time::Timestamp;
use chrono::{DurationRound as _, TimeDelta};
use futures::{Stream, StreamExt as _};

use super::feed::{self, MessageEventKind, MessageEventPage, Standing};
use super::types::MessageStats;
use crate::graphql::live::{Places, follow, watch};
use crate::graphql::scope::RequestScope;
use crate::graphql::time::Instant;

/// Counts go back this far unless asked otherwise: they are made again each time something changed.
const PROGRESS_SINCE: TimeDelta = TimeDelta::days(1);
/// Who asks for no instant shares one with all who asked within so long.
const PROGRESS_SHARED: TimeDelta = TimeDelta::minutes(10);

/// Subscriptions to messages.
#[derive(Debug, Default)]
pub struct MessagingSubscription;

#[Subscription]
#[expect(clippy::unused_async, reason = "the library wants it")]
impl MessagingSubscription {
    /// How many messages came to what, among those accepted since an instant (about a day before now if none is given), and
    /// again whenever that changed, at most once a second.
    async fn message_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The instant.")] since: Option<Instant>,
    ) -> Result<impl Stream<Item = Result<MessageStats>>> {
        let since = since.map_or_else(|| a_day_ago(RequestScope::of(ctx).ports().now()), Instant::get);
        // Instants lie in the years 1 to 9999, some of them before 1970.
        let subject = ("messageProgress", u128::from(since.timestamp_micros().cast_unsigned()));
        let counts = watch(ctx, subject, move |scope| count(scope, since), |_| false);
        Ok(counts.map(|rows| Ok(rows?.into_iter().collect())))
    }

    /// What happens to the tenant's messages, in the order in which it comes to be known: within a few seconds, at most a
    /// hundred events at once. The first answer comes at once, with a `cursor` to resume from even if nothing has happened
    /// yet. Whoever comes again with the last `cursor` they took in misses nothing; what they had not taken in is told again,
    /// under the same ids. A cursor is good for at least seven days, then it is refused with `CURSOR_EXPIRED`.
    async fn message_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Begin behind this place: a `cursor` that was told before. Without one it begins now.")]
        after: Option<String>,
        #[graphql(desc = "Tell these alone; all of them if none is given.")] kinds: Option<Vec<MessageEventKind>>,
    ) -> Result<impl Stream<Item = Result<MessageEventPage>>> {
        let kinds = kinds.map(|kinds| kinds.into_iter().map(FeedKind::from).collect::<Arc<[FeedKind]>>());
        let kinds = kinds.filter(|kinds| !kinds.is_empty());
        let step = move |scope, standing, head| feed::page(scope, standing, head, kinds.clone());
        let places = Places::of(ctx);
        let pages = follow(ctx, ("messageEvents", 0), feed::end, (Standing::Named(places.after(after)), step));
        Ok(pages.map(move |page| page.inspect(|page| places.reach(page.place())).map_err(Into::into)))
    }
}

/// A day before now, and a little: the same for who asks at about the same time, so that they share what is looked at.
fn a_day_ago(now: Timestamp) -> Timestamp {
    let since = now - PROGRESS_SINCE;
    since.duration_trunc(PROGRESS_SHARED).unwrap_or(since)
}

/// In an order, so that the same counts are equal.
async fn count(scope: RequestScope, since: Timestamp) -> carillon_domain::error::Result<Vec<StatRow>> {
    let (grant, mut tx) = scope.read::<ReadMessages>().await?;
    let mut rows = messaging::stats(&grant, &mut tx, since).await?;
    rows.sort_by(|one, other| (one.status.as_str(), &one.reason).cmp(&(other.status.as_str(), &other.reason)));
    Ok(rows)
}
