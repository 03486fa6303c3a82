//! What the mutations of campaigns and lists answer.

use std::marker::PhantomData;

use async_graphql::{Context, ID, Result, SimpleObject};
use carillon_domain::error::{Error, Refusal, Result as Done};
use carillon_domain::ids::{CampaignId, ListId};

use super::inputs::{Add, Approve, Cancel, Choose, Create, Pause, Remove, Rename, Resume, Update};
use super::lists::ContactList;
use super::queries::CampaignRules;
use super::types::Campaign;
use crate::graphql::error::{UserError, payload};

/// The answer of a mutation of a campaign.
#[derive(Debug, SimpleObject)]
#[graphql(
    concrete(name = "CreateCampaignPayload", params(Create)),
    concrete(name = "UpdateCampaignPayload", params(Update)),
    concrete(name = "ChooseCampaignVariantPayload", params(Choose)),
    concrete(name = "ApproveCampaignPayload", params(Approve)),
    concrete(name = "PauseCampaignPayload", params(Pause)),
    concrete(name = "ResumeCampaignPayload", params(Resume)),
    concrete(name = "CancelCampaignPayload", params(Cancel))
)]
pub struct CampaignPayload<Of: Send + Sync> {
    /// The campaign.
    campaign: Option<Campaign>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> CampaignPayload<Of> {
    /// The payload of a use case that names the campaign.
    pub async fn of(ctx: &Context<'_>, done: Done<CampaignId>) -> Result<Self> {
        let (id, user_errors) = payload(done)?;
        let campaign = match id {
            Some(id) => Campaign::find(ctx, id).await?,
            None => None,
        };
        Ok(Self { campaign, user_errors, of: PhantomData })
    }

    /// The payload of an input that cannot be read.
    pub async fn refused(ctx: &Context<'_>, refusals: Vec<Refusal>) -> Result<Self> {
        Self::of(ctx, Err(Error::Refused(refusals))).await
    }
}

/// The answer of `startCampaign`.
#[derive(Debug, SimpleObject)]
pub struct StartCampaignPayload {
    /// The campaign.
    campaign: Option<Campaign>,
    /// How many it would go to at this moment; null where too many would have to be looked at one by one, for their topics.
    audience_count: Option<i64>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

impl StartCampaignPayload {
    /// The payload of the use case.
    pub async fn of(ctx: &Context<'_>, done: Done<(CampaignId, Option<i64>)>) -> Result<Self> {
        let (started, user_errors) = payload(done)?;
        let (campaign, audience_count) = match started {
            Some((id, audience)) => (Campaign::find(ctx, id).await?, audience),
            None => (None, None),
        };
        Ok(Self { campaign, audience_count, user_errors })
    }
}

/// The answer of `setCampaignRules`.
#[derive(Debug, SimpleObject)]
pub struct SetCampaignRulesPayload {
    /// The rules.
    pub rules: Option<CampaignRules>,
    /// Why it was refused.
    pub user_errors: Vec<UserError>,
}

/// The answer of a mutation of a list.
#[derive(Debug, SimpleObject)]
#[graphql(
    concrete(name = "CreateContactListPayload", params(Create)),
    concrete(name = "RenameContactListPayload", params(Rename))
)]
pub struct ListPayload<Of: Send + Sync> {
    /// The list.
    list: Option<ContactList>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> ListPayload<Of> {
    /// The payload of a use case that names the list.
    pub async fn of(ctx: &Context<'_>, done: Done<ListId>) -> Result<Self> {
        let (id, user_errors) = payload(done)?;
        let list = match id {
            Some(id) => ContactList::find(ctx, id).await?,
            None => None,
        };
        Ok(Self { list, user_errors, of: PhantomData })
    }
}

/// The answer of `deleteContactList`.
#[derive(Debug, SimpleObject)]
pub struct DeleteContactListPayload {
    /// The id that the list had.
    pub deleted_id: Option<ID>,
    /// Why it was refused.
    pub user_errors: Vec<UserError>,
}

/// The answer of a change of who is on a list.
#[derive(Debug, SimpleObject)]
#[graphql(
    concrete(name = "AddContactsToListPayload", params(Add)),
    concrete(name = "RemoveContactsFromListPayload", params(Remove))
)]
pub struct ListChangePayload<Of: Send + Sync> {
    /// The list.
    list: Option<ContactList>,
    /// How many were put on it, or taken off it.
    count: Option<i64>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> ListChangePayload<Of> {
    /// The payload of a use case that names the list.
    pub async fn of(ctx: &Context<'_>, done: Done<(ListId, u64)>) -> Result<Self> {
        let (changed, user_errors) = payload(done)?;
        let (list, count) = match changed {
            Some((id, count)) => (ContactList::find(ctx, id).await?, i64::try_from(count).ok()),
            None => (None, None),
        };
        Ok(Self { list, count, user_errors, of: PhantomData })
    }
}
