//! Tokens in return paths (C-55): a mail's envelope sender names tenant, message and attempt, and a bounce is believed only
//! if its address was signed here.
//!
//! Form: a local part of 64 characters, as many as one may have (RFC 5321 s4.5.3.1): a version letter and 63 digits of base 32
//! that read the same in either case. They hold the low byte of the key's id, the attempt, both ids without the six bits that
//! every UUIDv7 has, and 56 bits of HMAC-SHA-256, which only a server that we ask could help to guess, one guess a mail.

use aws_lc_rs::hmac;
use carillon_entities::ids::{MessageId, TenantId};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::link_token::NoLink;
use super::{KeyId, Keyring, Purpose};

/// Crockford's: no letter looks like a digit, and none is there twice in another case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const VERSION: u8 = b'b';
const DIGITS: usize = 63;
const MAC_LEN: usize = 7;
/// What an attempt beyond it is told as: seven bits are enough for five days of tries.
const ATTEMPT_MAX: u8 = 127;

/// The content of a return path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BounceToken {
    /// Whose mail it was.
    pub tenant: TenantId,
    /// Which message.
    pub message: MessageId,
    /// Which attempt, from 1; none where it is too high to be told.
    pub attempt: Option<u8>,
}

impl BounceToken {
    /// The token of an attempt.
    pub fn new(tenant: TenantId, message: MessageId, attempt: i32) -> Self {
        let attempt = u8::try_from(attempt).ok().filter(|attempt| (1..ATTEMPT_MAX).contains(attempt));
        Self { tenant, message, attempt }
    }

    /// The local part; none for ids that are no UUIDv7, which nothing here makes.
    pub fn encode(&self, ring: &Keyring) -> Option<String> {
        let id = ring.active();
        let mac = self.mac(id, &ring.derive_active(Purpose::BounceAddress, None));
        let mut bits = Vec::with_capacity(DIGITS * 5);
        put(&mut bits, u128::from(id.0 & 0xff), 8);
        put(&mut bits, u128::from(self.attempt.unwrap_or(ATTEMPT_MAX)), 7);
        put(&mut bits, squeezed(self.tenant.0)?, 122);
        put(&mut bits, squeezed(self.message.0)?, 122);
        for byte in mac {
            put(&mut bits, u128::from(byte), 8);
        }
        let digit = |five: &[u8]| char::from(ALPHABET[usize::from(five.iter().fold(0, |all, bit| (all << 1) | bit))]);
        let digits = bits.chunks(5).map(digit);
        Some(std::iter::once(char::from(VERSION)).chain(digits).collect())
    }

    /// Reads a local part, whatever case servers on the way gave it.
    ///
    /// # Errors
    /// [`NoLink::OtherKey`] for a key that is not here and may be elsewhere; for everything else that is wrong the same.
    pub fn decode(ring: &Keyring, local: &str) -> Result<VerifiedBounce, NoLink> {
        let bits = bits(local).ok_or(NoLink::Unknown)?;
        let mut bits = bits.as_slice();
        let hint = u16::try_from(take(&mut bits, 8)).unwrap_or(0);
        let attempt = u8::try_from(take(&mut bits, 7)).unwrap_or(0);
        let tenant = TenantId(stretched(take(&mut bits, 122)));
        let message = MessageId(stretched(take(&mut bits, 122)));
        let given: [u8; MAC_LEN] = std::array::from_fn(|_| u8::try_from(take(&mut bits, 8)).unwrap_or(0));
        let token = Self::new(tenant, message, attempt.into());
        if carillon_entities::seeded_bugs::on("bounce_address_unchecked") {
            return Ok(VerifiedBounce(token));
        }
        // The id is longer than its byte: every key that it may be is tried.
        let mut keys = ring.ids().filter(|id| id.0 & 0xff == hint).peekable();
        if keys.peek().is_none() {
            return Err(NoLink::OtherKey(KeyId(hint)));
        }
        let signed = keys.any(|id| {
            let key = ring.derive(id, Purpose::BounceAddress, None);
            key.is_some_and(|key| bool::from(token.mac(id, &key).ct_eq(&given)))
        });
        if signed { Ok(VerifiedBounce(token)) } else { Err(NoLink::Unknown) }
    }

    fn mac(&self, id: KeyId, key: &[u8; 32]) -> [u8; MAC_LEN] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        context.update(&[VERSION]);
        context.update(&id.0.to_be_bytes());
        context.update(&[self.attempt.unwrap_or(ATTEMPT_MAX)]);
        context.update(self.tenant.0.as_bytes());
        context.update(self.message.0.as_bytes());
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&context.sign().as_ref()[..MAC_LEN]);
        mac
    }
}

/// A return path that was read, not made: proof that a mail of ours carried it (L1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedBounce(BounceToken);

impl std::ops::Deref for VerifiedBounce {
    type Target = BounceToken;
    fn deref(&self) -> &BounceToken {
        &self.0
    }
}

/// The bits of a UUIDv7 that are not the same in all of them.
fn squeezed(id: Uuid) -> Option<u128> {
    let bits = id.as_u128();
    let is_v7 = (bits >> 76) & 0xf == 7 && (bits >> 62) & 0b11 == 0b10;
    let (time, first, rest) = (bits >> 80, (bits >> 64) & 0xfff, bits & ((1 << 62) - 1));
    is_v7.then_some((time << 74) | (first << 62) | rest)
}

fn stretched(bits: u128) -> Uuid {
    let (time, first, rest) = (bits >> 74, (bits >> 62) & 0xfff, bits & ((1 << 62) - 1));
    Uuid::from_u128((time << 80) | (7 << 76) | (first << 64) | (0b10 << 62) | rest)
}

/// The bits of a local part of ours, a byte each.
fn bits(local: &str) -> Option<Vec<u8>> {
    let (version, digits) = local.as_bytes().split_first()?;
    if !version.eq_ignore_ascii_case(&VERSION) || digits.len() != DIGITS {
        return None;
    }
    let mut bits = Vec::with_capacity(DIGITS * 5);
    for digit in digits {
        let value = ALPHABET.iter().position(|letter| letter.eq_ignore_ascii_case(digit))?;
        put(&mut bits, u128::try_from(value).ok()?, 5);
    }
    Some(bits)
}

fn put(bits: &mut Vec<u8>, value: u128, count: u32) {
    bits.extend((0..count).rev().map(|place| u8::from((value >> place) & 1 == 1)));
}

fn take(bits: &mut &[u8], count: usize) -> u128 {
    let (taken, rest) = bits.split_at(count.min(bits.len()));
    *bits = rest;
    taken.iter().fold(0, |all, bit| (all << 1) | u128::from(*bit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::{Entropy as _, SeededEntropy};
    use crate::time::Timestamp;

    fn ring() -> Keyring {
        Keyring::generate(&SeededEntropy::new(1))
    }

    fn token(seed: u64, attempt: i32) -> BounceToken {
        let entropy = SeededEntropy::new(seed);
        let at = |seconds: i64| Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        BounceToken::new(TenantId(entropy.uuid_v7(at(0))), MessageId(entropy.uuid_v7(at(99))), attempt)
    }

    #[test]
    fn c055_a_return_path_is_as_long_as_a_local_part_may_be_and_reads_the_same_in_either_case() {
        let ring = ring();
        for attempt in [1, 2, 126, 127, 1_000] {
            let token = token(7, attempt);
            let local = token.encode(&ring).unwrap();
            assert_eq!(local.len(), 64);
            assert!(local.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{local}");
            assert_eq!(token.attempt.map(i32::from), Some(attempt).filter(|attempt| *attempt < 127));
            assert_eq!(BounceToken::decode(&ring, &local).map(|read| read.0), Ok(token));
            assert_eq!(BounceToken::decode(&ring, &local.to_uppercase()).map(|read| read.0), Ok(token));
            assert!(format!("{local}@bounces.example.org").parse::<crate::contacts::EmailAddress>().is_ok());
        }
        let nobody = BounceToken::new(TenantId(Uuid::from_u128(1)), MessageId(Uuid::from_u128(2)), 1);
        assert_eq!(nobody.encode(&ring), None);
    }

    #[test]
    fn c055_another_digit_anywhere_is_no_signature() {
        let ring = ring();
        let local = token(7, 3).encode(&ring).unwrap();
        for place in 0..local.len() {
            for letter in ALPHABET.iter().filter(|letter| **letter != local.as_bytes()[place]) {
                let mut altered = local.clone().into_bytes();
                altered[place] = *letter;
                let altered = String::from_utf8(altered).unwrap();
                // Of the key's id the first digit and three bits of the second stand in clear.
                let read = BounceToken::decode(&ring, &altered);
                assert!(
                    matches!(read, Err(NoLink::OtherKey(_)) if (1..=2).contains(&place))
                        || read == Err(NoLink::Unknown)
                );
            }
        }
    }

    #[test]
    fn c055_retired_keys_verify_for_ever() {
        let (old, token) = (ring(), token(7, 1));
        let new = old.rotated(&SeededEntropy::new(2)).rotated(&SeededEntropy::new(3));
        let local = token.encode(&old).unwrap();
        assert_eq!(BounceToken::decode(&new, &local).map(|read| read.0), Ok(token));
        let early = BounceToken::decode(&old, &token.encode(&new).unwrap());
        assert_eq!(early, Err(NoLink::OtherKey(new.active())), "to be asked for again, never unknown");
    }

    #[test]
    fn c055_somebody_elses_key_of_the_same_number_signs_nothing_here() {
        let other = Keyring::generate(&SeededEntropy::new(9));
        assert_eq!(BounceToken::decode(&ring(), &token(7, 1).encode(&other).unwrap()), Err(NoLink::Unknown));
    }

    proptest! {
        #[test]
        fn c055_every_attempt_of_every_message_is_read_back(seed: u64, attempt in 1i32..500) {
            let (ring, token) = (ring(), token(seed, attempt));
            let local = token.encode(&ring).unwrap();
            prop_assert_eq!(BounceToken::decode(&ring, &local).map(|read| read.0), Ok(token));
        }

        #[test]
        fn c055_hostile_text_never_panics(text in "\\PC{0,80}", digits in "[bB][0-9a-zA-Z]{63}") {
            prop_assert!(BounceToken::decode(&ring(), &text).is_err());
            prop_assert!(BounceToken::decode(&ring(), &digits).is_err());
        }
    }
}
