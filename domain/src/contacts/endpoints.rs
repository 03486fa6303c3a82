//! Every address a contact ever had has an endpoint: the row that sends and unsubscribes lock (L3).

use carillon_entities::wall::TenantTx;

use super::plan::Wish;
use crate::consent::{Recipient, endpoints_ensure, endpoints_resolve};
use crate::error::Result;
use crate::ports::Ports;

/// Makes the endpoints of the addresses that wishes name, before any contact is locked.
pub(crate) async fn endpoints_of_wishes(tx: &mut TenantTx, ports: &Ports, wishes: &[Wish]) -> Result<()> {
    let hasher = ports.keys.address_hasher(tx.tenant());
    let recipients: Vec<Recipient> = wishes
        .iter()
        .filter_map(|wish| wish.patch.email.value())
        .map(|email| Recipient::hashed(&hasher, email))
        .collect();
    if recipients.is_empty() {
        return Ok(());
    }
    let addresses = endpoints_resolve(tx, &recipients).await?;
    let channels = recipients.iter().map(Recipient::channel);
    let addresses: Vec<_> = addresses.into_iter().zip(channels).collect();
    endpoints_ensure(tx, ports, &addresses).await?;
    Ok(())
}
