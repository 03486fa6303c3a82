//! Tokens in links to recipients (C-06 to C-08): opaque, unforgeable, valid for ever.
//!
//! Form: base64url of version, key id, nonce and AES-256-GCM-SIV ciphertext. The nonce is a keyed hash of the content,
//! so the same message has the same URL in every attempt. The purpose lies inside: a token made for the header link is
//! none for the page link (C-06).

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_entities::ids::{BrandId, MessageId, TenantId, TopicId};
use uuid::Uuid;

use super::{AddressHash, AddressHmac, KeyId, Keyring, Purpose};
use crate::consent::Channel;

const VERSION: u8 = 1;
const HEAD_LEN: usize = 3;
const PLAIN_LEN: usize = 1 + 1 + 2 + 32 + 4 * 16;
const TOKEN_LEN: usize = HEAD_LEN + NONCE_LEN + PLAIN_LEN + 16;

/// What a link may do (C-06).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPurpose {
    /// The List-Unsubscribe header: any POST unsubscribes.
    OneClick,
    /// The link in the body: opens a page whose form unsubscribes.
    UnsubscribePage,
    /// Opens the page on which all topics are chosen.
    Preferences,
    /// Opens the page that confirms a pending opt-in (C-83).
    ConfirmOptIn,
}

impl LinkPurpose {
    const fn code(self) -> u8 {
        match self {
            Self::OneClick => 1,
            Self::UnsubscribePage => 2,
            Self::Preferences => 3,
            Self::ConfirmOptIn => 4,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::OneClick),
            2 => Some(Self::UnsubscribePage),
            3 => Some(Self::Preferences),
            4 => Some(Self::ConfirmOptIn),
            _ => None,
        }
    }
}

/// The content of a recipient link: enough to act on when contact, list and campaign are gone (C-08).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkToken {
    /// What the link may do.
    pub purpose: LinkPurpose,
    /// Whose mail it was.
    pub tenant: TenantId,
    /// The message it was in.
    pub message: MessageId,
    /// The address it was sent to.
    pub address: AddressHmac,
    /// The channel it was sent through.
    pub channel: Channel,
    /// The brand that sent it.
    pub brand: BrandId,
    /// The topic it was about.
    pub topic: TopicId,
}

impl LinkToken {
    /// The text for the URL; the same content always gives the same text under the same active key.
    pub fn encode(&self, ring: &Keyring) -> String {
        let mut plain = self.to_bytes();
        let head = head(ring.active());
        let key = ring.derive_active(Purpose::LinkToken, None);
        let nonce = nonce(&ring.derive_active(Purpose::LinkTokenNonce, None), &plain);
        cipher(&key)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(head), &mut plain)
            .expect("AES-GCM-SIV seals a hundred bytes");
        let mut token = Vec::with_capacity(TOKEN_LEN);
        token.extend(head);
        token.extend(nonce);
        token.extend(plain);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Reads a token that was made for this purpose.
    ///
    /// # Errors
    /// [`NoLink`]; whatever is wrong with a token under a key that is here is not said (C-07).
    pub fn decode(ring: &Keyring, purpose: LinkPurpose, text: &str) -> Result<VerifiedLink, NoLink> {
        let mut token = [0; TOKEN_LEN];
        let length = URL_SAFE_NO_PAD.decode_slice(text.trim_end_matches('='), &mut token);
        if length != Ok(TOKEN_LEN) {
            return Err(NoLink::Unknown);
        }
        let [VERSION, high, low, rest @ ..] = &mut token else { return Err(NoLink::Unknown) };
        let id = KeyId(u16::from_be_bytes([*high, *low]));
        let key = ring.derive(id, Purpose::LinkToken, None).ok_or(NoLink::OtherKey(id))?;
        let (nonce, body) = rest.split_first_chunk_mut::<NONCE_LEN>().ok_or(NoLink::Unknown)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = cipher(&key).open_in_place(nonce, Aad::from(head(id)), body).map_err(|_| NoLink::Unknown)?;
        let token = Self::from_bytes(plain).filter(|token| token.purpose == purpose);
        token.map(VerifiedLink).ok_or(NoLink::Unknown)
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PLAIN_LEN + 16);
        bytes.push(self.purpose.code());
        bytes.push(match self.channel {
            Channel::Email => 1,
        });
        bytes.extend(self.address.key.0.to_be_bytes());
        bytes.extend(self.address.hash.0);
        for id in [self.tenant.0, self.message.0, self.brand.0, self.topic.0] {
            bytes.extend(id.as_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; PLAIN_LEN] = bytes.try_into().ok()?;
        let id = |index: usize| bytes[36 + 16 * index..].first_chunk().copied().map(Uuid::from_bytes);
        Some(Self {
            purpose: LinkPurpose::from_code(bytes[0])?,
            channel: if bytes[1] == 1 { Channel::Email } else { return None },
            address: AddressHmac {
                key: KeyId(u16::from_be_bytes([bytes[2], bytes[3]])),
                hash: AddressHash::from_slice(&bytes[4..36])?,
            },
            tenant: TenantId(id(0)?),
            message: MessageId(id(1)?),
            brand: BrandId(id(2)?),
            topic: TopicId(id(3)?),
        })
    }
}

/// Why a text opens no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLink {
    /// No token of ours, or one for something else (C-07).
    Unknown,
    /// It names a key that is not in this keyring. While keys are rotated another process may have it, so nobody may be
    /// told that the link is not known (C-08, C-11).
    OtherKey(KeyId),
}

/// A link token that was read, not made: proof that the caller holds a link of ours (L1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedLink(LinkToken);

impl std::ops::Deref for VerifiedLink {
    type Target = LinkToken;
    fn deref(&self) -> &LinkToken {
        &self.0
    }
}

fn head(id: KeyId) -> [u8; HEAD_LEN] {
    let [high, low] = id.0.to_be_bytes();
    [VERSION, high, low]
}

fn nonce(key: &[u8; 32], plain: &[u8]) -> [u8; NONCE_LEN] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), plain);
    let mut nonce = [0; NONCE_LEN];
    nonce.copy_from_slice(&tag.as_ref()[..NONCE_LEN]);
    nonce
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).expect("AES-256 takes 32 bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SeededEntropy;

    fn token(ring: &Keyring, purpose: LinkPurpose) -> LinkToken {
        let tenant = TenantId(Uuid::from_u128(1));
        LinkToken {
            purpose,
            tenant,
            message: MessageId(Uuid::from_u128(2)),
            address: ring.address_hmac(tenant, Channel::Email, "ada@example.org"),
            channel: Channel::Email,
            brand: BrandId(Uuid::from_u128(3)),
            topic: TopicId(Uuid::from_u128(4)),
        }
    }

    #[test]
    fn c007_round_trips_is_stable_and_holds_no_address() {
        let ring = Keyring::generate(&SeededEntropy::new(1));
        let token = token(&ring, LinkPurpose::OneClick);
        let text = token.encode(&ring);
        assert_eq!(LinkToken::decode(&ring, LinkPurpose::OneClick, &text), Ok(VerifiedLink(token)));
        assert_eq!(text, token.encode(&ring));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert!(text.len() < 180);
    }

    #[test]
    fn c006_a_token_is_bound_to_its_purpose() {
        let ring = Keyring::generate(&SeededEntropy::new(1));
        let header = token(&ring, LinkPurpose::OneClick).encode(&ring);
        assert_eq!(LinkToken::decode(&ring, LinkPurpose::UnsubscribePage, &header), Err(NoLink::Unknown));
        assert_ne!(header, token(&ring, LinkPurpose::UnsubscribePage).encode(&ring));
    }

    #[test]
    fn c007_any_flipped_bit_is_refused() {
        let ring = Keyring::generate(&SeededEntropy::new(1));
        let text = token(&ring, LinkPurpose::OneClick).encode(&ring);
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let altered = URL_SAFE_NO_PAD.encode(altered);
            // The key's id stands in clear behind the version.
            let refused = match bit / 8 {
                1..HEAD_LEN => NoLink::OtherKey(KeyId(1 ^ (1 << (bit % 8 + 8 * (2 - bit / 8))))),
                _ => NoLink::Unknown,
            };
            assert_eq!(LinkToken::decode(&ring, LinkPurpose::OneClick, &altered), Err(refused));
        }
    }

    #[test]
    fn c008_retired_keys_read_for_ever() {
        let old = Keyring::generate(&SeededEntropy::new(1));
        let token = token(&old, LinkPurpose::OneClick);
        let new = old.rotated(&SeededEntropy::new(2)).rotated(&SeededEntropy::new(3));
        assert_eq!(LinkToken::decode(&new, LinkPurpose::OneClick, &token.encode(&old)), Ok(VerifiedLink(token)));
        let early = LinkToken::decode(&old, LinkPurpose::OneClick, &token.encode(&new));
        assert_eq!(early, Err(NoLink::OtherKey(new.active())), "to be asked for again, never unknown");
    }

    proptest! {
        #[test]
        fn c007_hostile_text_never_panics(text in "\\PC{0,400}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let ring = Keyring::generate(&SeededEntropy::new(1));
            prop_assert!(LinkToken::decode(&ring, LinkPurpose::OneClick, &text).is_err());
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            prop_assert!(LinkToken::decode(&ring, LinkPurpose::OneClick, &text).is_err());
        }
    }
}
