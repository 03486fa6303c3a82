//! Every address a contact ever had has an endpoint: the row that sends and unsubscribes lock (L3).

use std::collections::HashSet;

use carillon_entities::wall::TenantTx;

use super::plan::{Addresses, Wish};
use crate::consent::{Endpoints, Recipient, endpoints_ensure, endpoints_lock_for_change, endpoints_resolve};
use crate::error::Result;
use crate::keys::{AddressHash, AddressHasher};
use crate::ports::Ports;

/// Makes the endpoints of the addresses that wishes name, and locks those whose consent may change: of whoever gets
/// another address, and of those that something is said about. To be called before any contact is locked.
pub(crate) async fn hold(
    tx: &mut TenantTx,
    ports: &Ports,
    wishes: &[Wish],
    addresses: &Addresses,
    said: Vec<Recipient>,
) -> Result<Endpoints> {
    let hasher = ports.keys.address_hasher(tx.tenant());
    let mut recipients = said;
    recipients.extend(recipients_of_moves(&hasher, addresses).into_iter().flat_map(<[Recipient; 2]>::from));
    let changing: HashSet<AddressHash> = recipients.iter().map(|one| one.active().hash).collect();
    let locked = recipients.len();
    let named = wishes.iter().filter_map(|wish| wish.patch.email.value());
    let named = named.map(|email| Recipient::hashed(&hasher, email));
    recipients.extend(named.filter(|one| !changing.contains(&one.active().hash)));
    if recipients.is_empty() {
        return Ok(Endpoints::new());
    }
    let resolved = endpoints_resolve(tx, &recipients).await?;
    let keyed: Vec<_> = resolved.into_iter().zip(recipients.iter().map(Recipient::channel)).collect();
    let (changing, named) = keyed.split_at(locked);
    endpoints_ensure(tx, ports, named).await?;
    Ok(endpoints_lock_for_change(tx, ports, changing).await?)
}

/// From where to where contacts go, in the order in which they do.
pub(super) fn recipients_of_moves(hasher: &AddressHasher, addresses: &Addresses) -> Vec<(Recipient, Recipient)> {
    let recipient = |email| Recipient::hashed(hasher, email);
    addresses.moves.iter().map(|one| (recipient(&one.from), recipient(&one.to))).collect()
}
