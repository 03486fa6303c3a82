//! API keys (C-220): `carillon_live_`, the key's id, 256 random bits, a checksum; only a hash is stored.
//!
//! The checksum tells a typo from a key without asking the database, and lets scanners of public code find leaked keys.

use aws_lc_rs::digest;
use carillon_entities::ids::{self, CredentialId, DocumentSetId, TenantId};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{Role, Scopes};
use crate::entropy::Entropy;
use crate::time::Timestamp;

const PREFIX: &str = "carillon_live_";
const ID_LEN: usize = 26;
const SECRET_LEN: usize = 52;
const CHECKSUM_LEN: usize = 8;

/// A key as it is shown, once.
pub struct NewApiKey {
    /// The whole key, for its owner.
    pub text: String,
    /// What is stored.
    pub hash: [u8; 32],
    /// The readable part, for lists.
    pub prefix: String,
}

impl std::fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewApiKey({})", self.prefix)
    }
}

/// A well-formed key that somebody presents: nothing is known of it but its id and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentedKey {
    /// Which key it claims to be.
    pub id: CredentialId,
    /// Its hash.
    pub hash: [u8; 32],
}

/// What is stored of a key.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// Which key.
    pub id: CredentialId,
    /// Its hash.
    pub hash: [u8; 32],
    /// The tenant it is for.
    pub tenant: TenantId,
    /// The role it acts as.
    pub role: Role,
    /// What it is limited to.
    pub scopes: Scopes,
    /// The set whose documents it may run, and no others.
    pub document_set: Option<DocumentSetId>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A presented key that matched a stored, living one; only [`PresentedKey::verify`] makes one.
#[derive(Debug, Clone)]
pub struct VerifiedKey {
    pub(super) id: CredentialId,
    pub(super) tenant: TenantId,
    pub(super) role: Role,
    pub(super) scopes: Scopes,
    pub(super) document_set: Option<DocumentSetId>,
}

impl NewApiKey {
    /// A fresh key with this id.
    pub fn generate(id: CredentialId, entropy: &dyn Entropy) -> Self {
        let half = || {
            let mut bytes = [0; 16];
            entropy.fill(&mut bytes);
            ids::encode(Uuid::from_bytes(bytes))
        };
        let prefix = format!("{PREFIX}{}", ids::encode(id.0));
        let body = format!("{prefix}{}{}", half(), half());
        let text = format!("{body}{}", checksum(&body));
        Self { hash: sha256(text.as_bytes()), prefix, text }
    }
}

impl PresentedKey {
    /// Reads a key; none if it is not of our form or its checksum is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let body_len = PREFIX.len() + ID_LEN + SECRET_LEN;
        if text.len() != body_len + CHECKSUM_LEN || !text.is_ascii() || !text.starts_with(PREFIX) {
            return None;
        }
        let (body, sum) = text.split_at(body_len);
        if checksum(body) != sum {
            return None;
        }
        let id = ids::decode(&body[PREFIX.len()..PREFIX.len() + ID_LEN])?;
        Some(Self { id: CredentialId(id), hash: sha256(text.as_bytes()) })
    }

    /// Compares with what is stored under the id; none if it differs, has ended or was revoked.
    pub(super) fn verify(&self, stored: StoredKey, now: Timestamp) -> Option<VerifiedKey> {
        let same = self.id == stored.id && bool::from(self.hash.ct_eq(&stored.hash));
        let alive = stored.revoked_at.is_none() && stored.expires_at.is_none_or(|end| now < end);
        let StoredKey { id, tenant, role, scopes, document_set, .. } = stored;
        (same && alive).then_some(VerifiedKey { id, tenant, role, scopes, document_set })
    }
}

fn checksum(body: &str) -> String {
    hex::encode(&sha256(body.as_bytes())[..CHECKSUM_LEN / 2])
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SeededEntropy;

    fn new_key() -> NewApiKey {
        NewApiKey::generate(CredentialId(Uuid::from_u128(7)), &SeededEntropy::new(1))
    }

    fn stored(key: &NewApiKey) -> StoredKey {
        StoredKey {
            id: CredentialId(Uuid::from_u128(7)),
            hash: key.hash,
            tenant: TenantId(Uuid::from_u128(1)),
            role: Role::Marketer,
            scopes: Scopes::All,
            document_set: None,
            expires_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn c220_a_key_verifies_against_its_hash_until_it_ends() {
        let key = new_key();
        let now = DateTime::UNIX_EPOCH;
        let presented = PresentedKey::parse(&key.text).unwrap();
        assert!(presented.verify(stored(&key), now).is_some());
        let ended = StoredKey { expires_at: Some(now), ..stored(&key) };
        let revoked = StoredKey { revoked_at: Some(now - TimeDelta::seconds(1)), ..stored(&key) };
        let other = StoredKey { hash: [0; 32], ..stored(&key) };
        for stored in [ended, revoked, other] {
            assert!(presented.verify(stored, now).is_none());
        }
        assert!(!format!("{key:?}").contains(&key.text[PREFIX.len() + ID_LEN..]));
    }

    #[test]
    fn c220_a_dump_of_the_hash_is_no_key() {
        let key = new_key();
        assert!(PresentedKey::parse(&hex::encode(key.hash)).is_none());
        assert!(PresentedKey::parse(&key.prefix).is_none());
    }

    #[test]
    fn c220_every_typo_is_caught_by_the_checksum() {
        let text = new_key().text;
        for at in 0..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[at] = if typo[at] == b'0' { b'1' } else { b'0' };
            assert!(PresentedKey::parse(&String::from_utf8(typo).unwrap()).is_none());
        }
    }

    proptest! {
        #[test]
        fn hostile_text_never_panics(text in "(carillon_live_)?\\PC{0,120}") {
            prop_assert!(PresentedKey::parse(&text).is_none());
        }
    }
}
