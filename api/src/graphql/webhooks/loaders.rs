//! What many endpoints and deliveries of one answer need, by one statement each.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use carillon_domain::ids::{WebhookDeliveryId, WebhookEndpointId};
use carillon_domain::tenancy::ReadWebhooks;
use carillon_domain::webhooks::{self, Attempt, Delivery, Endpoint};

use crate::graphql::loader::{LoadError, Rows};

/// The attempts of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptsOf(pub WebhookDeliveryId);

impl Loader<WebhookEndpointId> for Rows {
    type Value = Endpoint;
    type Error = LoadError;

    async fn load(&self, keys: &[WebhookEndpointId]) -> Result<HashMap<WebhookEndpointId, Endpoint>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWebhooks>().await?;
        let found = webhooks::find_endpoints(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|endpoint| (endpoint.id, endpoint)).collect())
    }
}

impl Loader<WebhookDeliveryId> for Rows {
    type Value = Delivery;
    type Error = LoadError;

    async fn load(&self, keys: &[WebhookDeliveryId]) -> Result<HashMap<WebhookDeliveryId, Delivery>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWebhooks>().await?;
        let found = webhooks::find_deliveries(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|delivery| (delivery.id, delivery)).collect())
    }
}

impl Loader<AttemptsOf> for Rows {
    type Value = Vec<Attempt>;
    type Error = LoadError;

    async fn load(&self, keys: &[AttemptsOf]) -> Result<HashMap<AttemptsOf, Vec<Attempt>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadWebhooks>().await?;
        let ids: Vec<WebhookDeliveryId> = keys.iter().map(|key| key.0).collect();
        let mut found: HashMap<AttemptsOf, Vec<Attempt>> = HashMap::new();
        for attempt in webhooks::attempts(&grant, &mut tx, &ids).await? {
            found.entry(AttemptsOf(attempt.delivery)).or_default().push(attempt);
        }
        Ok(found)
    }
}
