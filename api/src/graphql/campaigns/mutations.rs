//! Drafting, starting, approving, holding and ending campaigns.

use async_graphql::{Context, Object, Result};
use carillon_domain::campaigns::{self, CampaignRules};
use carillon_domain::ids::CampaignId;
use carillon_domain::tenancy::{ApproveCampaigns, PublishCampaigns, WriteCampaigns};

use super::inputs::{
    Approve, CampaignIdInput, Cancel, CancelCampaignInput, Choose, ChooseCampaignVariantInput, Create,
    CreateCampaignInput, Pause, Resume, SetCampaignRulesInput, StartCampaignInput, Update, UpdateCampaignInput,
};
use super::payloads::{CampaignPayload, SetCampaignRulesPayload, StartCampaignPayload};
use crate::graphql::error::payload;
use crate::graphql::mutate::Once;
use crate::graphql::node::parse_id;
use crate::graphql::scope::RequestScope;

/// Mutations of campaigns.
#[derive(Debug, Default)]
pub struct CampaignMutation;

#[Object]
impl CampaignMutation {
    /// Drafts a campaign; nothing of it leaves before it is started.
    async fn create_campaign(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The campaign.")] input: CreateCampaignInput,
    ) -> Result<CampaignPayload<Create>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<WriteCampaigns>()?;
        let once = Once::new("createCampaign", input.idempotency_key.as_deref(), &input);
        let draft = &match input.parse() {
            Ok(draft) => draft,
            Err(refusals) => return CampaignPayload::refused(ctx, refusals).await,
        };
        let made = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(campaigns::create_campaign(grant, tx, scope.ports(), draft.clone()).await?.id) })
        });
        CampaignPayload::of(ctx, made.await).await
    }

    /// Changes a draft that is at the version you saw, else `CONFLICT`.
    async fn update_campaign(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be different.")] input: UpdateCampaignInput,
    ) -> Result<CampaignPayload<Update>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<WriteCampaigns>()?;
        let once = Once::new("updateCampaign", input.idempotency_key.as_deref(), &input);
        let patch = &match input.parse() {
            Ok(patch) => patch,
            Err(refusals) => return CampaignPayload::refused(ctx, refusals).await,
        };
        let changed = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(campaigns::update_campaign(grant, tx, scope.ports(), patch.clone()).await?.id) })
        });
        CampaignPayload::at(ctx, changed.await, patch.id).await
    }

    /// Starts a draft that is at the version you saw, else `CONFLICT`: what it sends is fixed, its time is awaited, and then its
    /// audience is written down, once. Whoever agrees or leaves later is asked for when their mail would leave.
    async fn start_campaign(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The campaign.")] input: StartCampaignInput,
    ) -> Result<StartCampaignPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishCampaigns>()?;
        let once = Once::new("startCampaign", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let id: CampaignId = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return Ok(StartCampaignPayload::refused(refusal)),
        };
        let which = (id, input.version);
        let started = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move {
                let started = campaigns::start_campaign(grant, tx, scope.ports(), which).await?;
                Ok((started.campaign.id, started.audience))
            })
        });
        let started = started.await;
        if started.is_ok() {
            scope.doorbell(&once).ring_campaigns();
        }
        StartCampaignPayload::at(ctx, started, id).await
    }

    /// Approves a campaign that was started: a large one, or one that the tenant's rules name, goes out only then. It may be
    /// done before anybody knows whether it is needed.
    async fn approve_campaign(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The campaign.")] input: CampaignIdInput<Approve>,
    ) -> Result<CampaignPayload<Approve>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<ApproveCampaigns>()?;
        let once = Once::new("approveCampaign", input.idempotency_key.as_deref(), &input);
        let id = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return CampaignPayload::refused(ctx, vec![refusal]).await,
        };
        let approved = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(campaigns::approve_campaign(grant, tx, scope.ports(), id).await?.id) })
        });
        let approved = approved.await;
        if approved.is_ok() {
            scope.doorbell(&once).ring_campaigns();
        }
        CampaignPayload::of(ctx, approved).await
    }

    /// Holds a campaign: once this is answered nothing of it leaves until it is resumed.
    async fn pause_campaign(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The campaign.")] input: CampaignIdInput<Pause>,
    ) -> Result<CampaignPayload<Pause>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishCampaigns>()?;
        let once = Once::new("pauseCampaign", input.idempotency_key.as_deref(), &input);
        let id = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return CampaignPayload::refused(ctx, vec![refusal]).await,
        };
        let paused = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(campaigns::pause_campaign(grant, tx, scope.ports(), id).await?.id) })
        });
        CampaignPayload::of(ctx, paused.await).await
    }

    /// Lets a held campaign go on where it was.
    async fn resume_campaign(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The campaign.")] input: CampaignIdInput<Resume>,
    ) -> Result<CampaignPayload<Resume>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishCampaigns>()?;
        let once = Once::new("resumeCampaign", input.idempotency_key.as_deref(), &input);
        let id = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return CampaignPayload::refused(ctx, vec![refusal]).await,
        };
        let resumed = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(campaigns::resume_campaign(grant, tx, scope.ports(), id).await?.id) })
        });
        let resumed = resumed.await;
        if resumed.is_ok() {
            scope.doorbell(&once).ring_campaigns();
        }
        CampaignPayload::of(ctx, resumed).await
    }

    /// Ends a campaign for good: once this is answered nothing of it leaves any more. What is queued is taken back from then on,
    /// which takes a while for much.
    async fn cancel_campaign(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The campaign.")] input: CancelCampaignInput,
    ) -> Result<CampaignPayload<Cancel>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishCampaigns>()?;
        let once = Once::new("cancelCampaign", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let id = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return CampaignPayload::refused(ctx, vec![refusal]).await,
        };
        let cancelled = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(campaigns::cancel_campaign(grant, tx, scope.ports(), id).await?.id) })
        });
        let cancelled = cancelled.await;
        if cancelled.is_ok() {
            scope.doorbell(&once).ring_campaigns();
        }
        CampaignPayload::of(ctx, cancelled).await
    }

    /// Has those who wait for it get a variant; it is chosen once, by a person. `variantCounts` has what there is to choose by.
    async fn choose_campaign_variant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The variant.")] input: ChooseCampaignVariantInput,
    ) -> Result<CampaignPayload<Choose>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishCampaigns>()?;
        let once = Once::new("chooseCampaignVariant", input.idempotency_key.as_deref(), &input);
        let which = match parse_id(&input.id, "id") {
            Ok(id) => (id, input.label.as_str()),
            Err(refusal) => return CampaignPayload::refused(ctx, vec![refusal]).await,
        };
        let chosen = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(campaigns::choose_variant(grant, tx, scope.ports(), which).await?.id) })
        });
        let chosen = chosen.await;
        if chosen.is_ok() {
            scope.doorbell(&once).ring_campaigns();
        }
        CampaignPayload::of(ctx, chosen).await
    }

    /// Says which campaigns wait for an approval from now on.
    async fn set_campaign_rules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rules.")] input: SetCampaignRulesInput,
    ) -> Result<SetCampaignRulesPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<ApproveCampaigns>()?;
        let once = Once::new("setCampaignRules", input.idempotency_key.as_deref(), &input);
        let rules = CampaignRules { approve_above: input.approve_above, four_eyes: input.four_eyes };
        let set = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move {
                campaigns::set_campaign_rules(grant, tx, scope.ports(), rules).await?;
                Ok(())
            })
        });
        let (set, user_errors) = payload(set.await)?;
        Ok(SetCampaignRulesPayload { rules: set.map(|()| rules.into()), user_errors })
    }
}
