//! Tokens in tracked links and pixels (C-84): where a link leads lies inside, encrypted and authenticated, so nobody can
//! make ours lead elsewhere.
//!
//! Form: as of link tokens, with a content as long as the destination. A token of a mail whose opens and clicks are only
//! counted holds no id of a message or a person: all recipients of the same content have the same one (C-78). The same
//! content always gives the same text under one active key, so every attempt at a message has the same links.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_entities::ids::{MessageId, TemplateVersionId, TenantId};
use url::Url;
use uuid::Uuid;

use super::link_token::NoLink;
use super::{KeyId, Keyring, Purpose};

const VERSION: u8 = 1;
const HEAD_LEN: usize = 3;
const TAG_LEN: usize = 16;
/// Octets that a destination may have.
pub const DESTINATION_MAX: usize = 2_000;
/// Octets that the text of an origin may have.
const ORIGIN_MAX: usize = 250;
const PLAIN_MAX: usize = 2 + 16 + 16 + 1 + ORIGIN_MAX + 4 + DESTINATION_MAX;
const TOKEN_MAX: usize = HEAD_LEN + NONCE_LEN + PLAIN_MAX + TAG_LEN;

text_code! {
    /// What asking for a token's address tells.
    pub enum HitKind {
        /// The mail was shown, by a person or a machine.
        Open = "open",
        /// A link was followed, by a person or a machine.
        Click = "click",
    }
}

/// A link among the tracked links of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkPlace {
    /// Its number, from 1.
    pub number: u16,
    /// How many there are.
    pub of: u16,
}

/// What is known about a mail that somebody opens or clicks in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tracked {
    /// Which mail it is.
    Message(MessageId),
    /// Which content it is made of, and nothing about who got it.
    Content {
        /// The content.
        version: TemplateVersionId,
        /// The step of a workflow it was for, as text; empty if none.
        origin: String,
    },
}

/// The content of a tracked link or pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct ClickToken {
    /// Whose mail it is.
    pub tenant: TenantId,
    /// What it tells.
    pub tracked: Tracked,
    /// The link and where it leads; none for the pixel.
    pub target: Option<(LinkPlace, String)>,
}

/// Without the destination: it may hold what the tenant knows of a person (C-199).
impl std::fmt::Debug for ClickToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClickToken({})", self.kind().as_str())
    }
}

/// A place on the web, in the spelling that a header can carry; none for every other scheme and for an address without a host.
pub fn web_address(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let text = String::from(url);
    (is_web && text.is_ascii()).then_some(text)
}

/// The same, where a tracked link may lead there: none for one that is too long.
fn destination(text: &str) -> Option<String> {
    web_address(text).filter(|text| text.len() <= DESTINATION_MAX)
}

/// The active key's part in making tokens, derived once for all of a mail.
#[derive(Debug)]
pub struct ClickSigner {
    head: [u8; HEAD_LEN],
    cipher: LessSafeKey,
    nonces: hmac::Key,
}

impl Keyring {
    /// What makes tokens of tracked links.
    pub fn click_signer(&self) -> ClickSigner {
        let nonces = self.derive_active(Purpose::ClickTokenNonce, None);
        ClickSigner {
            head: head(self.active()),
            cipher: cipher(&self.derive_active(Purpose::ClickToken, None)),
            nonces: hmac::Key::new(hmac::HMAC_SHA256, &nonces),
        }
    }
}

impl ClickSigner {
    /// The text for the URL; none for a link that leads nowhere on the web, or whose content is too long.
    pub fn sign(&self, token: &ClickToken) -> Option<String> {
        if token.target.as_ref().is_some_and(|(_, to)| destination(to).as_ref() != Some(to)) {
            return None;
        }
        Some(self.seal(token.to_bytes()?))
    }

    fn seal(&self, mut plain: Vec<u8>) -> String {
        let tag = hmac::sign(&self.nonces, &plain);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&tag.as_ref()[..NONCE_LEN]);
        self.cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(self.head), &mut plain)
            .expect("AES-GCM-SIV seals a few thousand bytes");
        URL_SAFE_NO_PAD.encode([&self.head[..], &nonce[..], &plain].concat())
    }
}

impl ClickToken {
    /// What asking for it tells.
    pub fn kind(&self) -> HitKind {
        if self.target.is_some() { HitKind::Click } else { HitKind::Open }
    }

    /// Reads a token that was made for this kind of address.
    ///
    /// # Errors
    /// [`NoLink`]; whatever is wrong with a token under a key that is here is not said.
    pub fn decode(ring: &Keyring, kind: HitKind, text: &str) -> Result<VerifiedClick, NoLink> {
        if text.len() > TOKEN_MAX * 4 / 3 + 4 {
            return Err(NoLink::Unknown);
        }
        let mut token = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| NoLink::Unknown)?;
        let [VERSION, high, low, rest @ ..] = token.as_mut_slice() else { return Err(NoLink::Unknown) };
        let id = KeyId(u16::from_be_bytes([*high, *low]));
        let key = ring.derive(id, Purpose::ClickToken, None).ok_or(NoLink::OtherKey(id))?;
        let (nonce, body) = rest.split_first_chunk_mut::<NONCE_LEN>().ok_or(NoLink::Unknown)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = cipher(&key).open_in_place(nonce, Aad::from(head(id)), body).map_err(|_| NoLink::Unknown)?;
        let token = Self::from_bytes(plain).filter(|token| token.kind() == kind);
        token.map(VerifiedClick).ok_or(NoLink::Unknown)
    }

    fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(PLAIN_MAX + TAG_LEN);
        bytes.push(match self.kind() {
            HitKind::Click => 1,
            HitKind::Open => 2,
        });
        bytes.extend(self.tenant.0.as_bytes());
        match &self.tracked {
            Tracked::Message(id) => {
                bytes.push(1);
                bytes.extend(id.0.as_bytes());
            }
            Tracked::Content { version, origin } => {
                bytes.push(2);
                bytes.extend(version.0.as_bytes());
                let length = u8::try_from(origin.len()).ok().filter(|length| usize::from(*length) <= ORIGIN_MAX)?;
                bytes.push(length);
                bytes.extend(origin.as_bytes());
            }
        }
        if let Some((place, to)) = &self.target {
            bytes.extend(place.number.to_be_bytes());
            bytes.extend(place.of.to_be_bytes());
            bytes.extend(to.as_bytes());
        }
        Some(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (tenant, rest) = id(rest)?;
        let (what, rest) = rest.split_first()?;
        let (subject, rest) = id(rest)?;
        let (tracked, rest) = match what {
            1 => (Tracked::Message(MessageId(subject)), rest),
            2 => {
                let (length, rest) = rest.split_first()?;
                let (origin, rest) = rest.split_at_checked(usize::from(*length))?;
                let origin = String::from_utf8(origin.to_vec()).ok()?;
                (Tracked::Content { version: TemplateVersionId(subject), origin }, rest)
            }
            _ => return None,
        };
        let target = match kind {
            1 => {
                let (place, to) = rest.split_first_chunk::<4>()?;
                let [a, b, c, d] = *place;
                let place = LinkPlace { number: u16::from_be_bytes([a, b]), of: u16::from_be_bytes([c, d]) };
                // Made of nothing else, and looked at again: this goes into a Location header (C-84).
                let to = std::str::from_utf8(to).ok().filter(|to| destination(to).as_deref() == Some(*to))?;
                Some((place, to.to_owned()))
            }
            2 if rest.is_empty() => None,
            _ => return None,
        };
        Some(Self { tenant: TenantId(tenant), tracked, target })
    }
}

/// A click token that was read, not made: proof that the caller holds a link of ours (L1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedClick(ClickToken);

impl std::ops::Deref for VerifiedClick {
    type Target = ClickToken;
    fn deref(&self) -> &ClickToken {
        &self.0
    }
}

fn id(bytes: &[u8]) -> Option<(Uuid, &[u8])> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    Some((Uuid::from_bytes(*id), rest))
}

fn head(id: KeyId) -> [u8; HEAD_LEN] {
    let [high, low] = id.0.to_be_bytes();
    [VERSION, high, low]
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).expect("AES-256 takes 32 bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SeededEntropy;

    const TO: &str = "https://shop.example/a?b=c&d=e#f";

    fn ring() -> Keyring {
        Keyring::generate(&SeededEntropy::new(1))
    }

    fn token(to: &str) -> ClickToken {
        let place = LinkPlace { number: 2, of: 5 };
        let tracked = Tracked::Message(MessageId(Uuid::from_u128(2)));
        ClickToken { tenant: TenantId(Uuid::from_u128(1)), tracked, target: Some((place, to.to_owned())) }
    }

    fn content(origin: &str) -> ClickToken {
        let tracked = Tracked::Content { version: TemplateVersionId(Uuid::from_u128(3)), origin: origin.to_owned() };
        ClickToken { tracked, ..token(TO) }
    }

    fn sign(ring: &Keyring, token: &ClickToken) -> String {
        ring.click_signer().sign(token).expect("a token that can be made")
    }

    #[test]
    fn c084_what_was_signed_is_read_and_the_same_content_has_one_text() {
        let ring = ring();
        for token in [token(TO), content(""), content("w/n/v"), ClickToken { target: None, ..content("w") }] {
            let text = sign(&ring, &token);
            assert_eq!(ClickToken::decode(&ring, token.kind(), &text).map(|read| read.0), Ok(token.clone()));
            assert_eq!(text, sign(&ring, &token));
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        }
    }

    #[test]
    fn c084_a_pixels_token_opens_no_link_and_a_links_no_pixel() {
        let (ring, click) = (ring(), token(TO));
        let open = ClickToken { target: None, ..click.clone() };
        assert_eq!(ClickToken::decode(&ring, HitKind::Open, &sign(&ring, &click)), Err(NoLink::Unknown));
        assert_eq!(ClickToken::decode(&ring, HitKind::Click, &sign(&ring, &open)), Err(NoLink::Unknown));
    }

    #[test]
    fn c084_a_link_leads_to_the_web_or_nowhere() {
        let ring = ring();
        let long = format!("https://shop.example/{}", "a".repeat(DESTINATION_MAX));
        let bad = [
            "javascript:alert(1)",
            "//evil.example",
            "/x",
            "",
            "ftp://shop.example/",
            "data:text/html,x",
            "https:",
            &long,
        ];
        for to in bad {
            assert_eq!(ring.click_signer().sign(&token(to)), None, "{to} is not signed");
            // Not even when our own key made it.
            let forged = ring.click_signer().seal(token(to).to_bytes().unwrap());
            assert_eq!(ClickToken::decode(&ring, HitKind::Click, &forged), Err(NoLink::Unknown), "{to} is not read");
        }
        assert_eq!(destination(" https://Shop.example/ä b\n").as_deref(), Some("https://shop.example/%C3%A4%20b"));
        assert_eq!(ring.click_signer().sign(&content(&"x".repeat(ORIGIN_MAX + 1))), None);
    }

    #[test]
    fn c084_any_flipped_bit_is_refused() {
        let ring = ring();
        let bytes = URL_SAFE_NO_PAD.decode(sign(&ring, &token(TO))).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let read = ClickToken::decode(&ring, HitKind::Click, &URL_SAFE_NO_PAD.encode(altered));
            let in_key = (1..HEAD_LEN).contains(&(bit / 8));
            assert!(matches!(read, Err(NoLink::OtherKey(_)) if in_key) || read == Err(NoLink::Unknown));
        }
    }

    #[test]
    fn c084_retired_keys_read_for_ever() {
        let old = ring();
        let new = old.rotated(&SeededEntropy::new(2)).rotated(&SeededEntropy::new(3));
        let read = ClickToken::decode(&new, HitKind::Click, &sign(&old, &token(TO)));
        assert_eq!(read.map(|read| read.0), Ok(token(TO)));
        let early = ClickToken::decode(&old, HitKind::Click, &sign(&new, &token(TO)));
        assert_eq!(early, Err(NoLink::OtherKey(new.active())), "to be asked for again, never unknown");
    }

    #[test]
    fn c199_debug_shows_no_destination() {
        assert_eq!(format!("{:?}", token("https://shop.example/?mail=ada@example.org")), "ClickToken(click)");
    }

    proptest! {
        #[test]
        fn c084_hostile_text_never_panics(text in "\\PC{0,400}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let ring = ring();
            prop_assert!(ClickToken::decode(&ring, HitKind::Click, &text).is_err());
            prop_assert!(ClickToken::decode(&ring, HitKind::Open, &URL_SAFE_NO_PAD.encode(&bytes)).is_err());
            let signed = ring.click_signer().seal(bytes);
            prop_assert!(ClickToken::decode(&ring, HitKind::Click, &signed).is_err());
        }
    }
}
