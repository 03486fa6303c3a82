//! Inputs of webhooks.

use std::marker::PhantomData;

use async_graphql::{ID, InputObject, OneofObject};
use carillon_domain::error::Refusal;
use carillon_domain::webhooks::{self, CreateEndpoint, DeliveryFilter, ReplayOf, UpdateEndpoint};

use super::types::{WebhookDeliveryState, WebhookEventType};
use crate::graphql::node::parse_id;
use crate::graphql::time::Instant;

/// An endpoint to make.
#[derive(Debug, InputObject)]
pub struct CreateWebhookEndpointInput {
    /// Where it is: https, to a public host, at 443 or a port from 1024 on. In the embedded mode also http on this machine.
    #[graphql(secret)]
    url: String,
    /// What you want to say of it, on one line.
    description: Option<String>,
    /// What it listens to.
    event_types: Vec<WebhookEventType>,
    /// The same key again gives the same answer, secret and all, and makes nothing.
    pub idempotency_key: Option<String>,
}

impl CreateWebhookEndpointInput {
    /// The command.
    pub fn parse(&self) -> CreateEndpoint {
        CreateEndpoint {
            url: self.url.clone(),
            description: self.description.clone().unwrap_or_default(),
            event_types: self.event_types.iter().copied().map(Into::into).collect(),
        }
    }
}

/// What is to be different about an endpoint.
#[derive(Debug, InputObject)]
pub struct UpdateWebhookEndpointInput {
    /// The endpoint.
    id: ID,
    /// The version you saw.
    version: i64,
    /// Another place.
    #[graphql(secret)]
    url: Option<String>,
    /// Another description.
    description: Option<String>,
    /// What it listens to from now on.
    event_types: Option<Vec<WebhookEventType>>,
    /// False to tell it nothing, true to go on with what waits.
    enabled: Option<bool>,
    /// The same key again gives the same answer and changes nothing.
    pub idempotency_key: Option<String>,
}

impl UpdateWebhookEndpointInput {
    /// The command.
    pub fn parse(&self) -> Result<UpdateEndpoint, Refusal> {
        let types = |types: &Vec<WebhookEventType>| types.iter().copied().map(Into::into).collect();
        Ok(UpdateEndpoint {
            id: parse_id(&self.id, "id")?,
            version: self.version,
            url: self.url.clone(),
            description: self.description.clone(),
            event_types: self.event_types.as_ref().map(types),
            enabled: self.enabled,
        })
    }
}

/// Names of mutations, for the inputs and payloads they have apart although they are alike.
macro_rules! mutations {
    ($($name:ident)+) => {$(
        #[doc = concat!("`", stringify!($name), "` of a webhook endpoint.")]
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}
    )+};
}
mutations! { Update Delete Rotate Create Test }

/// An endpoint.
#[derive(Debug, InputObject)]
#[graphql(
    concrete(name = "RotateWebhookEndpointSecretInput", params(Rotate)),
    concrete(name = "TestWebhookEndpointInput", params(Test))
)]
pub struct WebhookEndpointIdInput<Of: Send + Sync> {
    /// The endpoint.
    pub id: ID,
    /// The same key again gives the same answer, and does nothing.
    pub idempotency_key: Option<String>,
    #[graphql(skip)]
    pub of: PhantomData<Of>,
}

/// An endpoint to delete.
#[derive(Debug, InputObject)]
pub struct DeleteWebhookEndpointInput {
    /// The endpoint.
    pub id: ID,
    /// The same key again gives the same answer, and does nothing.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

/// A span of time: from an instant on, to before another.
#[derive(Debug, InputObject)]
pub struct WebhookSpanInput {
    /// From then.
    from: Instant,
    /// To before then.
    until: Instant,
    /// True to leave out what the endpoint took before.
    undelivered_only: Option<bool>,
}

/// What is told again.
#[derive(Debug, OneofObject)]
pub enum WebhookReplayInput {
    /// What these deliveries told, at most 100.
    DeliveryIds(Vec<ID>),
    /// What happened in a span of time, of what the endpoint listens to; at most 10,000 events.
    Span(WebhookSpanInput),
}

/// What to tell an endpoint again.
#[derive(Debug, InputObject)]
pub struct ReplayWebhooksInput {
    /// The endpoint.
    endpoint_id: ID,
    /// What.
    of: WebhookReplayInput,
    /// The same key again gives the same answer and tells nothing.
    pub idempotency_key: Option<String>,
    /// True for a dry run: the answer says what would happen, and nothing does. The key is left alone.
    pub dry_run: Option<bool>,
}

impl ReplayWebhooksInput {
    /// The command.
    pub fn parse(&self) -> Result<webhooks::Replay, Refusal> {
        let of = match &self.of {
            WebhookReplayInput::DeliveryIds(ids) => {
                let ids = ids.iter().enumerate().map(|(place, id)| parse_id(id, &format!("of.deliveryIds.{place}")));
                ReplayOf::Deliveries(ids.collect::<Result<_, _>>()?)
            }
            WebhookReplayInput::Span(span) => ReplayOf::Span {
                from: span.from.get(),
                until: span.until.get(),
                undelivered_only: span.undelivered_only == Some(true),
            },
        };
        Ok(webhooks::Replay { endpoint: parse_id(&self.endpoint_id, "endpointId")?, of })
    }
}

/// Which deliveries.
#[derive(Debug, Default, InputObject)]
pub struct WebhookDeliveryFilter {
    /// To this endpoint.
    endpoint_id: Option<ID>,
    /// In this state.
    state: Option<WebhookDeliveryState>,
    /// Of events of this type.
    event_type: Option<WebhookEventType>,
}

impl WebhookDeliveryFilter {
    /// The domain's filter.
    pub fn parse(self) -> Result<DeliveryFilter, Refusal> {
        let endpoint = self.endpoint_id.map(|id| parse_id(&id, "filter.endpointId")).transpose()?;
        Ok(DeliveryFilter { endpoint, state: self.state.map(Into::into), event_type: self.event_type.map(Into::into) })
    }
}
