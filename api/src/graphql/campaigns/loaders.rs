//! What many campaigns and lists of one answer need, by one statement each.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use carillon_domain::campaigns::{self, Campaign, CampaignCounts, CampaignRecipient, ContactList};
use carillon_domain::ids::{CampaignId, ContactId, ListId};
use carillon_domain::paging::{Ahead, Paged};
use carillon_domain::tenancy::{ReadCampaigns, ReadContacts};

use crate::graphql::loader::{LoadError, Rows, by_page};

/// The numbers of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CountsOf(pub CampaignId);

/// A page of whom a campaign goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecipientsOf(pub CampaignId, pub Ahead<ContactId>);

/// Somebody in a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecipientOf(pub CampaignId, pub ContactId);

/// A page of who is on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MembersOf(pub ListId, pub Ahead<ContactId>);

/// How many are on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SizeOf(pub ListId);

impl Loader<CampaignId> for Rows {
    type Value = Campaign;
    type Error = LoadError;

    async fn load(&self, keys: &[CampaignId]) -> Result<HashMap<CampaignId, Campaign>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadCampaigns>().await?;
        let found = campaigns::find_campaigns(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|campaign| (campaign.id, campaign)).collect())
    }
}

impl Loader<CountsOf> for Rows {
    type Value = CampaignCounts;
    type Error = LoadError;

    async fn load(&self, keys: &[CountsOf]) -> Result<HashMap<CountsOf, CampaignCounts>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadCampaigns>().await?;
        let ids: Vec<CampaignId> = keys.iter().map(|key| key.0).collect();
        let found = campaigns::campaign_counts(&grant, &mut tx, &ids).await?;
        Ok(found.into_iter().map(|(id, counts)| (CountsOf(id), counts)).collect())
    }
}

impl Loader<RecipientsOf> for Rows {
    type Value = Paged<CampaignRecipient>;
    type Error = LoadError;

    async fn load(&self, keys: &[RecipientsOf]) -> Result<HashMap<RecipientsOf, Paged<CampaignRecipient>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadCampaigns>().await?;
        let mut found = HashMap::new();
        for (page, ids) in by_page(keys.iter().map(|key| (key.0, key.1))) {
            let pages = campaigns::campaign_recipients(&grant, &mut tx, &ids, page).await?;
            found.extend(pages.into_iter().map(|(campaign, people)| (RecipientsOf(campaign, page), people)));
        }
        Ok(found)
    }
}

impl Loader<RecipientOf> for Rows {
    type Value = CampaignRecipient;
    type Error = LoadError;

    async fn load(&self, keys: &[RecipientOf]) -> Result<HashMap<RecipientOf, CampaignRecipient>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadCampaigns>().await?;
        let wanted: Vec<(CampaignId, ContactId)> = keys.iter().map(|key| (key.0, key.1)).collect();
        let found = campaigns::find_recipients(&grant, &mut tx, &wanted).await?;
        Ok(found.into_iter().map(|((campaign, contact), one)| (RecipientOf(campaign, contact), one)).collect())
    }
}

impl Loader<ListId> for Rows {
    type Value = ContactList;
    type Error = LoadError;

    async fn load(&self, keys: &[ListId]) -> Result<HashMap<ListId, ContactList>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadContacts>().await?;
        let found = campaigns::find_lists(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|list| (list.id, list)).collect())
    }
}

impl Loader<MembersOf> for Rows {
    type Value = Paged<ContactId>;
    type Error = LoadError;

    async fn load(&self, keys: &[MembersOf]) -> Result<HashMap<MembersOf, Paged<ContactId>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadContacts>().await?;
        let mut found = HashMap::new();
        for (page, ids) in by_page(keys.iter().map(|key| (key.0, key.1))) {
            let pages = campaigns::list_members(&grant, &mut tx, &ids, page).await?;
            found.extend(pages.into_iter().map(|(list, people)| (MembersOf(list, page), people)));
        }
        Ok(found)
    }
}

impl Loader<SizeOf> for Rows {
    type Value = i64;
    type Error = LoadError;

    async fn load(&self, keys: &[SizeOf]) -> Result<HashMap<SizeOf, i64>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadContacts>().await?;
        let ids: Vec<ListId> = keys.iter().map(|key| key.0).collect();
        let found = campaigns::list_sizes(&grant, &mut tx, &ids).await?;
        Ok(found.into_iter().map(|(list, people)| (SizeOf(list), people)).collect())
    }
}
