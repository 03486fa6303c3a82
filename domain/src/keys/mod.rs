//! Keys: one keyring from configuration, and everything derived from it.
//!
//! Invariants: every keyed value names the key that made it; the active key makes new values, and retired keys verify
//! and open for ever (C-08, C-157, C-233). No two purposes and no two tenants share a derived key. Nothing here shows
//! key material in `Debug`.

mod address_hash;
mod bounce_token;
mod click_token;
mod feed_cursor;
mod fingerprint;
mod keyring;
mod link_token;
mod seal;

pub use address_hash::{AddressHash, AddressHasher, AddressHmac};
pub use bounce_token::{BounceToken, VerifiedBounce};
pub use click_token::{
    ClickSigner, ClickToken, DESTINATION_MAX, HitKind, LinkPlace, Tracked, VerifiedClick, web_address,
};
pub use feed_cursor::{FeedCursor, FeedSeal, NoCursor};
pub use fingerprint::Fingerprinter;
pub use keyring::{KeyId, Keyring, KeyringError, Purpose};
pub use link_token::{LinkPurpose, LinkToken, NoLink, VerifiedLink};
pub use seal::{Opener, Place, SealBroken, SubjectKey};
