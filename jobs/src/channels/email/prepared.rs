//! A built and signed mail with its envelope: what the pool hands over.

use carillon_domain::ids::MessageId;
use carillon_domain::messaging::{EmailMessage, FormOf};

use super::address::WireAddress;
use super::content::ContentError;
use super::dkim::DkimSigners;
use super::mime::{self, Mime};

/// Builds a mail and signs it with the key of its From domain (C-02).
pub fn prepare(mail: &EmailMessage, signers: &DkimSigners) -> Result<PreparedEmail, ContentError> {
    if !are_aligned(mail.from.address.domain_ascii(), &mail.dkim.domain) {
        return Err(ContentError::Unaligned);
    }
    let signer = signers.get(&mail.dkim)?;
    let mime = mime::build(mail)?;
    let signature = signer.sign(&mime, mail.date)?;
    Ok(PreparedEmail::new(mail.message, mail.attempt, mime, signature))
}

/// True when one domain is the other or lies under it.
fn are_aligned(from: &str, signing: &str) -> bool {
    let lies_under =
        |name: &str, parent: &str| name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let (from, signing) = (from.to_ascii_lowercase(), signing.to_ascii_lowercase());
    lies_under(&from, &signing) || lies_under(&signing, &from)
}

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

impl FormOf<EmailMessage> for PreparedEmail {
    type Error = ContentError;

    fn of(self, mail: &EmailMessage) -> Result<Self, ContentError> {
        let to = WireAddress::new(&mail.to, "to")?;
        let same = (self.message, self.attempt) == (mail.message, mail.attempt) && self.to == to;
        if same { Ok(self) } else { Err(ContentError::Foreign) }
    }
}

impl std::fmt::Debug for PreparedEmail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PreparedEmail({}, attempt {}, {} octets)", self.message, self.attempt, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::transactional;
    use super::*;

    #[test]
    fn c161_a_permit_for_one_person_is_none_for_another() {
        let signers = DkimSigners::default();
        let (ada, eve) = (transactional("ada@example.org"), transactional("eve@example.org"));
        let prepared = || prepare(&ada, &signers).unwrap();
        assert!(prepared().of(&ada).is_ok());
        assert_eq!(prepared().of(&eve).unwrap_err(), ContentError::Foreign);
        let next = EmailMessage { attempt: 2, ..ada.clone() };
        assert_eq!(prepared().of(&next).unwrap_err(), ContentError::Foreign);
    }
}
