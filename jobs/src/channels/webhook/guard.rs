//! The guard in the connector (C-227): a name is resolved here, for each connection, and what is connected to is what was
//! judged. A name that leads inside today and outside tomorrow gets nobody inside.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use carillon_domain::webhooks::WebhookReach;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// None of a name's addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name leads to no public address")]
pub struct AddressRefused;

/// Who tells the addresses of a name.
#[async_trait::async_trait]
pub trait Names: Send + Sync + std::fmt::Debug {
    /// The addresses of a name.
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNames;

#[async_trait::async_trait]
impl Names for SystemNames {
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Resolves for the client, and lets it see only what it may connect to.
#[derive(Debug)]
pub(super) struct Guard {
    pub names: Arc<dyn Names>,
    pub reach: WebhookReach,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(judged(Arc::clone(&self.names), self.reach, name))
    }
}

pub(super) async fn judged(
    names: Arc<dyn Names>,
    reach: WebhookReach,
    name: Name,
) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
    let mut found = names.addresses(name.as_str()).await?;
    if !carillon_domain::seeded_bugs::on("webhook_address_unchecked") {
        found.retain(|address| reach.allows(*address));
    }
    if found.is_empty() {
        return Err(AddressRefused.into());
    }
    // The client puts the URL's port in the place of 0.
    Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))))
}
