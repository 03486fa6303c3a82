//! Changing brands, topics, consent and suppressions.

use async_graphql::{Context, Object, Result, SimpleObject};
use carillon_domain::consent as domain;
use carillon_domain::error::Error;
use carillon_domain::tenancy::{AdministerConsent, AdministerTenant, RecordConsent};

use super::inputs::{
    CreateBrandInput, CreateTopicInput, LiftSuppressionInput, RecordOptInInput, RecordOptOutInput, SuppressAddressInput,
};
use super::types::{Brand, ConsentState, Suppression, Topic};
use crate::graphql::error::{UserError, payload};
use crate::graphql::mutate::Once;
use crate::graphql::scope::RequestScope;

/// A brand that was made.
#[derive(Debug, SimpleObject)]
pub struct CreateBrandPayload {
    /// The brand, unless refused.
    brand: Option<Brand>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

/// A topic that was made.
#[derive(Debug, SimpleObject)]
pub struct CreateTopicPayload {
    /// The topic, unless refused.
    topic: Option<Topic>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

/// What is known now.
#[derive(Debug, SimpleObject)]
pub struct RecordOptInPayload {
    /// What the person said about the topic adds up to, unless refused.
    consent: Option<ConsentState>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

/// What is known now.
#[derive(Debug, SimpleObject)]
pub struct RecordOptOutPayload {
    /// What the person said about the topic adds up to, unless refused.
    consent: Option<ConsentState>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

/// An address that is not written to any more.
#[derive(Debug, SimpleObject)]
pub struct SuppressAddressPayload {
    /// The suppression, unless refused.
    suppression: Option<Suppression>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

/// A suppression that was lifted, or why not.
#[derive(Debug, SimpleObject)]
pub struct LiftSuppressionPayload {
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

/// Mutations of consent.
#[derive(Debug, Default)]
pub struct ConsentMutation;

#[Object]
impl ConsentMutation {
    /// Makes a brand, with the topic that stands for all its marketing.
    async fn create_brand(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CreateBrandInput,
    ) -> Result<CreateBrandPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<AdministerTenant>()?;
        let once = Once::new("createBrand", input.idempotency_key.as_deref(), &input);
        let result = match domain::DisplayName::parse("name", &input.name).map_err(Error::from) {
            Ok(command) => {
                scope
                    .mutate(&grant, &once, |tx, _| {
                        Box::pin(domain::create_brand(&grant, tx, scope.ports(), command.clone()))
                    })
                    .await
            }
            Err(error) => Err(error),
        };
        let (brand, user_errors) = payload(result)?;
        Ok(CreateBrandPayload { brand: brand.map(Brand::from), user_errors })
    }

    /// Makes a topic that people can agree to.
    async fn create_topic(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: CreateTopicInput,
    ) -> Result<CreateTopicPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<AdministerTenant>()?;
        let once = Once::new("createTopic", input.idempotency_key.as_deref(), &input);
        let result = match input.command() {
            Ok(command) => {
                scope
                    .mutate(&grant, &once, |tx, _| {
                        Box::pin(domain::create_topic(&grant, tx, scope.ports(), command.clone()))
                    })
                    .await
            }
            Err(error) => Err(error),
        };
        let (topic, user_errors) = payload(result)?;
        Ok(CreateTopicPayload { topic: topic.map(Topic::from), user_errors })
    }

    /// Records that a contact agreed to a topic. `CONSENT_WITHDRAWN` when the person had ended it: only a newer act of
    /// their own brings it back.
    async fn record_opt_in(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RecordOptInInput,
    ) -> Result<RecordOptInPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<RecordConsent>()?;
        let once = Once::new("recordOptIn", input.idempotency_key.as_deref(), &input);
        let result = match input.command() {
            Ok(command) => {
                scope
                    .mutate(&grant, &once, |tx, _| {
                        Box::pin(domain::record_opt_in(&grant, tx, scope.ports(), command.clone()))
                    })
                    .await
            }
            Err(error) => Err(error),
        };
        let (consent, user_errors) = payload(result)?;
        Ok(RecordOptInPayload { consent: consent.map(ConsentState::from), user_errors })
    }

    /// Records that a contact wants no more of a topic, or of all marketing; doing it again is a success.
    async fn record_opt_out(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: RecordOptOutInput,
    ) -> Result<RecordOptOutPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<RecordConsent>()?;
        let once = Once::new("recordOptOut", input.idempotency_key.as_deref(), &input);
        let result = match input.command() {
            Ok(command) => {
                scope
                    .mutate(&grant, &once, |tx, _| Box::pin(domain::record_opt_out(&grant, tx, scope.ports(), command)))
                    .await
            }
            Err(error) => Err(error),
        };
        let (consent, user_errors) = payload(result)?;
        Ok(RecordOptOutPayload { consent: consent.map(ConsentState::from), user_errors })
    }

    /// Suppresses an address, whether it is a contact's or not.
    async fn suppress_address(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: SuppressAddressInput,
    ) -> Result<SuppressAddressPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<RecordConsent>()?;
        let once = Once::new("suppressAddress", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let result = match input.command() {
            Ok(command) => {
                scope
                    .mutate(&grant, &once, |tx, _| {
                        Box::pin(domain::suppress_address(&grant, tx, scope.ports(), command.clone()))
                    })
                    .await
            }
            Err(error) => Err(error),
        };
        let (suppression, user_errors) = payload(result)?;
        Ok(SuppressAddressPayload { suppression: suppression.map(Suppression::from), user_errors })
    }

    /// Lifts a suppression, for a reason and on new evidence. Complaints and legal ones cannot be lifted.
    async fn lift_suppression(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is asked for.")] input: LiftSuppressionInput,
    ) -> Result<LiftSuppressionPayload> {
        let scope = RequestScope::of(ctx);
        let grant = scope.grant::<AdministerConsent>()?;
        let once = Once::new("liftSuppression", input.idempotency_key.as_deref(), &input);
        let result = match input.command() {
            Ok(command) => {
                scope
                    .mutate(&grant, &once, |tx, _| {
                        Box::pin(domain::lift_suppression(&grant, tx, scope.ports(), command.clone()))
                    })
                    .await
            }
            Err(error) => Err(error),
        };
        Ok(LiftSuppressionPayload { user_errors: payload(result)?.1 })
    }
}
