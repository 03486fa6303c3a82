//! Inputs of campaigns and lists.

use std::marker::PhantomData;

use async_graphql::{ID, InputObject, MaybeUndefined, OneofObject};
use carillon_domain::campaigns::{Audience, CampaignDraft, CampaignPatch, CampaignVariant, Schedule};
use carillon_domain::contacts::Patch;
use carillon_domain::error::Refusal;
use carillon_domain::ids::{ContactId, ListId};
use carillon_domain::workflows::BASIS_POINTS;

use crate::graphql::node::parse_id;
use crate::graphql::segments::ConditionInput;
use crate::graphql::time::{Day, Instant};

/// Whom a campaign goes to: who is on any of the lists, if there are some, the condition holds for, if there is one, and who is
/// on none of those that are excluded. What of it is not given asks for nothing; a campaign that is started has a
/// condition or a list. Whether somebody agreed is asked again when their mail would leave.
#[derive(Debug, Clone, InputObject)]
pub struct CampaignAudienceInput {
    /// What must hold.
    condition: Option<ConditionInput>,
    /// Lists, one of which they must be on.
    list_ids: Option<Vec<ID>>,
    /// Lists that they must not be on.
    excluded_list_ids: Option<Vec<ID>>,
}

impl CampaignAudienceInput {
    fn parse(&self) -> Result<Audience, Vec<Refusal>> {
        let lists = |ids: Option<&Vec<ID>>, field: &str| {
            let ids = ids.into_iter().flatten().map(|id| parse_id::<ListId>(id, field));
            ids.collect::<Result<Vec<_>, _>>().map_err(|refusal| vec![refusal])
        };
        let condition = self.condition.clone().map(|condition| condition.parse("audience.condition"));
        Ok(Audience {
            condition: condition.transpose()?,
            lists: lists(self.list_ids.as_ref(), "audience.listIds")?,
            excluded: lists(self.excluded_list_ids.as_ref(), "audience.excludedListIds")?,
        })
    }
}

/// Something that a campaign sends.
#[derive(Debug, Clone, InputObject)]
pub struct CampaignVariantInput {
    /// Its name, unique in the campaign: letters, digits, `_` and `-`.
    label: String,
    /// The template, which has subject and content; of marketing, with a published version when the campaign is started.
    template_id: ID,
    /// Its share of those whom variants are given to, in basis points; all add up to 10,000. Where none is given all have the
    /// same.
    weight_bp: Option<i32>,
}

fn variants(inputs: &[CampaignVariantInput]) -> Result<Vec<CampaignVariant>, Refusal> {
    let are_even = inputs.iter().all(|input| input.weight_bp.is_none());
    let count = u32::try_from(inputs.len()).unwrap_or(u32::MAX).max(1);
    let variant = |(place, input): (usize, &CampaignVariantInput)| {
        let even = BASIS_POINTS / count + if place == 0 { BASIS_POINTS % count } else { 0 };
        let given = u32::try_from(input.weight_bp.unwrap_or(0)).unwrap_or(u32::MAX);
        Ok(CampaignVariant {
            label: input.label.clone(),
            template: parse_id(&input.template_id, &format!("variants.{place}.templateId"))?,
            weight_bp: if are_even { even } else { given },
        })
    };
    inputs.iter().enumerate().map(variant).collect()
}

/// A day and a time, in each person's own zone.
#[derive(Debug, Clone, InputObject)]
pub struct CampaignLocalTimeInput {
    /// The day.
    day: Day,
    /// The time of that day, as `09:30`. Where it is over when the audience is written down, it is the next day's.
    time: String,
}

/// When a campaign goes out.
#[derive(Debug, Clone, OneofObject)]
pub enum CampaignScheduleInput {
    /// At an instant; at once if it lies in the past.
    At(Instant),
    /// By each person's own clock; where their zone is not known, by the tenant's.
    LocalTime(CampaignLocalTimeInput),
    /// As soon as it is started; the same as no schedule.
    Now(bool),
}

impl CampaignScheduleInput {
    fn schedule(&self) -> Schedule {
        match self {
            Self::At(at) => Schedule::At { at: at.get() },
            Self::LocalTime(local) => Schedule::LocalTime { day: local.day.get(), time: local.time.clone() },
            Self::Now(_) => Schedule::Now,
        }
    }
}

/// A campaign to draft.
#[derive(Debug, InputObject)]
pub struct CreateCampaignInput {
    /// Its name, unique in the tenant.
    name: String,
    /// To whom.
    audience: CampaignAudienceInput,
    /// Who sends.
    sender_id: ID,
    /// About what; a topic of the sender's brand.
    topic_id: ID,
    /// What is sent, one or several.
    variants: Vec<CampaignVariantInput>,
    /// The share of the audience that several variants are tried on, in basis points; the rest waits for the one that is
    /// chosen. Without it everybody gets a variant at once.
    sample_bp: Option<i32>,
    /// When; at once if nothing is said.
    schedule: Option<CampaignScheduleInput>,
    /// How many may leave in an hour.
    per_hour: Option<i32>,
    /// The same key again gives the same answer and makes nothing.
    pub idempotency_key: Option<String>,
}

impl CreateCampaignInput {
    /// The command.
    pub fn parse(&self) -> Result<CampaignDraft, Vec<Refusal>> {
        let one = |refusal| vec![refusal];
        Ok(CampaignDraft {
            name: self.name.clone(),
            audience: self.audience.parse()?,
            sender: parse_id(&self.sender_id, "senderId").map_err(one)?,
            topic: parse_id(&self.topic_id, "topicId").map_err(one)?,
            variants: variants(&self.variants).map_err(one)?,
            sample_bp: self.sample_bp.map(counted),
            schedule: self.schedule.as_ref().map_or(Schedule::Now, CampaignScheduleInput::schedule),
            per_hour: self.per_hour.map(counted),
        })
    }
}

/// Less than nothing is out of range like nothing.
fn counted(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn changed(number: MaybeUndefined<i32>) -> Patch<u32> {
    match number {
        MaybeUndefined::Undefined => Patch::Keep,
        MaybeUndefined::Null => Patch::Clear,
        MaybeUndefined::Value(number) => Patch::Set(counted(number)),
    }
}

/// What is to be different about a draft.
#[derive(Debug, InputObject)]
pub struct UpdateCampaignInput {
    /// The campaign.
    id: ID,
    /// The version you saw.
    version: i64,
    /// Another name.
    name: Option<String>,
    /// Another audience, whole.
    audience: Option<CampaignAudienceInput>,
    /// Another sender.
    sender_id: Option<ID>,
    /// Another topic.
    topic_id: Option<ID>,
    /// Other variants, all of them.
    variants: Option<Vec<CampaignVariantInput>>,
    /// Another share to try several variants on; null for none.
    sample_bp: MaybeUndefined<i32>,
    /// Another time.
    schedule: Option<CampaignScheduleInput>,
    /// Another number that may leave in an hour; null for any.
    per_hour: MaybeUndefined<i32>,
    /// The same key again gives the same answer and changes nothing.
    pub idempotency_key: Option<String>,
}

impl UpdateCampaignInput {
    /// The command.
    pub fn parse(&self) -> Result<CampaignPatch, Vec<Refusal>> {
        let one = |refusal| vec![refusal];
        Ok(CampaignPatch {
            id: parse_id(&self.id, "id").map_err(one)?,
            version: self.version,
            name: self.name.clone(),
            audience: self.audience.as_ref().map(CampaignAudienceInput::parse).transpose()?,
            sender: self.sender_id.as_ref().map(|id| parse_id(id, "senderId")).transpose().map_err(one)?,
            topic: self.topic_id.as_ref().map(|id| parse_id(id, "topicId")).transpose().map_err(one)?,
            variants: self.variants.as_deref().map(variants).transpose().map_err(one)?,
            sample_bp: changed(self.sample_bp),
            schedule: self.schedule.as_ref().map(CampaignScheduleInput::schedule),
            per_hour: changed(self.per_hour),
        })
    }
}

/// A campaign to start.
#[derive(Debug, InputObject)]
pub struct StartCampaignInput {
    /// The campaign.
    pub id: ID,
    /// The version you saw.
    pub version: i64,
    /// The same key again gives the same answer and starts nothing.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen and to how many, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

/// The variant that the rest of an audience gets.
#[derive(Debug, InputObject)]
pub struct ChooseCampaignVariantInput {
    /// The campaign.
    pub id: ID,
    /// The variant's label.
    pub label: String,
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
}

/// Which campaigns wait for an approval.
#[derive(Debug, InputObject)]
pub struct SetCampaignRulesInput {
    /// Those that go to more people than this: 0 for each; none where it is left out.
    pub approve_above: Option<i64>,
    /// Whether whoever made or started a campaign, themselves or by a key of theirs, may not approve it.
    pub four_eyes: bool,
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
}

/// Names of mutations, for the inputs and payloads they have apart although they are alike.
macro_rules! mutations {
    ($($name:ident)+) => {$(
        #[doc = concat!("`", stringify!($name), "` of a campaign or a list.")]
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}
    )+};
}
mutations! { Create Update Choose Approve Pause Resume Cancel Rename Add Remove }

/// A campaign.
#[derive(Debug, InputObject)]
#[graphql(
    concrete(name = "ApproveCampaignInput", params(Approve)),
    concrete(name = "PauseCampaignInput", params(Pause)),
    concrete(name = "ResumeCampaignInput", params(Resume))
)]
pub struct CampaignIdInput<Of: Send + Sync> {
    /// The campaign.
    pub id: ID,
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
    #[graphql(skip)]
    pub of: PhantomData<Of>,
}

/// A campaign to end for good.
#[derive(Debug, InputObject)]
pub struct CancelCampaignInput {
    /// The campaign.
    pub id: ID,
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

/// A list to make.
#[derive(Debug, InputObject)]
pub struct CreateContactListInput {
    /// Its name, unique in the tenant.
    pub name: String,
    /// The same key again gives the same answer and makes nothing.
    pub idempotency_key: Option<String>,
}

/// Another name for a list.
#[derive(Debug, InputObject)]
pub struct RenameContactListInput {
    /// The list.
    pub id: ID,
    /// The version you saw.
    pub version: i64,
    /// Its new name, unique in the tenant.
    pub name: String,
    /// The same key again gives the same answer and changes nothing.
    pub idempotency_key: Option<String>,
}

/// A list to delete.
#[derive(Debug, InputObject)]
pub struct DeleteContactListInput {
    /// The list.
    pub id: ID,
    /// The version you saw.
    pub version: i64,
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

/// Contacts that are to be on a list, or on it no more.
#[derive(Debug, InputObject)]
#[graphql(
    concrete(name = "AddContactsToListInput", params(Add)),
    concrete(name = "RemoveContactsFromListInput", params(Remove))
)]
pub struct ListChangeInput<Of: Send + Sync> {
    /// The list.
    list_id: ID,
    /// The contacts, at most 500.
    contact_ids: Vec<ID>,
    /// The same key again gives the same answer.
    pub idempotency_key: Option<String>,
    #[graphql(skip)]
    pub of: PhantomData<Of>,
}

impl<Of: Send + Sync> ListChangeInput<Of> {
    /// The list and the contacts.
    pub fn parse(&self) -> Result<(ListId, Vec<ContactId>), Refusal> {
        let contacts = self.contact_ids.iter().map(|id| parse_id(id, "contactIds"));
        Ok((parse_id(&self.list_id, "listId")?, contacts.collect::<Result<_, _>>()?))
    }
}
