//! What can be watched of campaigns.

use async_graphql::{Context, ID, Result, Subscription};
use carillon_domain::campaigns as domain;
use carillon_domain::error::{Error, Refusal, Result as Done};
use carillon_domain::ids::CampaignId;
use carillon_domain::tenancy::ReadCampaigns;
use futures::{Stream, StreamExt as _};

use super::types::Campaign;
use crate::graphql::live::watch;
use crate::graphql::node::parse_id;
use crate::graphql::scope::RequestScope;

/// Subscriptions to campaigns.
#[derive(Debug, Default)]
pub struct CampaignSubscription;

#[Subscription]
#[expect(clippy::unused_async, reason = "the library wants it")]
impl CampaignSubscription {
    /// A campaign as it is, and again whenever it or its numbers changed, at most once a second; ends when it is over.
    async fn campaign_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Result<impl Stream<Item = Result<Campaign>>> {
        let id: CampaignId = parse_id(&id, "id").map_err(Error::from)?;
        // What a cancelled one had on its way comes to its end later.
        let is_over = |seen: &Seen| seen.campaign.state.is_over() && seen.queued() == 0;
        let subject = ("campaignProgress", id.0.as_u128());
        let progress = watch(ctx, subject, move |scope| find(scope, id), is_over);
        Ok(progress.map(|seen| Ok(Campaign(seen?.campaign))))
    }
}

/// What makes it worth telling again.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    campaign: domain::Campaign,
    counts: domain::CampaignCounts,
}

impl Seen {
    fn queued(&self) -> i64 {
        self.counts.all.of(domain::RecipientOutcome::Queued)
    }
}

async fn find(scope: RequestScope, id: CampaignId) -> Done<Seen> {
    let (grant, mut tx) = scope.read::<ReadCampaigns>().await?;
    let found = domain::find_campaigns(&grant, &mut tx, [id]).await?.pop();
    let campaign = found.ok_or_else(|| Refusal::not_found("id"))?;
    let counts = domain::campaign_counts(&grant, &mut tx, &[id]).await?.remove(&id).unwrap_or_default();
    Ok(Seen { campaign, counts })
}
