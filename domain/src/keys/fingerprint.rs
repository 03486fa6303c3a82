//! Keyed fingerprints of inputs: they tell whether two calls asked for the same, and nothing else.
//!
//! Inputs hold addresses and names, and a plain hash of those can be guessed (C-124). A fingerprint is under a key per
//! tenant; one that a retired key made still compares.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use carillon_entities::ids::TenantId;

use super::{Keyring, Purpose};

/// Makes and compares a tenant's fingerprints, or those of what lies in none.
pub struct Fingerprinter {
    /// The active one first; never empty.
    keys: Vec<hmac::Key>,
}

impl std::fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprinter(..)")
    }
}

impl Fingerprinter {
    /// The fingerprint that is stored.
    pub fn of(&self, input: &[u8]) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hmac::sign(&self.keys[0], digest(&SHA256, input).as_ref()).as_ref());
        bytes
    }

    /// True when a stored fingerprint is this input's, under whichever key.
    pub fn is_of(&self, stored: &[u8], input: &[u8]) -> bool {
        let hash = digest(&SHA256, input);
        self.keys.iter().any(|key| hmac::verify(key, hash.as_ref(), stored).is_ok())
    }
}

impl Keyring {
    /// The fingerprints of a tenant, or of what lies in none.
    pub fn fingerprinter(&self, tenant: impl Into<Option<TenantId>>) -> Fingerprinter {
        let tenant = tenant.into();
        let key = |id| Some(hmac::Key::new(hmac::HMAC_SHA256, &self.derive(id, Purpose::Fingerprint, tenant)?));
        Fingerprinter { keys: self.ids().filter_map(key).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn c124_nobody_without_the_key_finds_an_inputs_fingerprint() {
        let (one, other) = (Keyring::generate(&SeededEntropy::new(1)), Keyring::generate(&SeededEntropy::new(2)));
        let tenant = |n| TenantId(uuid::Uuid::from_u128(n));
        let input = b"ada@example.org";
        let made = one.fingerprinter(tenant(1)).of(input);
        assert_ne!(&made[..], digest(&SHA256, input).as_ref());
        assert_ne!(made, one.fingerprinter(tenant(2)).of(input));
        assert_ne!(made, other.fingerprinter(tenant(1)).of(input));
    }

    #[test]
    fn c157_a_fingerprint_outlives_its_key_s_retirement() {
        let ring = Keyring::generate(&SeededEntropy::new(1));
        let tenant = TenantId(uuid::Uuid::from_u128(1));
        let made = ring.fingerprinter(tenant).of(b"input");
        let rotated = ring.rotated(&SeededEntropy::new(2)).fingerprinter(tenant);
        assert_ne!(rotated.of(b"input"), made);
        assert!(rotated.is_of(&made, b"input") && !rotated.is_of(&made, b"another") && !rotated.is_of(b"", b"input"));
    }
}
