//! A built and signed mail with its envelope: what the pool hands over.

use carillon_domain::ids::MessageId;

use super::address::WireAddress;
use super::mime::Mime;

/// A mail whose bytes will not change any more. Made only by [`EmailChannel::prepare`](super::EmailChannel::prepare),
/// so that whatever guards that function guards every hand-over.
pub struct PreparedEmail {
    pub(super) message: MessageId,
    pub(super) attempt: i32,
    pub(super) envelope_from: WireAddress,
    pub(super) to: WireAddress,
    pub(super) needs_smtputf8: bool,
    pub(super) bytes: Vec<u8>,
}

impl PreparedEmail {
    /// Puts the signature before the mail it signs.
    pub(super) fn new(message: MessageId, attempt: i32, mime: Mime, mut signature: Vec<u8>) -> Self {
        signature.extend_from_slice(&mime.bytes);
        let Mime { envelope_from, to, needs_smtputf8, .. } = mime;
        Self { message, attempt, envelope_from, to, needs_smtputf8, bytes: signature }
    }

    /// The message this is an attempt of.
    pub fn message(&self) -> MessageId {
        self.message
    }

    /// Which attempt, from 1.
    pub fn attempt(&self) -> i32 {
        self.attempt
    }

    /// Octets on the wire, before dot-stuffing.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl std::fmt::Debug for PreparedEmail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PreparedEmail({}, attempt {}, {} octets)", self.message, self.attempt, self.bytes.len())
    }
}
