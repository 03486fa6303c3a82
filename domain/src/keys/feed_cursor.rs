//! Places in a tenant's feed of events, as clients carry them: opaque, sealed, and of one tenant.
//!
//! Form: base64url of version, key id, place, event and the first half of an HMAC-SHA-256 under the tenant's key. The event
//! that stood at the place lies inside: a feed that was restored to an earlier day gives the same places to other events.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_entities::ids::{MessageEventId, TenantId};
use uuid::Uuid;

use super::{KeyId, Keyring, Purpose};

const VERSION: u8 = 1;
const HEAD: usize = 1 + 2 + 8 + 16;
const TAG: usize = 16;

/// A place in a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedCursor {
    /// How many events lie up to here, from 0.
    pub place: i64,
    /// The last of them; none at the beginning.
    pub event: Option<MessageEventId>,
}

/// Why a text is no place in a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCursor {
    /// Not a cursor of ours, or another tenant's.
    Unknown,
    /// It names a key that is not in this keyring. While keys are rotated another process may have it, so nobody may be told
    /// that their place is lost.
    OtherKey(KeyId),
}

/// Makes a tenant's cursors: the key is derived once for a page of them.
pub struct FeedSeal {
    id: KeyId,
    key: hmac::Key,
}

impl std::fmt::Debug for FeedSeal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FeedSeal({})", self.id)
    }
}

impl FeedSeal {
    /// The text of a cursor.
    pub fn encode(&self, cursor: FeedCursor) -> String {
        let mut bytes = Vec::with_capacity(HEAD + TAG);
        bytes.push(VERSION);
        bytes.extend(self.id.0.to_be_bytes());
        bytes.extend(cursor.place.to_be_bytes());
        bytes.extend(cursor.event.map_or(Uuid::nil(), |event| event.0).as_bytes());
        let tag = hmac::sign(&self.key, &bytes);
        bytes.extend(&tag.as_ref()[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

impl Keyring {
    /// What seals a tenant's cursors.
    pub fn feed_seal(&self, tenant: TenantId) -> FeedSeal {
        let key = self.derive_active(Purpose::FeedCursor, Some(tenant));
        FeedSeal { id: self.active(), key: hmac::Key::new(hmac::HMAC_SHA256, &key) }
    }
}

impl FeedCursor {
    /// Reads a cursor of this tenant's.
    ///
    /// # Errors
    /// [`NoCursor`].
    pub fn decode(ring: &Keyring, tenant: TenantId, text: &str) -> Result<Self, NoCursor> {
        let mut bytes = [0; HEAD + TAG];
        if URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(HEAD + TAG) {
            return Err(NoCursor::Unknown);
        }
        let (head, tag) = bytes.split_at(HEAD);
        let &[VERSION, high, low, ref rest @ ..] = head else { return Err(NoCursor::Unknown) };
        let id = KeyId(u16::from_be_bytes([high, low]));
        let key = ring.derive(id, Purpose::FeedCursor, Some(tenant)).ok_or(NoCursor::OtherKey(id))?;
        let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), head);
        constant_time::verify_slices_are_equal(&expected.as_ref()[..TAG], tag).map_err(|_| NoCursor::Unknown)?;
        let (place, event) = rest.split_first_chunk::<8>().ok_or(NoCursor::Unknown)?;
        let event = event.first_chunk::<16>().map(|event| Uuid::from_bytes(*event)).ok_or(NoCursor::Unknown)?;
        let event = (!event.is_nil()).then_some(MessageEventId(event));
        Ok(Self { place: i64::from_be_bytes(*place), event })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SeededEntropy;

    fn tenant(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    #[test]
    fn c204_a_cursor_is_of_one_tenant_and_cannot_be_altered() {
        let ring = Keyring::generate(&SeededEntropy::new(1));
        let beginning = FeedCursor { place: 0, event: None };
        let middle = FeedCursor { place: 7_000_000_000, event: Some(MessageEventId(Uuid::from_u128(5))) };
        for cursor in [beginning, middle] {
            let text = ring.feed_seal(tenant(1)).encode(cursor);
            assert_eq!(FeedCursor::decode(&ring, tenant(1), &text), Ok(cursor));
            assert_eq!(FeedCursor::decode(&ring, tenant(2), &text), Err(NoCursor::Unknown));
            for at in 0..text.len() {
                let mut altered = text.clone().into_bytes();
                altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
                let altered = String::from_utf8(altered).unwrap();
                assert!(FeedCursor::decode(&ring, tenant(1), &altered).is_err(), "{at}");
            }
        }
    }

    #[test]
    fn c157_a_cursor_outlives_its_keys_retirement_and_waits_for_a_key_that_is_not_here() {
        let old = Keyring::generate(&SeededEntropy::new(1));
        let new = old.rotated(&SeededEntropy::new(2));
        let cursor = FeedCursor { place: 3, event: None };
        let before = old.feed_seal(tenant(1)).encode(cursor);
        assert_eq!(FeedCursor::decode(&new, tenant(1), &before), Ok(cursor));
        let after = new.feed_seal(tenant(1)).encode(cursor);
        assert_eq!(FeedCursor::decode(&old, tenant(1), &after), Err(NoCursor::OtherKey(new.active())));
    }

    proptest! {
        #[test]
        fn whatever_is_no_cursor_is_refused(text in "\\PC{0,80}") {
            let ring = Keyring::generate(&SeededEntropy::new(1));
            prop_assert!(FeedCursor::decode(&ring, tenant(1), &text).is_err());
        }
    }
}
