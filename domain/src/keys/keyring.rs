//! The keyring: named secrets, newest use first, and the keys derived from them.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hkdf;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use carillon_entities::ids::TenantId;

use crate::entropy::Entropy;

/// Names a key of the keyring; stored beside every value the key made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub u16);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What a derived key is for; the text goes into the derivation, so it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Keyed hashes of addresses, per tenant (C-124).
    AddressHmac,
    /// Encryption of link tokens (C-07).
    LinkToken,
    /// The nonce of link tokens.
    LinkTokenNonce,
    /// Envelope encryption of secrets, per tenant (C-233).
    Seal,
    /// The signature of access tokens (C-211).
    AccessToken,
    /// Signed upload addresses, per tenant.
    Upload,
    /// Keyed fingerprints of inputs, per tenant.
    Fingerprint,
    /// Names of callers in the limiter that processes share (C-216).
    Throttle,
    /// Encryption of tokens in tracked links (C-84).
    ClickToken,
    /// The nonce of those.
    ClickTokenNonce,
    /// Keyed hashes of the networks that hits come from, per tenant (C-85).
    Source,
    /// The seal on places in a tenant's feed of events, per tenant.
    FeedCursor,
    /// The signature of return paths (C-55).
    BounceAddress,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::AddressHmac => b"carillon/1/address-hmac",
            Self::LinkToken => b"carillon/1/link-token",
            Self::LinkTokenNonce => b"carillon/1/link-token-nonce",
            Self::Seal => b"carillon/1/seal",
            Self::AccessToken => b"carillon/1/access-token",
            Self::Upload => b"carillon/1/upload",
            Self::Fingerprint => b"carillon/1/fingerprint",
            Self::Throttle => b"carillon/1/throttle",
            Self::ClickToken => b"carillon/1/click-token",
            Self::ClickTokenNonce => b"carillon/1/click-token-nonce",
            Self::Source => b"carillon/1/source",
            Self::FeedCursor => b"carillon/1/feed-cursor",
            Self::BounceAddress => b"carillon/1/bounce-address",
        }
    }
}

/// The text of a keyring cannot be used; says which rule it broke and never what it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// No key at all.
    #[error("the keyring holds no key")]
    Empty,
    /// An entry is not `number:base64`.
    #[error("entry {0} of the keyring is not of the form number:base64")]
    Malformed(usize),
    /// A secret is not 32 bytes.
    #[error("the secret of key {0} is not 32 bytes")]
    Length(KeyId),
    /// All bytes of a secret are the same: a placeholder, not a secret.
    #[error("the secret of key {0} is a placeholder")]
    Placeholder(KeyId),
    /// Two entries have the same number.
    #[error("the keyring names key {0} twice")]
    Doubled(KeyId),
}

#[derive(Clone)]
struct Key {
    id: KeyId,
    secret: [u8; 32],
    prk: hkdf::Prk,
}

impl Key {
    fn new(id: KeyId, secret: [u8; 32]) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"carillon keyring").extract(&secret);
        Self { id, secret, prk }
    }
}

/// All live keys of a deployment, in the text form `2:base64,1:base64`: the first is active, the others only verify.
///
/// To rotate without a window in which one process cannot read what another made, first add the new key at the end
/// everywhere, then move it to the front. Whoever meets a key they lack meanwhile puts the work off and refuses nothing: a
/// link answers 503, a message waits.
#[derive(Clone)]
pub struct Keyring {
    /// Never empty; the active key first.
    keys: Vec<Key>,
}

impl Keyring {
    /// A keyring with one fresh key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self { keys: vec![fresh(KeyId(1), entropy)] }
    }

    /// The same keyring with a fresh active key; the former ones keep verifying.
    #[must_use]
    pub fn rotated(&self, entropy: &dyn Entropy) -> Self {
        let newest = self.keys.iter().map(|key| key.id.0).max().unwrap_or(0);
        let mut keys = vec![fresh(KeyId(newest.wrapping_add(1)), entropy)];
        keys.extend(self.keys.iter().cloned());
        Self { keys }
    }

    /// The text form for configuration. It holds every secret: write it to a file only its owner can read.
    pub fn to_secret_text(&self) -> String {
        let entries = self.keys.iter().map(|key| format!("{}:{}", key.id, STANDARD.encode(key.secret)));
        entries.collect::<Vec<_>>().join(",")
    }

    /// The key that makes new values.
    pub fn active(&self) -> KeyId {
        self.keys[0].id
    }

    /// Every live key, the active one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.keys.iter().map(|key| key.id)
    }

    /// Whether a key is live.
    pub fn has(&self, id: KeyId) -> bool {
        self.ids().any(|live| live == id)
    }

    /// The key derived for a purpose (and a tenant), from the named key if it is live.
    pub fn derive(&self, id: KeyId, purpose: Purpose, tenant: Option<TenantId>) -> Option<[u8; 32]> {
        let key = self.keys.iter().find(|key| key.id == id)?;
        let tenant = tenant.map(|tenant| *tenant.0.as_bytes());
        let tenant = tenant.as_ref().map_or(&[][..], |bytes| &bytes[..]);
        // The label is fixed text and the tenant has a fixed length, so no two purposes share an input.
        let info = [purpose.label(), b"/", tenant];
        let mut derived = [0; 32];
        let okm = key.prk.expand(&info, hkdf::HKDF_SHA256).expect("32 bytes is a valid length for HKDF-SHA256");
        okm.fill(&mut derived).expect("the buffer has the length that was asked for");
        Some(derived)
    }

    /// The derived key of the active key.
    pub(super) fn derive_active(&self, purpose: Purpose, tenant: Option<TenantId>) -> [u8; 32] {
        self.derive(self.active(), purpose, tenant).expect("the active key is live")
    }
}

fn fresh(id: KeyId, entropy: &dyn Entropy) -> Key {
    let mut secret = [0; 32];
    entropy.fill(&mut secret);
    Key::new(id, secret)
}

impl FromStr for Keyring {
    type Err = KeyringError;

    fn from_str(text: &str) -> Result<Self, KeyringError> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, entry) in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
            let malformed = KeyringError::Malformed(index + 1);
            let (id, secret) = entry.split_once(':').ok_or(malformed)?;
            let id = KeyId(id.trim().parse().map_err(|_| malformed)?);
            let secret = STANDARD.decode(secret.trim()).map_err(|_| malformed)?;
            let secret: [u8; 32] = secret.try_into().map_err(|_| KeyringError::Length(id))?;
            if secret.iter().all(|byte| *byte == secret[0]) {
                return Err(KeyringError::Placeholder(id));
            }
            if keys.iter().any(|key| key.id == id) {
                return Err(KeyringError::Doubled(id));
            }
            keys.push(Key::new(id, secret));
        }
        if keys.is_empty() { Err(KeyringError::Empty) } else { Ok(Self { keys }) }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn text_form_round_trips_and_the_first_key_is_active() {
        let old = Keyring::generate(&SeededEntropy::new(1));
        let new = old.rotated(&SeededEntropy::new(2));
        let read: Keyring = new.to_secret_text().parse().unwrap();
        assert_eq!(read.ids().collect::<Vec<_>>(), [KeyId(2), KeyId(1)]);
        assert_eq!(read.active(), KeyId(2));
        assert_eq!(read.derive(KeyId(1), Purpose::Seal, None), old.derive(KeyId(1), Purpose::Seal, None));
        assert_eq!(read.derive(KeyId(3), Purpose::Seal, None), None);
    }

    #[test]
    fn unusable_text_is_refused_by_rule() {
        let parse = |text: &str| text.parse::<Keyring>().err();
        let key = STANDARD.encode([1, 2].repeat(16));
        assert_eq!(parse(""), Some(KeyringError::Empty));
        assert_eq!(parse("abc"), Some(KeyringError::Malformed(1)));
        assert_eq!(parse(&format!("1:{key},x:{key}")), Some(KeyringError::Malformed(2)));
        assert_eq!(parse(&format!("1:{key},1:{key}")), Some(KeyringError::Doubled(KeyId(1))));
        assert_eq!(parse("1:AAAA"), Some(KeyringError::Length(KeyId(1))));
        assert_eq!(parse(&format!("1:{}", STANDARD.encode([7; 32]))), Some(KeyringError::Placeholder(KeyId(1))));
    }

    #[test]
    fn purposes_and_tenants_never_share_a_key() {
        let ring = Keyring::generate(&SeededEntropy::new(1));
        let tenants = [None, Some(TenantId(uuid::Uuid::from_u128(1))), Some(TenantId(uuid::Uuid::from_u128(2)))];
        let purposes = [
            Purpose::AddressHmac,
            Purpose::LinkToken,
            Purpose::LinkTokenNonce,
            Purpose::Seal,
            Purpose::AccessToken,
            Purpose::Upload,
            Purpose::Fingerprint,
            Purpose::Throttle,
            Purpose::ClickToken,
            Purpose::ClickTokenNonce,
            Purpose::Source,
            Purpose::FeedCursor,
            Purpose::BounceAddress,
        ];
        let all: std::collections::HashSet<_> = purposes
            .into_iter()
            .flat_map(|purpose| tenants.map(|tenant| ring.derive(KeyId(1), purpose, tenant)))
            .collect();
        assert_eq!(all.len(), purposes.len() * tenants.len());
    }

    #[test]
    fn debug_shows_ids_only() {
        let ring = Keyring::generate(&SeededEntropy::new(1));
        assert_eq!(format!("{ring:?}"), "[KeyId(1)]");
    }
}
