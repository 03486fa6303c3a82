//! What the gateway itself answers.

use async_graphql::{Context, Enum, Object, SimpleObject};
use carillon_domain::tenancy::{Payer, Standing};
use chrono::{DateTime, Utc};

use super::limits::Cost;
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

    /// How many points the caller has left. Asking for it costs none.
    async fn rate_limit(&self, ctx: &Context<'_>) -> RateLimit {
        let scope = RequestScope::of(ctx);
        let now = scope.ports().now();
        let standings = scope.desk().rates.standings(&scope.caller().payers());
        let buckets = standings.into_iter().flatten().map(|standing| RateLimitBucket::new(standing, now));
        let cost = ctx.data_opt::<Cost>().map_or(0, |Cost(points)| *points);
        RateLimit { cost: u32::try_from(cost).unwrap_or(u32::MAX), buckets: buckets.collect() }
    }
}

/// What a caller may ask for. Each object that a document can give costs a point, each page one more; scalars, edges,
/// `pageInfo` and errors are free; a mutation costs ten and one for each item of its longest list; what is counted over many
/// rows has a price of its own. Every answer to somebody signed in tells `requested`, and of the bucket with the fewest points
/// left `bucket`, `limit` and `remaining`, in `extensions.cost`. Where points are missing, nothing runs: the answer is
/// `RATE_LIMITED`.
#[derive(Debug, SimpleObject)]
pub struct RateLimit {
    /// Points that this document costs.
    cost: u32,
    /// The buckets that the caller pays from: each document from all of them.
    buckets: Vec<RateLimitBucket>,
}

/// Points of one payer. A bucket holds those of a minute and fills evenly.
#[derive(Debug, SimpleObject)]
pub struct RateLimitBucket {
    /// Whose points they are.
    kind: RateLimitKind,
    /// Points of the full bucket, which are those of a minute.
    limit: u32,
    /// Points that are left.
    remaining: u32,
    /// When it is full again if nothing is asked for until then.
    reset_at: DateTime<Utc>,
}

impl RateLimitBucket {
    fn new(standing: Standing, now: DateTime<Utc>) -> Self {
        let kind = match standing.payer {
            Payer::Tenant(_) => RateLimitKind::Tenant,
            Payer::Key(_) => RateLimitKind::Key,
            Payer::User(..) => RateLimitKind::User,
        };
        let Standing { limit, remaining, full_in, .. } = standing;
        Self { kind, limit, remaining, reset_at: now + full_in }
    }
}

/// Whose points a bucket holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum RateLimitKind {
    /// A tenant's: of everybody who asks in it.
    Tenant,
    /// An API key's.
    Key,
    /// A user's in one tenant, or outside of all.
    User,
}
