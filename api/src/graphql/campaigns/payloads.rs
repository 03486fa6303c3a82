//! What the mutations of campaigns and lists answer.

use std::marker::PhantomData;

use async_graphql::{Context, ID, Result, SimpleObject};
use carillon_domain::error::{Error, Refusal, Result as Done};
use carillon_domain::ids::{CampaignId, ListId};

use super::inputs::{Add, Approve, Cancel, Choose, Create, Pause, Remove, Rename, Resume, Update};
use super::lists::ContactList;
use super::queries::CampaignRules;
use super::types::Campaign;
use crate::graphql::error::{UserError, payload, payload_at, user_errors};
use crate::graphql::node::named;

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
    /// The campaign as it is now, beside `CONFLICT` too.
    campaign: Option<Campaign>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> CampaignPayload<Of> {
    /// The payload of a use case that names the campaign.
    pub async fn of(ctx: &Context<'_>, done: Done<CampaignId>) -> Result<Self> {
        Self::showing(ctx, payload(done)?).await
    }

    /// The same of one that names the version of the campaign that its caller saw.
    pub async fn at(ctx: &Context<'_>, done: Done<CampaignId>, seen: CampaignId) -> Result<Self> {
        Self::showing(ctx, payload_at(done, seen)?).await
    }

    async fn showing(ctx: &Context<'_>, (id, user_errors): (Option<CampaignId>, Vec<UserError>)) -> Result<Self> {
        let campaign = named(id, |id| Campaign::find(ctx, id)).await?;
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
    /// The campaign as it is now, beside `CONFLICT` too.
    campaign: Option<Campaign>,
    /// How many it would go to at this moment; null where too many would have to be looked at one by one, for their topics.
    audience_count: Option<i64>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

impl StartCampaignPayload {
    /// The payload of the use case, of a campaign that its caller saw.
    pub async fn at(ctx: &Context<'_>, done: Done<(CampaignId, Option<i64>)>, seen: CampaignId) -> Result<Self> {
        let (started, user_errors) = payload_at(done, (seen, None))?;
        let (campaign, audience_count) = match started {
            Some((id, audience)) => (Campaign::find(ctx, id).await?, audience),
            None => (None, None),
        };
        Ok(Self { campaign, audience_count, user_errors })
    }

    /// The payload of an input that cannot be read.
    pub fn refused(refusal: Refusal) -> Self {
        Self { campaign: None, audience_count: None, user_errors: user_errors([refusal]) }
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
    /// The list as it is now, beside `CONFLICT` too.
    list: Option<ContactList>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> ListPayload<Of> {
    /// The payload of a use case that names the list.
    pub async fn of(ctx: &Context<'_>, done: Done<ListId>) -> Result<Self> {
        Self::showing(ctx, payload(done)?).await
    }

    /// The same of one that names the version of the list that its caller saw.
    pub async fn at(ctx: &Context<'_>, done: Done<ListId>, seen: ListId) -> Result<Self> {
        Self::showing(ctx, payload_at(done, seen)?).await
    }

    async fn showing(ctx: &Context<'_>, (id, user_errors): (Option<ListId>, Vec<UserError>)) -> Result<Self> {
        let list = named(id, |id| ContactList::find(ctx, id)).await?;
        Ok(Self { list, user_errors, of: PhantomData })
    }
}

/// The answer of `deleteContactList`.
#[derive(Debug, SimpleObject)]
pub struct DeleteContactListPayload {
    /// The id that the list had.
    deleted_id: Option<ID>,
    /// The list as it is now, beside `CONFLICT` alone.
    list: Option<ContactList>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

impl DeleteContactListPayload {
    /// The payload of the use case, of a list that its caller saw.
    pub async fn at(ctx: &Context<'_>, done: Done<ListId>, seen: ListId) -> Result<Self> {
        let (shown, user_errors) = payload_at(done.map(Some), None)?;
        let (deleted_id, list) = match shown {
            Some(Some(id)) => (Some(id.into()), None),
            Some(None) => (None, ContactList::find(ctx, seen).await?),
            None => (None, None),
        };
        Ok(Self { deleted_id, list, user_errors })
    }

    /// The payload of an input that cannot be read.
    pub fn refused(refusal: Refusal) -> Self {
        Self { deleted_id: None, list: None, user_errors: user_errors([refusal]) }
    }
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
