//! Making DKIM keys: RSA-2048 only (C-34), one per sender, each under a selector that no other sender has (C-36).

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carillon_entities::ids::{SenderId, encode};

use crate::error::{Error, Result};

/// A fresh key pair: the secret half to be stored encrypted (C-233), the public half to be published.
#[derive(Clone, PartialEq, Eq)]
pub struct NewDkimKey {
    /// PKCS#8 DER of the private key.
    pub private_key_der: Vec<u8>,
    /// The text of the TXT record at `<selector>._domainkey.<domain>`.
    pub txt_record: String,
}

impl std::fmt::Debug for NewDkimKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewDkimKey(..)")
    }
}

impl NewDkimKey {
    /// Makes an RSA-2048 pair from the operating system's randomness.
    ///
    /// Takes about a tenth of a second of processor time: call it from a blocking thread.
    pub fn generate_rsa_2048() -> Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::fault("no RSA key could be made"))?;
        let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| Error::fault("the RSA key has no PKCS#8 form"))?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| Error::fault("the RSA key has no public form"))?;
        Ok(Self {
            private_key_der: private.as_ref().to_vec(),
            txt_record: format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(public.as_ref())),
        })
    }
}

/// The selector of a sender's key: senders of one domain, in one tenant or in many, publish under names of their own.
pub(super) fn selector_of(sender: SenderId) -> String {
    format!("c{}", encode(sender.0))
}

/// Whether a private key can sign (C-34).
pub(super) fn is_rsa_2048(private_key_der: &[u8]) -> bool {
    KeyPair::from_pkcs8(private_key_der).is_ok_and(|pair| pair.public_modulus_len() >= 256)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn c036_a_selector_is_a_dns_label_of_one_sender() {
        let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        let selector = selector_of(SenderId(id));
        assert!(selector.len() <= 63 && selector.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        assert_ne!(selector, selector_of(SenderId(Uuid::from_u128(id.as_u128() + 1))));
        assert_ne!(selector, selector_of(SenderId(Uuid::from_u128(id.as_u128() ^ (1 << 127)))));
    }

    #[test]
    fn c034_a_new_key_is_rsa_2048_and_its_record_holds_only_the_public_half() {
        let key = NewDkimKey::generate_rsa_2048().unwrap();
        let pair = KeyPair::from_pkcs8(&key.private_key_der).unwrap();
        assert_eq!(pair.public_modulus_len(), 256);
        let published = key.txt_record.strip_prefix("v=DKIM1; k=rsa; p=").unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        assert_eq!(STANDARD.decode(published).unwrap(), public.as_ref());
        assert_eq!(format!("{key:?}"), "NewDkimKey(..)");
    }
}
