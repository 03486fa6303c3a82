//! Changing templates and partials.

use std::marker::PhantomData;

use async_graphql::{Context, Object, Result, SimpleObject};
use carillon_domain::error::{Error, Refusal};
use carillon_domain::ids::{PartialId, TemplateId, TemplateVersionId};
use carillon_domain::messaging::{self, MessageClass};
use carillon_domain::tenancy::PublishTemplates;

use super::content_types::{Partial, Template, TemplateVersion};
use super::template_inputs::{
    CreatePartialInput, CreateTemplateInput, PublishTemplateVersionInput, UpdatePartialInput,
};
use crate::graphql::error::{UserError, payload, payload_at, user_errors};
use crate::graphql::mutate::Once;
use crate::graphql::node::named;
use crate::graphql::scope::RequestScope;

/// Mutations of templates.
#[derive(Debug, Default)]
pub struct TemplateMutation;

#[Object]
impl TemplateMutation {
    /// Makes a template; it has no content until a version is published.
    async fn create_template(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The template.")] input: CreateTemplateInput,
    ) -> Result<CreateTemplatePayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishTemplates>()?;
        let (name, class): (_, MessageClass) = (input.name.as_str(), input.class.into());
        let once = Once::new("createTemplate", input.idempotency_key.as_deref(), &input);
        let made = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move {
                let template = messaging::create_template(grant, tx, scope.ports(), name, class).await?;
                Ok(template.id)
            })
        });
        let (id, user_errors): (Option<TemplateId>, _) = payload(made.await)?;
        let template = named(id, |id| Template::find(ctx, id)).await.transpose();
        Ok(CreateTemplatePayload { template, user_errors })
    }

    /// Checks and publishes a version of a template; it never changes after.
    async fn publish_template_version(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The version.")] input: PublishTemplateVersionInput,
    ) -> Result<PublishTemplateVersionPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishTemplates>()?;
        let command = &match input.parse() {
            Ok(command) => command,
            Err(refusal) => return Ok(PublishTemplateVersionPayload::refused(refusal)),
        };
        let once = Once::new("publishTemplateVersion", input.idempotency_key.as_deref(), &input);
        let published = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move {
                let published = messaging::publish_version(grant, tx, scope.ports(), command.clone()).await?;
                Ok((published.version.id, user_errors(published.warnings.into_iter().map(Refusal::from))))
            })
        });
        let (published, user_errors): (Option<(TemplateVersionId, _)>, _) = payload(published.await)?;
        let (template_version, warnings) = match published {
            Some((id, warnings)) => (TemplateVersion::find(ctx, id).await.transpose(), warnings),
            None => (None, Vec::new()),
        };
        Ok(PublishTemplateVersionPayload { template_version, warnings, user_errors })
    }

    /// Makes a partial, which templates include by its name.
    async fn create_partial(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The partial.")] input: CreatePartialInput,
    ) -> Result<PartialPayload<Create>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishTemplates>()?;
        let command = &input.command();
        let once = Once::new("createPartial", input.idempotency_key.as_deref(), &input);
        let made = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(messaging::create_partial(grant, tx, scope.ports(), command.clone()).await?.id) })
        });
        PartialPayload::of(ctx, made.await).await
    }

    /// Changes a partial for versions that are yet to be published; those that are published stay as they are.
    async fn update_partial(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be different.")] input: UpdatePartialInput,
    ) -> Result<PartialPayload<Update>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<PublishTemplates>()?;
        let command = &match input.parse() {
            Ok(command) => command,
            Err(refusal) => return PartialPayload::of(ctx, Err(refusal.into())).await,
        };
        let once = Once::new("updatePartial", input.idempotency_key.as_deref(), &input);
        let changed = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { Ok(messaging::update_partial(grant, tx, scope.ports(), command.clone()).await?.id) })
        });
        PartialPayload::showing(ctx, payload_at(changed.await, command.id)?).await
    }
}

/// The answer of `createTemplate`.
#[derive(Debug, SimpleObject)]
pub struct CreateTemplatePayload {
    /// The template. Needs the right to see messages.
    template: Option<Result<Template>>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

/// The answer of `publishTemplateVersion`.
#[derive(Debug, SimpleObject)]
pub struct PublishTemplateVersionPayload {
    /// The version. Needs the right to see messages.
    template_version: Option<Result<TemplateVersion>>,
    /// What its author should know; it is published all the same.
    warnings: Vec<UserError>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

impl PublishTemplateVersionPayload {
    fn refused(refusal: Refusal) -> Self {
        Self { template_version: None, warnings: Vec::new(), user_errors: user_errors([refusal]) }
    }
}

/// `createPartial`.
#[derive(Debug)]
pub enum Create {}

/// `updatePartial`.
#[derive(Debug)]
pub enum Update {}

/// The answer of a mutation of a partial.
#[derive(Debug, SimpleObject)]
#[graphql(
    concrete(name = "CreatePartialPayload", params(Create)),
    concrete(name = "UpdatePartialPayload", params(Update))
)]
pub struct PartialPayload<Of: Send + Sync> {
    /// The partial as it is now, beside `CONFLICT` too. Needs the right to see messages.
    partial: Option<Result<Partial>>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> PartialPayload<Of> {
    async fn of(ctx: &Context<'_>, result: std::result::Result<PartialId, Error>) -> Result<Self> {
        Self::showing(ctx, payload(result)?).await
    }

    async fn showing(ctx: &Context<'_>, (id, user_errors): (Option<PartialId>, Vec<UserError>)) -> Result<Self> {
        let partial = named(id, |id| Partial::find(ctx, id)).await.transpose();
        Ok(Self { partial, user_errors, of: PhantomData })
    }
}
