//! Whom an entry is about: an address known by its keyed hashes only.

use carillon_entities::ids::TenantId;

use super::Channel;
use super::store::endpoints::EndpointKey;
use crate::contacts::EmailAddress;
use crate::keys::{AddressHash, AddressHasher, AddressHmac, Keyring, VerifiedLink};

/// Somebody reached at an address, by the hashes of it that are known: under every live key where the address itself
/// is at hand (C-157), under one where only a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    channel: Channel,
    first: AddressHmac,
    /// All of them, the first too.
    hashes: Vec<AddressHmac>,
}

impl Recipient {
    /// Whoever reads mail at an address.
    pub fn of_email(keys: &Keyring, tenant: TenantId, email: &EmailAddress) -> Self {
        Self::hashed(&keys.address_hasher(tenant), email)
    }

    /// The same for many addresses, with the tenant's peppers derived once.
    pub fn hashed(peppers: &AddressHasher, email: &EmailAddress) -> Self {
        let hashes = peppers.all(Channel::Email, email.norm());
        let first = peppers.active(Channel::Email, email.norm());
        Self { channel: Channel::Email, first, hashes }
    }

    /// Whoever holds a link of ours.
    pub fn of_link(link: &VerifiedLink) -> Self {
        Self::of_hash(link.channel, link.address)
    }

    /// Whoever a stored row is about, when only its hash is left.
    pub fn of_hash(channel: Channel, hmac: AddressHmac) -> Self {
        Self { channel, first: hmac, hashes: vec![hmac] }
    }

    /// The channel.
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// The hash that new rows carry if the address was never seen.
    pub fn active(&self) -> AddressHmac {
        self.first
    }

    /// The hashes, the active one first.
    pub fn hashes(&self) -> &[AddressHmac] {
        &self.hashes
    }

    /// The bare hashes: what look-ups take.
    pub fn bare(&self) -> impl Iterator<Item = AddressHash> + '_ {
        self.hashes.iter().map(|hmac| hmac.hash)
    }

    /// The keys of the endpoints that may be this recipient's.
    pub fn keys(&self) -> impl Iterator<Item = EndpointKey> + '_ {
        self.bare().map(|hash| (hash, self.channel))
    }
}
