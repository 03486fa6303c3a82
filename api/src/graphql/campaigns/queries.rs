//! Reading campaigns and lists.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use carillon_domain::campaigns;
use carillon_domain::tenancy::{ReadCampaigns, ReadContacts};

use super::lists::ContactList;
use super::types::Campaign;
use crate::graphql::connection::{List, ListOrder, PageArgs, list};
use crate::graphql::node::by_id;
use crate::graphql::scope::RequestScope;

/// Which campaigns of the tenant wait for an approval.
#[derive(Debug, SimpleObject)]
pub struct CampaignRules {
    /// Those that go to more people than this; null for none.
    approve_above: Option<i64>,
    /// Whether whoever made or started a campaign, themselves or by a key of theirs, may not approve it.
    four_eyes: bool,
}

impl From<campaigns::CampaignRules> for CampaignRules {
    fn from(rules: campaigns::CampaignRules) -> Self {
        Self { approve_above: rules.approve_above, four_eyes: rules.four_eyes }
    }
}

/// Queries of campaigns and lists.
#[derive(Debug, Default)]
pub struct CampaignQuery;

#[Object]
impl CampaignQuery {
    /// A campaign of the tenant.
    async fn campaign(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Campaign>> {
        by_id(&id, |id| Campaign::find(ctx, id)).await
    }

    /// The tenant's campaigns, by when they were made.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn campaigns(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
        #[graphql(desc = "In which order; the oldest first if nothing is said.")] order_by: Option<ListOrder>,
    ) -> Result<List<Campaign>> {
        let order = order_by.unwrap_or_default();
        let page = order.page(PageArgs { first, after, last, before }.page()?);
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadCampaigns>().await?;
        let campaigns = campaigns::campaigns(&grant, &mut tx, &page).await?;
        Ok(list(order.told(campaigns), |campaign| campaign.id, Campaign))
    }

    /// Which campaigns wait for an approval; null where nothing was said, and then the first to more than 50,000 people
    /// does, for somebody who neither made nor started it.
    async fn campaign_rules(&self, ctx: &Context<'_>) -> Result<Option<CampaignRules>> {
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadCampaigns>().await?;
        Ok(campaigns::campaign_rules(&grant, &mut tx).await?.map(CampaignRules::from))
    }

    /// A list of contacts.
    async fn contact_list(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Result<Option<ContactList>> {
        by_id(&id, |id| ContactList::find(ctx, id)).await
    }

    /// The tenant's lists of contacts, oldest first.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn contact_lists(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<ContactList>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadContacts>().await?;
        Ok(list(campaigns::lists(&grant, &mut tx, &page).await?, |list| list.id, ContactList))
    }
}
