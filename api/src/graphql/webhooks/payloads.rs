//! What the mutations of webhooks answer.

use std::marker::PhantomData;

use async_graphql::{Context, Result, SimpleObject};
use carillon_domain::error::Result as Done;
use carillon_domain::ids::{WebhookDeliveryId, WebhookEndpointId};

use super::inputs::{Create, Delete, Rotate, Update};
use super::types::{WebhookDelivery, WebhookEndpoint};
use crate::graphql::error::{UserError, payload, payload_at};
use crate::graphql::node::named;

/// The answer of a mutation of an endpoint.
#[derive(Debug, SimpleObject)]
#[graphql(
    concrete(name = "UpdateWebhookEndpointPayload", params(Update)),
    concrete(name = "DeleteWebhookEndpointPayload", params(Delete))
)]
pub struct WebhookEndpointPayload<Of: Send + Sync> {
    /// The endpoint as it is now, beside `CONFLICT` too.
    webhook_endpoint: Option<WebhookEndpoint>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> WebhookEndpointPayload<Of> {
    /// The payload of a use case that names the endpoint.
    pub async fn of(ctx: &Context<'_>, done: Done<WebhookEndpointId>) -> Result<Self> {
        Self::showing(ctx, payload(done)?).await
    }

    /// The same of one that names the version of the endpoint that its caller saw.
    pub async fn at(ctx: &Context<'_>, done: Done<WebhookEndpointId>, seen: WebhookEndpointId) -> Result<Self> {
        Self::showing(ctx, payload_at(done, seen)?).await
    }

    async fn showing(
        ctx: &Context<'_>,
        (id, user_errors): (Option<WebhookEndpointId>, Vec<UserError>),
    ) -> Result<Self> {
        let webhook_endpoint = named(id, |id| WebhookEndpoint::find(ctx, id)).await?;
        Ok(Self { webhook_endpoint, user_errors, of: PhantomData })
    }
}

/// The answer of a mutation that makes a secret.
#[derive(SimpleObject)]
#[graphql(
    concrete(name = "CreateWebhookEndpointPayload", params(Create)),
    concrete(name = "RotateWebhookEndpointSecretPayload", params(Rotate))
)]
pub struct WebhookSecretPayload<Of: Send + Sync> {
    /// The endpoint.
    webhook_endpoint: Option<WebhookEndpoint>,
    /// Its secret, `whsec_` and 32 bytes in base64, to verify signatures with; no other call shows it.
    secret: Option<String>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
    #[graphql(skip)]
    of: PhantomData<Of>,
}

impl<Of: Send + Sync> WebhookSecretPayload<Of> {
    /// The payload of a use case that names the endpoint and its secret.
    pub async fn of(ctx: &Context<'_>, done: Done<(WebhookEndpointId, String)>) -> Result<Self> {
        let (made, user_errors) = payload(done)?;
        let (id, secret) = made.unzip();
        let webhook_endpoint = named(id, |id| WebhookEndpoint::find(ctx, id)).await?;
        Ok(Self { webhook_endpoint, secret, user_errors, of: PhantomData })
    }
}

/// The answer of `testWebhookEndpoint`.
#[derive(Debug, SimpleObject)]
pub struct TestWebhookEndpointPayload {
    /// The delivery of the test; what comes of it is told a moment later.
    webhook_delivery: Option<WebhookDelivery>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

impl TestWebhookEndpointPayload {
    /// The payload of a use case that names the delivery.
    pub async fn of(ctx: &Context<'_>, done: Done<WebhookDeliveryId>) -> Result<Self> {
        let (id, user_errors) = payload(done)?;
        let webhook_delivery = named(id, |id| WebhookDelivery::find(ctx, id)).await?;
        Ok(Self { webhook_delivery, user_errors })
    }
}

/// The answer of `replayWebhooks`.
#[derive(Debug, SimpleObject)]
pub struct ReplayWebhooksPayload {
    /// How many deliveries there are to be; what was on its way already is not among them.
    count: Option<i32>,
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

impl ReplayWebhooksPayload {
    /// The payload of a use case that counts.
    pub fn of(done: Done<usize>) -> Result<Self> {
        let (count, user_errors) = payload(done)?;
        Ok(Self { count: count.map(|count| i32::try_from(count).unwrap_or(i32::MAX)), user_errors })
    }
}
