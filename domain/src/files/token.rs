//! Signed file addresses: who holds one may put (or get) exactly one file of one tenant until it expires.
//!
//! Form: base64url of version, key id, kind, tenant, object, expiry and HMAC-SHA-256 under the tenant's upload key.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_entities::ids::{ImportId, TenantId, UploadId};
use chrono::DateTime;
use uuid::Uuid;

use crate::keys::{KeyId, Keyring, Purpose};
use crate::time::Timestamp;

const VERSION: u8 = 1;
const HEAD: usize = 1 + 2 + 1 + 16 + 16 + 8;
const TAG: usize = 32;

/// What a signed address opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileTarget {
    /// The upload may be written to.
    Upload(UploadId),
    /// The errors of an import may be read.
    ImportErrors(ImportId),
}

impl FileTarget {
    fn parts(self) -> (u8, Uuid) {
        match self {
            Self::Upload(UploadId(id)) => (1, id),
            Self::ImportErrors(ImportId(id)) => (2, id),
        }
    }

    fn from_parts(kind: u8, id: Uuid) -> Option<Self> {
        match kind {
            1 => Some(Self::Upload(UploadId(id))),
            2 => Some(Self::ImportErrors(ImportId(id))),
            _ => None,
        }
    }
}

/// The content of a signed address; one that comes out of [`SignedFile::verify`] was signed by us and is not expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedFile {
    tenant: TenantId,
    target: FileTarget,
    expires_at: Timestamp,
}

impl SignedFile {
    /// The token for the address.
    pub(crate) fn sign(ring: &Keyring, tenant: TenantId, target: FileTarget, expires_at: Timestamp) -> String {
        let key = ring.active();
        let (kind, object) = target.parts();
        let mut bytes = Vec::with_capacity(HEAD + TAG);
        bytes.push(VERSION);
        bytes.extend(key.0.to_be_bytes());
        bytes.push(kind);
        bytes.extend(tenant.0.as_bytes());
        bytes.extend(object.as_bytes());
        bytes.extend(expires_at.timestamp_micros().to_be_bytes());
        if let Some(key) = signing_key(ring, key, tenant) {
            bytes.extend(hmac::sign(&key, &bytes).as_ref());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token; none when it was altered, made by nobody we know, or has expired.
    pub fn verify(ring: &Keyring, token: &str, now: Timestamp) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.len() == HEAD + TAG)?;
        let (head, tag) = bytes.split_at(HEAD);
        let &[VERSION, high, low, kind, ref rest @ ..] = head else { return None };
        let (tenant, rest) = rest.split_first_chunk::<16>()?;
        let (object, rest) = rest.split_first_chunk::<16>()?;
        let tenant = TenantId(Uuid::from_bytes(*tenant));
        let key = signing_key(ring, KeyId(u16::from_be_bytes([high, low])), tenant)?;
        hmac::verify(&key, head, tag).ok()?;
        let target = FileTarget::from_parts(kind, Uuid::from_bytes(*object))?;
        let expires_at = DateTime::from_timestamp_micros(i64::from_be_bytes(rest.try_into().ok()?))?;
        (now < expires_at).then_some(Self { tenant, target, expires_at })
    }

    /// In whose data the file lies.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// What may be done with it.
    pub fn target(&self) -> FileTarget {
        self.target
    }
}

fn signing_key(ring: &Keyring, id: KeyId, tenant: TenantId) -> Option<hmac::Key> {
    let key = ring.derive(id, Purpose::Upload, Some(tenant))?;
    Some(hmac::Key::new(hmac::HMAC_SHA256, &key))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SeededEntropy;

    fn start() -> Timestamp {
        DateTime::from_timestamp_micros(1_800_000_000_000_000).expect("in range")
    }

    fn target() -> FileTarget {
        FileTarget::Upload(UploadId(Uuid::from_u128(7)))
    }

    #[test]
    fn a_token_opens_its_file_until_it_expires() {
        let ring = Keyring::generate(&SeededEntropy::new(1));
        let tenant = TenantId(Uuid::from_u128(1));
        let token = SignedFile::sign(&ring, tenant, target(), start() + TimeDelta::hours(1));
        let file = SignedFile::verify(&ring, &token, start()).expect("valid");
        assert_eq!((file.tenant(), file.target()), (tenant, target()));
        assert_eq!(SignedFile::verify(&ring, &token, start() + TimeDelta::hours(1)), None);
        let rotated = ring.rotated(&SeededEntropy::new(2));
        assert!(SignedFile::verify(&rotated, &token, start()).is_some(), "retired keys verify");
        let other = Keyring::generate(&SeededEntropy::new(3));
        assert_eq!(SignedFile::verify(&other, &token, start()), None);
    }

    #[test]
    fn every_altered_character_is_noticed() {
        let ring = Keyring::generate(&SeededEntropy::new(1));
        let tenant = TenantId(Uuid::from_u128(1));
        let token = SignedFile::sign(&ring, tenant, target(), start() + TimeDelta::hours(1));
        for at in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("ASCII");
            assert_eq!(SignedFile::verify(&ring, &altered, start()), None, "{at}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(token in "\\PC{0,200}") {
            let ring = Keyring::generate(&SeededEntropy::new(1));
            prop_assert_eq!(SignedFile::verify(&ring, &token, start()), None);
        }
    }
}
