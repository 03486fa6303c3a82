//! Campaigns, as the API shows them.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use carillon_domain::campaigns as domain;
use carillon_domain::ids::{CampaignId, ContactId, ListId};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;

use super::answers::{CampaignCounts, CampaignRecipient, CampaignVariantCounts};
use super::loaders::{CountsOf, RecipientOf, RecipientsOf};
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::consent::Topic;
use crate::graphql::loader;
use crate::graphql::messaging::content_types::{Sender, Template};

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::campaigns::CampaignState")]
pub enum CampaignState {
    /// It is being written.
    Draft,
    /// Started; its time has not come.
    Scheduled,
    /// Its audience is being written down.
    Freezing,
    /// Its audience is known, and somebody has to approve it.
    AwaitingApproval,
    /// It goes out.
    Running,
    /// Held: nothing of it leaves until it is resumed.
    Paused,
    /// Over: everybody's message has come to its end.
    Completed,
    /// Over: nothing of it leaves any more.
    Cancelled,
}

/// Whom a campaign goes to: who is on any of the lists, if there are some, the condition holds for, if there is one, and who is
/// on none of those that are excluded.
#[derive(Debug, SimpleObject)]
pub struct CampaignAudience {
    /// What must hold, as it is stored; null where nothing must.
    condition: Option<Value>,
    /// Lists, one of which they must be on; none asks for no list.
    list_ids: Vec<ID>,
    /// Lists that they must not be on.
    excluded_list_ids: Vec<ID>,
}

/// When a campaign goes out.
#[derive(Debug, SimpleObject)]
pub struct CampaignSchedule {
    /// At this instant; null where it goes out at once or by local time.
    at: Option<DateTime<Utc>>,
    /// On this day, in each person's own zone; null where it does not go out by local time.
    day: Option<NaiveDate>,
    /// At this time of that day.
    time: Option<String>,
}

/// Something that a campaign sends.
#[derive(Debug)]
pub struct CampaignVariant(domain::CampaignVariant);

/// Something that a campaign sends.
#[Object]
impl CampaignVariant {
    /// Its name, unique in the campaign.
    async fn label(&self) -> &str {
        &self.0.label
    }

    /// Its share of those whom variants are given to, in basis points.
    async fn weight_bp(&self) -> i64 {
        self.0.weight_bp.into()
    }

    /// The template, which has subject and content.
    async fn template(&self, ctx: &Context<'_>) -> Result<Option<Template>> {
        Template::find(ctx, self.0.template).await
    }
}

/// A campaign.
#[derive(Debug, Clone)]
pub struct Campaign(pub domain::Campaign);

impl Campaign {
    /// The campaign with this id.
    pub async fn find(ctx: &Context<'_>, id: CampaignId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }

    async fn numbers(&self, ctx: &Context<'_>) -> Result<domain::CampaignCounts> {
        Ok(loader::of(ctx).load_one(CountsOf(self.0.id)).await?.unwrap_or_default())
    }
}

/// One mail to an audience, once to each.
#[Object]
impl Campaign {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Its name, unique in the tenant.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Where it stands.
    async fn state(&self) -> CampaignState {
        self.0.state.into()
    }

    /// Counts changes; a change must name the version it saw.
    async fn version(&self) -> i64 {
        self.0.version
    }

    /// To whom.
    async fn audience(&self) -> CampaignAudience {
        let ids = |lists: &[ListId]| lists.iter().map(|id| ID::from(*id)).collect();
        let audience = &self.0.audience;
        CampaignAudience {
            condition: audience.condition.as_ref().and_then(|condition| serde_json::to_value(condition).ok()),
            list_ids: ids(&audience.lists),
            excluded_list_ids: ids(&audience.excluded),
        }
    }

    /// Who sends.
    async fn sender(&self, ctx: &Context<'_>) -> Result<Option<Sender>> {
        Sender::find(ctx, self.0.sender).await
    }

    /// About what.
    async fn topic(&self, ctx: &Context<'_>) -> Result<Option<Topic>> {
        Topic::find(ctx, self.0.topic).await
    }

    /// What is sent, one or several.
    async fn variants(&self) -> Vec<CampaignVariant> {
        self.0.variants.iter().cloned().map(CampaignVariant).collect()
    }

    /// The share of the audience that the variants are tried on, in basis points; the rest waits for the one that is chosen.
    /// Null where everybody gets a variant at once.
    async fn sample_bp(&self) -> Option<i64> {
        self.0.sample_bp.map(i64::from)
    }

    /// The variant that the rest gets, once it is chosen.
    async fn chosen_variant(&self) -> Option<&str> {
        self.0.chosen_variant.as_deref()
    }

    /// When it goes out.
    async fn schedule(&self) -> CampaignSchedule {
        let none = CampaignSchedule { at: None, day: None, time: None };
        match &self.0.schedule {
            domain::Schedule::Now => none,
            domain::Schedule::At { at } => CampaignSchedule { at: Some(*at), ..none },
            domain::Schedule::LocalTime { day, time } => {
                CampaignSchedule { day: Some(*day), time: Some(time.clone()), ..none }
            }
        }
    }

    /// How many may leave in an hour; null where nothing but the relay's pace decides.
    async fn per_hour(&self) -> Option<i64> {
        self.0.per_hour.map(i64::from)
    }

    /// How many people it goes to; null until its audience is written down.
    async fn recipient_count(&self) -> Option<i64> {
        self.0.recipients
    }

    /// How many came to what; the numbers add up to those who are written down.
    async fn counts(&self, ctx: &Context<'_>) -> Result<CampaignCounts> {
        Ok(self.numbers(ctx).await?.all.into())
    }

    /// The same of each variant, with the proportions to choose by.
    async fn variant_counts(&self, ctx: &Context<'_>) -> Result<Vec<CampaignVariantCounts>> {
        Ok(self.numbers(ctx).await?.variants.into_iter().map(CampaignVariantCounts::from).collect())
    }

    /// Whom it goes to and what became of it, in the order of their contacts.
    async fn recipients(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Result<List<CampaignRecipient>> {
        let page = PageArgs::ahead(first, after)?;
        let found = loader::of(ctx).load_one(RecipientsOf(self.0.id, page)).await?;
        Ok(list(found.unwrap_or_else(|| page.empty()), |one| one.contact, CampaignRecipient))
    }

    /// Whether a contact got it, and if not why; null for whoever was not in the audience when it was written down.
    async fn recipient(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contact.")] contact_id: ID,
    ) -> Result<Option<CampaignRecipient>> {
        let Ok(contact) = contact_id.parse::<ContactId>() else { return Ok(None) };
        Ok(loader::of(ctx).load_one(RecipientOf(self.0.id, contact)).await?.map(CampaignRecipient))
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }

    /// When it was started.
    async fn started_at(&self) -> Option<DateTime<Utc>> {
        self.0.started_at
    }

    /// When it was approved.
    async fn approved_at(&self) -> Option<DateTime<Utc>> {
        self.0.approved_at
    }

    /// When its audience was written down in full.
    async fn frozen_at(&self) -> Option<DateTime<Utc>> {
        self.0.frozen_at
    }

    /// When it was over.
    async fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.0.ended_at
    }
}
