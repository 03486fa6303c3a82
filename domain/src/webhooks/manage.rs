//! Endpoints: making, changing, testing and deleting them.

use carillon_entities::ids::{WebhookDeliveryId, WebhookEndpointId, WebhookEventId};
use carillon_entities::wall::TenantTx;
use serde_json::json;

use super::outbox::{NewDelivery, NewEvent};
use super::secret::{OVERLAP, Secret, previous_place, secret_place};
use super::store::endpoints::{
    SealedSecrets, endpoint_insert, endpoint_lock, endpoint_update, endpoint_wake, endpoints_count, secret_find,
    secrets_set,
};
use super::store::{deliveries, outbox};
use super::{
    DisabledReason, Endpoint, EndpointState, EndpointTested, EndpointUrl, Happening, WebhookEventType, WebhookReach,
};
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{AdministerWebhooks, Deed, Grant, record};

/// Endpoints that a tenant may have.
pub const ENDPOINTS_MAX: i64 = 20;

/// The longest description.
const DESCRIPTION_MAX: usize = 500;

/// A new endpoint.
#[derive(Debug, Clone)]
pub struct CreateEndpoint {
    /// Where it is.
    pub url: String,
    /// What its owner says of it.
    pub description: String,
    /// What it listens to.
    pub event_types: Vec<WebhookEventType>,
}

/// What is to be different about an endpoint.
#[derive(Debug, Clone)]
pub struct UpdateEndpoint {
    /// Which.
    pub id: WebhookEndpointId,
    /// The version the caller saw.
    pub version: i64,
    /// Another place.
    pub url: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Other things to listen to.
    pub event_types: Option<Vec<WebhookEventType>>,
    /// Whether it is to be told anything.
    pub enabled: Option<bool>,
}

/// An endpoint with its secret, which is shown this once.
#[derive(Clone)]
pub struct MadeEndpoint {
    /// Which.
    pub id: WebhookEndpointId,
    /// `whsec_` and the secret in base64.
    pub secret: String,
}

impl std::fmt::Debug for MadeEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MadeEndpoint({})", self.id)
    }
}

/// Makes an endpoint; what happens from then on is told to it.
///
/// # Errors
/// `INVALID_URL`, `URL_NOT_PUBLIC`, `INVALID_TEXT`, `BAD_COUNT` without anything to listen to, `LIMIT_REACHED`.
pub async fn create_endpoint(
    grant: &Grant<AdministerWebhooks>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: &CreateEndpoint,
) -> Result<MadeEndpoint> {
    let url = EndpointUrl::parse(&command.url, WebhookReach::of(ports.settings.embedded))?;
    if endpoints_count(tx).await? >= ENDPOINTS_MAX {
        let message = format!("A tenant has at most {ENDPOINTS_MAX} webhook endpoints.");
        return Err(Refusal::new("LIMIT_REACHED", "", message).into());
    }
    let now = ports.now();
    let endpoint = Endpoint {
        id: ports.new_id(),
        url: url.as_str().to_owned(),
        description: description_of(&command.description)?,
        state: EndpointState::Enabled,
        reason: None,
        event_types: types_of(&command.event_types)?,
        previous_until: None,
        failing_since: None,
        disabled_at: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let secret = Secret::generate(ports.entropy.as_ref());
    let sealed = secret.seal(ports, &secret_place(grant.tenant(), endpoint.id));
    endpoint_insert(tx, &endpoint, sealed).await?;
    record(tx, ports, grant.actor(), Deed::new("webhook.create", endpoint.id.0)).await?;
    Ok(MadeEndpoint { id: endpoint.id, secret: secret.shown() })
}

/// Changes an endpoint. One that is enabled again goes on with what was queued for it.
///
/// # Errors
/// `CONFLICT`, `NOT_FOUND`, and those of [`create_endpoint`].
pub async fn update_endpoint(
    grant: &Grant<AdministerWebhooks>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: &UpdateEndpoint,
) -> Result<WebhookEndpointId> {
    let mut endpoint = locked(tx, command.id, "id").await?;
    if endpoint.version != command.version {
        let message = format!("The endpoint is at version {} by now.", endpoint.version);
        return Err(Refusal::new("CONFLICT", "version", message).into());
    }
    let before = endpoint.clone();
    if let Some(url) = &command.url {
        let url = EndpointUrl::parse(url, WebhookReach::of(ports.settings.embedded))?;
        url.as_str().clone_into(&mut endpoint.url);
        if endpoint.url != before.url {
            // How long the place before failed is not held against this one.
            endpoint.failing_since = None;
        }
    }
    if let Some(description) = &command.description {
        endpoint.description = description_of(description)?;
    }
    if let Some(event_types) = &command.event_types {
        endpoint.event_types = types_of(event_types)?;
    }
    let now = ports.now();
    match (command.enabled, endpoint.state) {
        (Some(true), EndpointState::Disabled) => {
            endpoint.state = EndpointState::Enabled;
            (endpoint.reason, endpoint.failing_since, endpoint.disabled_at) = (None, None, None);
        }
        (Some(false), EndpointState::Enabled) => {
            endpoint.state = EndpointState::Disabled;
            (endpoint.reason, endpoint.disabled_at) = (Some(DisabledReason::Owner), Some(now));
        }
        _ => {}
    }
    endpoint.version += 1;
    endpoint.updated_at = now;
    endpoint_update(tx, &endpoint).await?;
    let detail = json!({ "state": endpoint.state, "changed": changed(&before, &endpoint) });
    let deed = Deed::new("webhook.update", endpoint.id.0).with(detail);
    record(tx, ports, grant.actor(), deed).await?;
    Ok(endpoint.id)
}

/// Names of what differs: who had what happens told to another place is for the audit log to say, where that is may be a secret.
fn changed(before: &Endpoint, after: &Endpoint) -> Vec<&'static str> {
    let fields = [
        ("url", before.url != after.url),
        ("description", before.description != after.description),
        ("eventTypes", before.event_types != after.event_types),
        ("state", before.state != after.state),
    ];
    fields.into_iter().filter_map(|(name, is_other)| is_other.then_some(name)).collect()
}

/// Deletes an endpoint: it is told nothing any more, its secrets are destroyed, and the log of its deliveries stays.
pub async fn delete_endpoint(
    grant: &Grant<AdministerWebhooks>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: WebhookEndpointId,
) -> Result<WebhookEndpointId> {
    let mut endpoint = locked(tx, id, "id").await?;
    endpoint.state = EndpointState::Deleted;
    endpoint.url.clear();
    endpoint.description.clear();
    endpoint.event_types.clear();
    endpoint.version += 1;
    endpoint.updated_at = ports.now();
    endpoint_update(tx, &endpoint).await?;
    secrets_set(tx, id, SealedSecrets { secret: Vec::new(), previous: None }).await?;
    deliveries::deliveries_cancel(tx, id, ports.now()).await?;
    record(tx, ports, grant.actor(), Deed::new("webhook.delete", id.0)).await?;
    Ok(id)
}

/// Gives an endpoint another secret; the one before signs as well for [`OVERLAP`].
pub async fn rotate_secret(
    grant: &Grant<AdministerWebhooks>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: WebhookEndpointId,
) -> Result<MadeEndpoint> {
    locked(tx, id, "id").await?;
    let tenant = grant.tenant();
    let sealed = secret_find(tx, id).await?.ok_or_else(|| Refusal::not_found("id"))?;
    let before = Secret::open(ports, &secret_place(tenant, id), &sealed)?;
    let secret = Secret::generate(ports.entropy.as_ref());
    let secrets = SealedSecrets {
        secret: secret.seal(ports, &secret_place(tenant, id)),
        previous: Some((before.seal(ports, &previous_place(tenant, id)), ports.now() + OVERLAP)),
    };
    secrets_set(tx, id, secrets).await?;
    record(tx, ports, grant.actor(), Deed::new("webhook.rotate_secret", id.0)).await?;
    Ok(MadeEndpoint { id, secret: secret.shown() })
}

/// Sends `webhook.test` to an endpoint at once, whatever it listens to.
///
/// # Errors
/// `NOT_FOUND`, `ENDPOINT_DISABLED`.
pub async fn test_endpoint(
    _: &Grant<AdministerWebhooks>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: WebhookEndpointId,
) -> Result<WebhookDeliveryId> {
    let endpoint = locked(tx, id, "id").await?;
    assert_enabled(&endpoint, "id")?;
    endpoint_wake(tx, id).await?;
    let happening = Happening::Test(EndpointTested { endpoint_id: id });
    let event_type = happening.event_type();
    let event: WebhookEventId = ports.new_id();
    let new = NewEvent { id: event, event_type, data: happening.data()? };
    outbox::events_insert(tx, vec![new], ports.now()).await?;
    let delivery = NewDelivery { id: ports.new_id(), endpoint: id, event, event_type };
    deliveries::deliveries_insert(tx, &[delivery], ports.now()).await?;
    Ok(delivery.id)
}

/// An endpoint that is not deleted, locked.
pub(super) async fn locked(tx: &mut TenantTx, id: WebhookEndpointId, field: &str) -> Result<Endpoint> {
    let endpoint = endpoint_lock(tx, id).await?.filter(|endpoint| endpoint.state != EndpointState::Deleted);
    endpoint.ok_or_else(|| Refusal::not_found(field).into())
}

/// Refuses what would only wait.
pub(super) fn assert_enabled(endpoint: &Endpoint, field: &str) -> Result<(), Refusal> {
    if endpoint.state == EndpointState::Enabled {
        return Ok(());
    }
    Err(Refusal::new("ENDPOINT_DISABLED", field, "The endpoint is disabled: enable it first."))
}

fn description_of(text: &str) -> Result<String, Refusal> {
    if text.len() > DESCRIPTION_MAX || text.chars().any(char::is_control) {
        let message = format!("At most {DESCRIPTION_MAX} bytes on one line.");
        return Err(Refusal::new("INVALID_TEXT", "description", message));
    }
    Ok(text.to_owned())
}

fn types_of(types: &[WebhookEventType]) -> Result<Vec<WebhookEventType>, Refusal> {
    let mut types = types.to_vec();
    types.sort_unstable();
    types.dedup();
    // A test is sent to whoever asks for it.
    types.retain(|event_type| *event_type != WebhookEventType::Test);
    if types.is_empty() {
        return Err(Refusal::new("BAD_COUNT", "eventTypes", "An endpoint listens to something."));
    }
    Ok(types)
}
