//! The rules as data (C-51). Ids are stored with decisions: a rule may be added or retired, its id never reused, and any
//! change raises [`RULES_VERSION`].

use super::{EnhancedCode, FailureClass};
use FailureClass as C;

/// Raised with every change of a rule.
pub const RULES_VERSION: u16 = 1;

/// One rule; `class` of the code (4 or 5) does not matter here, it decides whether the answer is final.
pub(super) struct Rule {
    /// Stable id.
    pub id: &'static str,
    /// Enhanced subject and detail; no detail means any.
    code: Option<(u16, Option<u16>)>,
    /// Any of these in the lower-case text; none means any text.
    markers: &'static [&'static str],
    /// What it means.
    pub class: FailureClass,
}

impl Rule {
    /// Whether an enhanced code and its text fit.
    pub fn fits(&self, code: EnhancedCode, text: &str) -> bool {
        self.code.is_some_and(|(subject, detail)| {
            subject == code.subject && detail.is_none_or(|detail| detail == code.detail)
        }) && self.marks(text)
    }

    /// Whether the text fits.
    pub fn marks(&self, text: &str) -> bool {
        self.markers.is_empty() || self.markers.iter().any(|marker| text.contains(marker))
    }
}

const fn exact(id: &'static str, subject: u16, detail: u16, class: FailureClass) -> Rule {
    Rule { id, code: Some((subject, Some(detail))), markers: &[], class }
}

const fn any(id: &'static str, subject: u16, class: FailureClass) -> Rule {
    Rule { id, code: Some((subject, None)), markers: &[], class }
}

const fn marked(id: &'static str, code: (u16, u16), markers: &'static [&'static str], class: FailureClass) -> Rule {
    Rule { id, code: Some((code.0, Some(code.1))), markers, class }
}

const fn text(id: &'static str, markers: &'static [&'static str], class: FailureClass) -> Rule {
    Rule { id, code: None, markers, class }
}

const AUTHENTICATION: &[&str] = &["dmarc", "dkim", "spf ", "spf:", "unauthenticated", "not authenticated"];
const NO_SUCH_USER: &[&str] = &[
    "user unknown",
    "unknown user",
    "no such user",
    "no such recipient",
    "no such mailbox",
    "mailbox not found",
    "recipient not found",
    "user not found",
    "user doesn't exist",
    "user does not exist",
    "mailbox does not exist",
    "account does not exist",
    "address does not exist",
    "recipient unknown",
    "unknown recipient",
    "unknown mailbox",
    "invalid mailbox",
];

/// By enhanced code (RFC 3463, RFC 5248 and the registry it opened); the first that fits wins.
pub(super) static ENHANCED_RULES: &[Rule] = &[
    // Exchange Online answers so for addresses its directory does not know.
    marked("e-4-1-denied", (4, 1), &["recipient address rejected: access denied"], C::RecipientPermanent),
    marked("e-7-1-auth", (7, 1), AUTHENTICATION, C::SenderAuth),
    marked("e-1-0-unknown", (1, 0), NO_SUCH_USER, C::RecipientPermanent),
    exact("e-1-1", 1, 1, C::RecipientPermanent),
    exact("e-1-2", 1, 2, C::Domain),
    exact("e-1-3", 1, 3, C::RecipientPermanent),
    exact("e-1-6", 1, 6, C::RecipientPermanent),
    exact("e-1-7", 1, 7, C::SenderAuth),
    exact("e-1-8", 1, 8, C::SenderAuth),
    exact("e-1-10", 1, 10, C::Domain),
    exact("e-2-1", 2, 1, C::RecipientPermanent),
    exact("e-2-2", 2, 2, C::RecipientTransient),
    exact("e-2-3", 2, 3, C::Content),
    exact("e-2-4", 2, 4, C::RecipientTransient),
    exact("e-3-3", 3, 3, C::Capability),
    exact("e-3-4", 3, 4, C::Content),
    any("e-3", 3, C::Network),
    exact("e-4-3", 4, 3, C::Domain),
    exact("e-4-4", 4, 4, C::Domain),
    exact("e-4-6", 4, 6, C::Domain),
    any("e-4", 4, C::Network),
    any("e-5", 5, C::Capability),
    exact("e-6-7", 6, 7, C::Capability),
    any("e-6", 6, C::Content),
    exact("e-7-4", 7, 4, C::Capability),
    exact("e-7-8", 7, 8, C::SenderAuth),
    exact("e-7-9", 7, 9, C::SenderAuth),
    exact("e-7-17", 7, 17, C::RecipientPermanent),
    exact("e-7-18", 7, 18, C::Domain),
    exact("e-7-20", 7, 20, C::SenderAuth),
    exact("e-7-21", 7, 21, C::SenderAuth),
    exact("e-7-22", 7, 22, C::SenderAuth),
    exact("e-7-23", 7, 23, C::SenderAuth),
    exact("e-7-24", 7, 24, C::SenderAuth),
    exact("e-7-25", 7, 25, C::SenderAuth),
    exact("e-7-26", 7, 26, C::SenderAuth),
    exact("e-7-27", 7, 27, C::SenderAuth),
    exact("e-7-29", 7, 29, C::SenderAuth),
    exact("e-7-30", 7, 30, C::Capability),
    any("e-7", 7, C::PolicyOrReputation),
];

/// By text, where no enhanced code tells more; blame of the sender before blame of the recipient.
pub(super) static TEXT_RULES: &[Rule] = &[
    text(
        "t-policy",
        &["spam", "blocked", "blacklist", "blocklist", "reputation", "rate limit", "too many", "greylist", "policy"],
        C::PolicyOrReputation,
    ),
    text("t-auth", AUTHENTICATION, C::SenderAuth),
    text("t-full", &["mailbox full", "over quota", "quota exceeded", "mailbox is full"], C::RecipientTransient),
    text("t-size", &["too large", "size limit", "message size", "too big"], C::Content),
    text("t-unknown-user", NO_SUCH_USER, C::RecipientPermanent),
    text("t-domain", &["domain not found", "host not found", "unable to route", "mail loop"], C::Domain),
];

/// What a basic code alone says (RFC 5321 s4.2.3); 550 alone may be anything.
pub(super) fn by_basic(code: u16) -> (FailureClass, &'static str) {
    match code {
        421 | 432 | 442 | 447 | 451 => (C::Network, "b-network"),
        452 | 422 => (C::RecipientTransient, "b-transient"),
        450 => (C::RecipientTransient, "b-450"),
        500..=504 | 555 => (C::Capability, "b-capability"),
        523 | 552 => (C::Content, "b-size"),
        530 | 534 | 535 | 538 => (C::SenderAuth, "b-auth"),
        _ => (C::Unknown, "b-unknown"),
    }
}
