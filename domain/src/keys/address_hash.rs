//! Keyed hashes of addresses: what is kept of an address where the address itself must not be (C-124).
//!
//! The key is per tenant, so equal addresses of two tenants have unrelated hashes, and each hash names its key so that
//! a rotation loses no suppression (C-157).

use aws_lc_rs::hmac;
use carillon_entities::ids::TenantId;

use super::{KeyId, Keyring, Purpose};
use crate::consent::Channel;

/// HMAC-SHA-256 of a normalised address under a tenant's pepper.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressHash(pub [u8; 32]);

impl AddressHash {
    /// Reads a stored hash; none if it is not 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Only the first bytes: enough to tell two apart in a test, too little to look anybody up.
impl std::fmt::Debug for AddressHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AddressHash({}..)", hex::encode(&self.0[..3]))
    }
}

impl serde::Serialize for AddressHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> serde::Deserialize<'de> for AddressHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.as_ref(), &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// A hash and the key that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct AddressHmac {
    /// The key of the keyring.
    pub key: KeyId,
    /// The hash under that key.
    pub hash: AddressHash,
}

/// A tenant's derived peppers, for hashing many addresses without deriving again.
#[derive(Clone)]
pub struct AddressHasher {
    /// The active one first; never empty.
    peppers: Vec<(KeyId, hmac::Key)>,
}

impl AddressHasher {
    /// The hash that new rows carry.
    ///
    /// `norm` is the normalised address ([`crate::contacts::EmailAddress`] knows the form).
    pub fn active(&self, channel: Channel, norm: &str) -> AddressHmac {
        hash(&self.peppers[0], channel, norm)
    }

    /// The hashes under every live key, the active one first: what a look-up must try (C-157).
    pub fn all(&self, channel: Channel, norm: &str) -> Vec<AddressHmac> {
        self.peppers.iter().map(|pepper| hash(pepper, channel, norm)).collect()
    }
}

impl std::fmt::Debug for AddressHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.peppers.iter().map(|(id, _)| id)).finish()
    }
}

impl Keyring {
    /// The peppers of a tenant.
    pub fn address_hasher(&self, tenant: TenantId) -> AddressHasher {
        let pepper = |id| {
            let pepper = self.derive(id, Purpose::AddressHmac, Some(tenant))?;
            Some((id, hmac::Key::new(hmac::HMAC_SHA256, &pepper)))
        };
        AddressHasher { peppers: self.ids().filter_map(pepper).collect() }
    }

    /// The hash of one address under the active key.
    pub fn address_hmac(&self, tenant: TenantId, channel: Channel, norm: &str) -> AddressHmac {
        self.address_hasher(tenant).active(channel, norm)
    }
}

fn hash((key, pepper): &(KeyId, hmac::Key), channel: Channel, norm: &str) -> AddressHmac {
    let mut context = hmac::Context::with_key(pepper);
    context.update(channel.as_str().as_bytes());
    context.update(&[0]);
    context.update(norm.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.sign().as_ref());
    AddressHmac { key: *key, hash: AddressHash(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    fn tenant(n: u128) -> TenantId {
        TenantId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn c124_hashes_are_keyed_per_tenant() {
        let ring = Keyring::generate(&SeededEntropy::new(1));
        let other = Keyring::generate(&SeededEntropy::new(2));
        let hash = |ring: &Keyring, n| ring.address_hmac(tenant(n), Channel::Email, "ada@example.org").hash;
        assert_eq!(hash(&ring, 1), hash(&ring, 1));
        assert_ne!(hash(&ring, 1), hash(&ring, 2));
        assert_ne!(hash(&ring, 1), hash(&other, 1));
    }

    #[test]
    fn c157_rotation_keeps_every_old_hash_findable() {
        let old = Keyring::generate(&SeededEntropy::new(1));
        let stored = old.address_hmac(tenant(1), Channel::Email, "ada@example.org");
        let new = old.rotated(&SeededEntropy::new(2)).rotated(&SeededEntropy::new(3));
        let tried = new.address_hasher(tenant(1)).all(Channel::Email, "ada@example.org");
        assert_eq!(tried.len(), 3);
        assert!(tried.contains(&stored));
        assert_eq!(tried[0], new.address_hmac(tenant(1), Channel::Email, "ada@example.org"));
        assert_ne!(tried[0], stored);
    }

    #[test]
    fn facts_keep_the_hash_through_json() {
        let ring = Keyring::generate(&SeededEntropy::new(1));
        let hmac = ring.address_hmac(tenant(1), Channel::Email, "ada@example.org");
        let json = serde_json::to_string(&hmac).unwrap();
        assert_eq!(serde_json::from_str::<AddressHmac>(&json).unwrap(), hmac);
        assert!(serde_json::from_str::<AddressHash>("\"00\"").is_err());
    }
}
