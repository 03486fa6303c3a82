//! Making, changing, testing and deleting endpoints, and telling again.

use async_graphql::{Context, Object, Result};
use carillon_domain::tenancy::AdministerWebhooks;
use carillon_domain::webhooks;

use super::inputs::{
    Create, CreateWebhookEndpointInput, Delete, DeleteWebhookEndpointInput, ReplayWebhooksInput, Rotate, Test, Update,
    UpdateWebhookEndpointInput, WebhookEndpointIdInput,
};
use super::payloads::{
    ReplayWebhooksPayload, TestWebhookEndpointPayload, WebhookEndpointPayload, WebhookSecretPayload,
};
use crate::graphql::mutate::Once;
use crate::graphql::node::parse_id;
use crate::graphql::scope::RequestScope;

/// Mutations of webhooks.
#[derive(Debug, Default)]
pub struct WebhookMutation;

#[Object]
impl WebhookMutation {
    /// Makes a webhook endpoint, at most 20 in a tenant; what happens from then on is told to it. Its secret is shown in this
    /// answer only.
    async fn create_webhook_endpoint(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The endpoint.")] input: CreateWebhookEndpointInput,
    ) -> Result<WebhookSecretPayload<Create>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<AdministerWebhooks>()?;
        let once = Once::new("createWebhookEndpoint", input.idempotency_key.as_deref(), &input);
        let command = &input.parse();
        let made = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move {
                let made = webhooks::create_endpoint(grant, tx, scope.ports(), command).await?;
                Ok((made.id, made.secret))
            })
        });
        WebhookSecretPayload::of(ctx, made.await).await
    }

    /// Changes a webhook endpoint that is at the version you saw, else `CONFLICT`. One that is enabled again goes on with
    /// what waited for it.
    async fn update_webhook_endpoint(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be different.")] input: UpdateWebhookEndpointInput,
    ) -> Result<WebhookEndpointPayload<Update>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<AdministerWebhooks>()?;
        let once = Once::new("updateWebhookEndpoint", input.idempotency_key.as_deref(), &input);
        let command = &match input.parse() {
            Ok(command) => command,
            Err(refusal) => return WebhookEndpointPayload::of(ctx, Err(refusal.into())).await,
        };
        let changed = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { webhooks::update_endpoint(grant, tx, scope.ports(), command).await })
        });
        let changed = changed.await;
        if changed.is_ok() {
            scope.doorbell(&once).ring_webhooks();
        }
        WebhookEndpointPayload::at(ctx, changed, command.id).await
    }

    /// Deletes a webhook endpoint, at once and for good; the log of what was delivered to it stays.
    async fn delete_webhook_endpoint(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The endpoint.")] input: DeleteWebhookEndpointInput,
    ) -> Result<WebhookEndpointPayload<Delete>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<AdministerWebhooks>()?;
        let once = Once::new("deleteWebhookEndpoint", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let id = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return WebhookEndpointPayload::of(ctx, Err(refusal.into())).await,
        };
        let deleted = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { webhooks::delete_endpoint(grant, tx, scope.ports(), id).await })
        });
        WebhookEndpointPayload::of(ctx, deleted.await).await
    }

    /// Gives a webhook endpoint another secret, shown in this answer only. For 24 hours the one before signs as well.
    async fn rotate_webhook_endpoint_secret(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The endpoint.")] input: WebhookEndpointIdInput<Rotate>,
    ) -> Result<WebhookSecretPayload<Rotate>> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<AdministerWebhooks>()?;
        let once = Once::new("rotateWebhookEndpointSecret", input.idempotency_key.as_deref(), &input);
        let id = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return WebhookSecretPayload::of(ctx, Err(refusal.into())).await,
        };
        let made = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move {
                let made = webhooks::rotate_secret(grant, tx, scope.ports(), id).await?;
                Ok((made.id, made.secret))
            })
        });
        WebhookSecretPayload::of(ctx, made.await).await
    }

    /// Sends `webhook.test` to an endpoint that is enabled, whatever it listens to.
    async fn test_webhook_endpoint(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The endpoint.")] input: WebhookEndpointIdInput<Test>,
    ) -> Result<TestWebhookEndpointPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<AdministerWebhooks>()?;
        let once = Once::new("testWebhookEndpoint", input.idempotency_key.as_deref(), &input);
        let id = match parse_id(&input.id, "id") {
            Ok(id) => id,
            Err(refusal) => return TestWebhookEndpointPayload::of(ctx, Err(refusal.into())).await,
        };
        let queued = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { webhooks::test_endpoint(grant, tx, scope.ports(), id).await })
        });
        let queued = queued.await;
        if queued.is_ok() {
            scope.doorbell(&once).ring_webhooks();
        }
        TestWebhookEndpointPayload::of(ctx, queued).await
    }

    /// Tells an endpoint again: what named deliveries told, or what happened in a span of time. The events keep their ids.
    async fn replay_webhooks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to tell again.")] input: ReplayWebhooksInput,
    ) -> Result<ReplayWebhooksPayload> {
        let scope = RequestScope::of(ctx);
        let grant = &scope.grant::<AdministerWebhooks>()?;
        let once = Once::new("replayWebhooks", input.idempotency_key.as_deref(), &input).dry(input.dry_run);
        let command = &match input.parse() {
            Ok(command) => command,
            Err(refusal) => return ReplayWebhooksPayload::of(Err(refusal.into())),
        };
        let queued = scope.mutate(grant, &once, |tx, _| {
            Box::pin(async move { webhooks::replay(grant, tx, scope.ports(), command).await })
        });
        let queued = queued.await;
        if queued.is_ok() {
            scope.doorbell(&once).ring_webhooks();
        }
        ReplayWebhooksPayload::of(queued)
    }
}
