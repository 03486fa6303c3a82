//! Envelope encryption (C-233): AES-256-GCM under a key derived per tenant, bound to the place the value is stored at.
//!
//! Sealed form: version byte, key id (two bytes, big endian), nonce, ciphertext with tag. A value moved to another
//! row, column, table or tenant does not open. What lies under a [`SubjectKey`] is gone for good once the wrapped key
//! is destroyed (C-151).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use carillon_entities::ids::{SubjectId, TenantId};
use uuid::Uuid;

use super::{KeyId, Keyring, Purpose};
use crate::entropy::Entropy;

const VERSION: u8 = 1;
const TAG_LEN: usize = 16;

/// Where a sealed value is stored; goes into the authenticated data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The tenant whose row it is; none for a row of the closed list without tenant.
    pub tenant: Option<TenantId>,
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The row's id.
    pub row: Uuid,
}

impl Place {
    /// A column of a tenant's row.
    pub fn new(tenant: TenantId, table: &'static str, column: &'static str, row: impl Into<Uuid>) -> Self {
        Self { tenant: Some(tenant), table, column, row: row.into() }
    }

    /// Unambiguous: every part is led by its length.
    fn aad(&self) -> Vec<u8> {
        let tenant = self.tenant.map(|tenant| *tenant.0.as_bytes());
        let tenant = tenant.as_ref().map_or(&[][..], |bytes| &bytes[..]);
        let parts = [tenant, self.table.as_bytes(), self.column.as_bytes(), self.row.as_bytes()];
        let mut aad = Vec::with_capacity(96);
        for part in parts {
            aad.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            aad.extend(part);
        }
        aad
    }
}

/// A sealed value does not open: altered, moved, or made by a key that is no longer in the keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open")]
pub struct SealBroken;

impl From<SealBroken> for crate::error::Error {
    fn from(broken: SealBroken) -> Self {
        Self::fault(broken)
    }
}

impl Keyring {
    /// Seals a value for the place it will be stored at.
    pub fn seal(&self, place: &Place, plain: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let key = self.derive_active(Purpose::Seal, place.tenant);
        let mut sealed = Vec::with_capacity(3 + NONCE_LEN + plain.len() + TAG_LEN);
        sealed.push(VERSION);
        sealed.extend(self.active().0.to_be_bytes());
        seal_under(&key, &place.aad(), plain, entropy, &mut sealed);
        sealed
    }

    /// True for a sealed value that names a key which is not here: another process may be able to open it.
    pub fn lacks_key_of(&self, sealed: &[u8]) -> bool {
        matches!(sealed, [VERSION, high, low, ..] if !self.has(KeyId(u16::from_be_bytes([*high, *low]))))
    }

    /// Opens what [`Keyring::seal`] made for the same place, under any live key.
    pub fn open(&self, place: &Place, sealed: &[u8]) -> Result<Vec<u8>, SealBroken> {
        self.opener(place.tenant).open(place, sealed)
    }

    /// Opens many values of one tenant.
    pub fn opener(&self, tenant: Option<TenantId>) -> Opener<'_> {
        Opener { ring: self, tenant, last: None }
    }
}

/// Opens values of one tenant, and derives the key for them once.
pub struct Opener<'a> {
    ring: &'a Keyring,
    tenant: Option<TenantId>,
    last: Option<(KeyId, LessSafeKey)>,
}

impl Opener<'_> {
    /// Opens what [`Keyring::seal`] made for the same place, under any live key.
    pub fn open(&mut self, place: &Place, sealed: &[u8]) -> Result<Vec<u8>, SealBroken> {
        let [VERSION, high, low, rest @ ..] = sealed else { return Err(SealBroken) };
        let id = KeyId(u16::from_be_bytes([*high, *low]));
        if place.tenant != self.tenant {
            return Err(SealBroken);
        }
        let key = match self.last.take_if(|(last, _)| *last == id) {
            Some((_, key)) => key,
            None => cipher(&self.ring.derive(id, Purpose::Seal, self.tenant).ok_or(SealBroken)?),
        };
        let (_, key) = self.last.insert((id, key));
        open_under(key, &place.aad(), rest)
    }
}

impl std::fmt::Debug for Opener<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener(..)")
    }
}

/// The key one person's evidence lies under; destroying the stored, wrapped form erases the evidence (C-151).
#[derive(Clone)]
pub struct SubjectKey([u8; 32]);

impl SubjectKey {
    /// A fresh key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = [0; 32];
        entropy.fill(&mut key);
        Self(key)
    }

    /// The form to store in `subject_keys`.
    pub fn wrap(&self, ring: &Keyring, tenant: TenantId, subject: SubjectId, entropy: &dyn Entropy) -> Vec<u8> {
        ring.seal(&Self::place(tenant, subject), &self.0, entropy)
    }

    /// Reads the stored form.
    pub fn unwrap_stored(
        ring: &Keyring,
        tenant: TenantId,
        subject: SubjectId,
        wrapped: &[u8],
    ) -> Result<Self, SealBroken> {
        Self::unwrap_with(&mut ring.opener(Some(tenant)), tenant, subject, wrapped)
    }

    /// The same, of many.
    pub fn unwrap_with(
        opener: &mut Opener<'_>,
        tenant: TenantId,
        subject: SubjectId,
        wrapped: &[u8],
    ) -> Result<Self, SealBroken> {
        let key = opener.open(&Self::place(tenant, subject), wrapped)?;
        key.try_into().map(Self).map_err(|_| SealBroken)
    }

    /// Seals evidence for the place it will be stored at.
    pub fn seal(&self, place: &Place, plain: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let mut sealed = vec![VERSION];
        seal_under(&self.0, &place.aad(), plain, entropy, &mut sealed);
        sealed
    }

    /// Opens evidence.
    pub fn open(&self, place: &Place, sealed: &[u8]) -> Result<Vec<u8>, SealBroken> {
        let [VERSION, rest @ ..] = sealed else { return Err(SealBroken) };
        open_under(&cipher(&self.0), &place.aad(), rest)
    }

    fn place(tenant: TenantId, subject: SubjectId) -> Place {
        Place::new(tenant, "subject_keys", "wrapped_key", subject)
    }
}

impl std::fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubjectKey(..)")
    }
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes 32 bytes"))
}

/// Appends nonce, ciphertext and tag.
fn seal_under(key: &[u8; 32], aad: &[u8], plain: &[u8], entropy: &dyn Entropy, out: &mut Vec<u8>) {
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce);
    let mut body = plain.to_vec();
    cipher(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
        .expect("AES-GCM seals anything below 64 GiB");
    out.extend(nonce);
    out.append(&mut body);
}

fn open_under(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealBroken> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealBroken)?;
    let mut body = body.to_vec();
    let plain = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut body)
        .map_err(|_| SealBroken)?
        .len();
    body.truncate(plain);
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    fn place(tenant: u128, row: u128) -> Place {
        let tenant = TenantId(Uuid::from_u128(tenant));
        Place::new(tenant, "sender_identities", "dkim_private_key", Uuid::from_u128(row))
    }

    #[test]
    fn c233_a_value_opens_only_where_it_was_sealed_for() {
        let entropy = SeededEntropy::new(1);
        let ring = Keyring::generate(&entropy);
        let here = place(1, 1);
        let sealed = ring.seal(&here, b"secret", &entropy);
        assert_eq!(ring.open(&here, &sealed).unwrap(), b"secret");
        assert_ne!(sealed, ring.seal(&here, b"secret", &entropy), "nonces are random");
        let elsewhere = [
            place(1, 2),
            place(2, 1),
            Place { tenant: None, ..here },
            Place { table: "relays", ..here },
            Place { column: "password", ..here },
        ];
        for place in elsewhere {
            assert_eq!(ring.open(&place, &sealed), Err(SealBroken));
        }
    }

    #[test]
    fn c233_every_flipped_byte_is_noticed_and_no_length_panics() {
        let entropy = SeededEntropy::new(1);
        let ring = Keyring::generate(&entropy);
        let sealed = ring.seal(&place(1, 1), b"secret", &entropy);
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(ring.open(&place(1, 1), &altered), Err(SealBroken));
            assert_eq!(ring.open(&place(1, 1), &sealed[..at]), Err(SealBroken));
        }
    }

    #[test]
    fn c233_after_a_rotation_everything_is_readable() {
        let entropy = SeededEntropy::new(1);
        let old = Keyring::generate(&entropy);
        let sealed = old.seal(&place(1, 1), b"secret", &entropy);
        let new = old.rotated(&entropy);
        assert_eq!(new.open(&place(1, 1), &sealed).unwrap(), b"secret");
        let newer = new.seal(&place(1, 1), b"secret", &entropy);
        assert_eq!(old.open(&place(1, 1), &newer), Err(SealBroken));
        assert!(old.lacks_key_of(&newer));
        assert!(!old.lacks_key_of(&sealed) && !new.lacks_key_of(&newer) && !old.lacks_key_of(b"not sealed"));
    }

    #[test]
    fn c151_evidence_opens_only_with_its_subjects_key() {
        let entropy = SeededEntropy::new(1);
        let ring = Keyring::generate(&entropy);
        let tenant = TenantId(Uuid::from_u128(1));
        let (ada, bob) = (SubjectId(Uuid::from_u128(2)), SubjectId(Uuid::from_u128(3)));
        let key = SubjectKey::generate(&entropy);
        let wrapped = key.wrap(&ring, tenant, ada, &entropy);
        let evidence = key.seal(&place(1, 9), b"192.0.2.1", &entropy);
        let again = SubjectKey::unwrap_stored(&ring, tenant, ada, &wrapped).unwrap();
        assert_eq!(again.open(&place(1, 9), &evidence).unwrap(), b"192.0.2.1");
        assert!(SubjectKey::unwrap_stored(&ring, tenant, bob, &wrapped).is_err());
        assert!(SubjectKey::generate(&entropy).open(&place(1, 9), &evidence).is_err());
        assert_eq!(format!("{key:?}"), "SubjectKey(..)");
    }
}
