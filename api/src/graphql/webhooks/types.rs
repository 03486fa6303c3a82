//! Endpoints, deliveries and attempts, as the API shows them.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use carillon_domain::ids::{WebhookDeliveryId, WebhookEndpointId};
use carillon_domain::webhooks as domain;
use chrono::{DateTime, Utc};

use super::loaders::AttemptsOf;
use crate::graphql::loader;

/// What webhooks are told; `webhook-events.schema.json` says what each holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::webhooks::WebhookEventType")]
pub enum WebhookEventType {
    /// `message.accepted`: a relay took responsibility for a mail.
    MessageAccepted,
    /// `message.bounced`: the mailbox does not exist; a report may say so days after `message.accepted`.
    MessageBounced,
    /// `message.failed`: a mail is over, and not for the recipient's fault.
    MessageFailed,
    /// `message.refused`: the gate said no.
    MessageRefused,
    /// `message.expired`: a mail went stale before it could leave.
    MessageExpired,
    /// `message.cancelled`: a mail was taken back.
    MessageCancelled,
    /// `message.unknown`: a mail was handed over and its outcome is hidden; it may still become another.
    MessageUnknown,
    /// `consent.granted`: somebody agreed, or confirmed that they do.
    ConsentGranted,
    /// `consent.withdrawn`: consent ended, by the person, by its age, or because the address is somebody else's.
    ConsentWithdrawn,
    /// `contact.created`: a contact came to be.
    ContactCreated,
    /// `contact.updated`: fields, tags or the state of a contact changed.
    ContactUpdated,
    /// `contact.deleted`: a contact was deleted.
    ContactDeleted,
    /// `import.finished`: an import is over, whole or not.
    ImportFinished,
    /// `workflow.finished`: somebody's way through a workflow ended.
    WorkflowFinished,
    /// `webhook.endpoint_disabled`: another endpoint was disabled because it failed.
    EndpointDisabled,
    /// `webhook.test`: what `testWebhookEndpoint` sends, whatever an endpoint listens to.
    Test,
}

/// Whether an endpoint is told anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::webhooks::EndpointState")]
pub enum WebhookEndpointState {
    /// It is.
    Enabled,
    /// It is not; what was queued waits, and what happens can be replayed.
    Disabled,
    /// It never will be again.
    Deleted,
}

/// Why an endpoint is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::webhooks::DisabledReason")]
pub enum WebhookDisabledReason {
    /// Somebody did it.
    Owner,
    /// It answered 410.
    Gone,
    /// It failed for five days.
    Failing,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::webhooks::DeliveryState")]
pub enum WebhookDeliveryState {
    /// It is tried when it is due.
    Queued,
    /// The endpoint took it.
    Delivered,
    /// It was tried as often as the schedule has it; a replay begins anew.
    Failed,
    /// Its endpoint was deleted.
    Cancelled,
}

/// What came of an attempt to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "carillon_domain::webhooks::WebhookOutcome")]
pub enum WebhookOutcome {
    /// The endpoint took it: 2xx, and nothing else.
    Delivered,
    /// It answered something else; a redirect is something else, and is not followed.
    Answered,
    /// It answered 410: it wants no more.
    Gone,
    /// It took longer than 15 seconds.
    TimedOut,
    /// There was no connection, or it broke.
    Unreachable,
    /// Its name leads to no public address.
    AddressRefused,
    /// What was to be told is past its retention.
    Forgotten,
}

/// Where what happens is told.
#[derive(Debug, Clone)]
pub struct WebhookEndpoint(pub domain::Endpoint);

impl WebhookEndpoint {
    /// The endpoint with this id.
    pub async fn find(ctx: &Context<'_>, id: WebhookEndpointId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

/// Where what happens is told. Its secret is shown when it is made or changed, and never again.
#[Object]
impl WebhookEndpoint {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Where it is; empty once it is deleted.
    async fn url(&self) -> &str {
        &self.0.url
    }

    /// What its owner says of it.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// Whether it is told anything.
    async fn state(&self) -> WebhookEndpointState {
        self.0.state.into()
    }

    /// Why not.
    async fn disabled_reason(&self) -> Option<WebhookDisabledReason> {
        self.0.reason.map(Into::into)
    }

    /// What it listens to.
    async fn event_types(&self) -> Vec<WebhookEventType> {
        self.0.event_types.iter().copied().map(Into::into).collect()
    }

    /// Until when the secret before signs as well.
    async fn previous_secret_until(&self) -> Option<DateTime<Utc>> {
        self.0.previous_until
    }

    /// Since when it does nothing but fail; after five days of that it is disabled.
    async fn failing_since(&self) -> Option<DateTime<Utc>> {
        self.0.failing_since
    }

    /// When it was disabled.
    async fn disabled_at(&self) -> Option<DateTime<Utc>> {
        self.0.disabled_at
    }

    /// Counts changes; a change must name the version it saw.
    async fn version(&self) -> i64 {
        self.0.version
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When its owner last changed it.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }
}

/// One attempt to deliver.
#[derive(Debug, SimpleObject)]
pub struct WebhookAttempt {
    /// From 1.
    number: i32,
    /// What came of it.
    outcome: WebhookOutcome,
    /// The status, if there was an answer.
    status_code: Option<i32>,
    /// How many milliseconds it took.
    duration_ms: i64,
    /// The first 512 bytes of the answer's body.
    answer: Option<String>,
    /// When it was over.
    at: DateTime<Utc>,
}

impl From<domain::Attempt> for WebhookAttempt {
    fn from(attempt: domain::Attempt) -> Self {
        let domain::Attempt { number, outcome, status_code, duration_ms, answer, at, .. } = attempt;
        Self { number, outcome: outcome.into(), status_code, duration_ms, answer, at }
    }
}

/// An event on its way to an endpoint.
#[derive(Debug, Clone)]
pub struct WebhookDelivery(pub domain::Delivery);

impl WebhookDelivery {
    /// The delivery with this id.
    pub async fn find(ctx: &Context<'_>, id: WebhookDeliveryId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

/// An event on its way to an endpoint, and what came of it.
#[Object]
impl WebhookDelivery {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// To which endpoint.
    async fn endpoint(&self, ctx: &Context<'_>) -> Result<Option<WebhookEndpoint>> {
        WebhookEndpoint::find(ctx, self.0.endpoint).await
    }

    /// The `webhook-id` of each attempt, the same for every endpoint and every replay.
    async fn event_id(&self) -> ID {
        self.0.event.into()
    }

    /// What is told.
    async fn event_type(&self) -> WebhookEventType {
        self.0.event_type.into()
    }

    /// Where it stands.
    async fn state(&self) -> WebhookDeliveryState {
        self.0.state.into()
    }

    /// When it is tried next, up to five minutes later where nobody answers at the endpoint; null when it is over.
    async fn next_attempt_at(&self) -> Option<DateTime<Utc>> {
        (self.0.state == domain::DeliveryState::Queued).then_some(self.0.due_at)
    }

    /// What came of the last attempt.
    async fn outcome(&self) -> Option<WebhookOutcome> {
        self.0.outcome.map(Into::into)
    }

    /// The status of the last answer.
    async fn status_code(&self) -> Option<i32> {
        self.0.status_code
    }

    /// The attempts, oldest first; at most eight.
    async fn attempts(&self, ctx: &Context<'_>) -> Result<Vec<WebhookAttempt>> {
        let attempts = loader::of(ctx).load_one(AttemptsOf(self.0.id)).await?;
        Ok(attempts.unwrap_or_default().into_iter().map(WebhookAttempt::from).collect())
    }

    /// When it was asked for: what it tells says itself when that was.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was over.
    async fn settled_at(&self) -> Option<DateTime<Utc>> {
        self.0.settled_at
    }
}
