//! A rendered mail, ready for a channel: everything but the bytes of the wire.

use std::sync::Arc;

use carillon_entities::ids::MessageId;

use super::reply_class::Operator;
use crate::contacts::EmailAddress;
use crate::time::Timestamp;

/// A name and an address, as in a From header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Display name; empty for none.
    pub name: String,
    /// The address.
    pub address: EmailAddress,
}

/// The List-Unsubscribe pair and its companions (C-01, C-17, C-19); marketing mail only (C-20).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListHeaders {
    /// The one-click https URL.
    pub one_click_url: String,
    /// Content of List-ID without angle brackets, built from ids: `topic_01h4...brand_01h4...example.org`.
    pub list_id: String,
    /// Content of Feedback-ID: four fields of ids, joined with colons.
    pub feedback_id: String,
}

/// The key that signs for the From domain; sharing it is cheap. RSA-2048, PKCS#8 DER.
#[derive(Clone)]
pub struct DkimKey {
    /// The signing domain (`d=`).
    pub domain: String,
    /// The selector (`s=`).
    pub selector: String,
    /// PKCS#8 DER of the private key.
    pub private_key_der: Arc<[u8]>,
}

impl std::fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DkimKey({}, {})", self.domain, self.selector)
    }
}

/// One mail to one person (C-32). The same message and date make the same bytes.
#[derive(Clone)]
pub struct EmailMessage {
    /// The message this is an attempt of.
    pub message: MessageId,
    /// Which attempt, from 1.
    pub attempt: i32,
    /// Envelope sender (return path).
    pub envelope_from: EmailAddress,
    /// The one From.
    pub from: Mailbox,
    /// Reply-To, if not From.
    pub reply_to: Option<EmailAddress>,
    /// The one recipient, original case kept (C-29).
    pub to: EmailAddress,
    /// Rendered subject.
    pub subject: String,
    /// Rendered text part; always there (C-31).
    pub text: String,
    /// Rendered html part.
    pub html: String,
    /// When it first passed the gate, the same for every attempt (C-26).
    pub date: Timestamp,
    /// Message-ID without angle brackets, the same for every attempt (C-25).
    pub internet_message_id: String,
    /// Present on marketing mail.
    pub list: Option<ListHeaders>,
    /// Who signs; a mail without a usable key is held by the gate (C-02).
    pub dkim: DkimKey,
}

impl EmailMessage {
    /// Who runs the mailbox it is for, as far as its domain tells: what stands behind other domains a relay does not say.
    pub fn mailbox(&self) -> Operator {
        Operator::of_host(self.to.domain_ascii()).unwrap_or(Operator::OTHER)
    }
}

impl std::fmt::Debug for EmailMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EmailMessage({}, attempt {})", self.message, self.attempt)
    }
}
