//! The port to the built-in mail catcher: embedded mode has one, production has none.
//!
//! What is behind it belongs to the engine; `app.rs` connects the two.

use std::sync::Arc;

/// A mail as it arrived.
#[derive(Clone)]
pub struct CaughtMail {
    /// Number of arrival, from 1.
    pub seq: u64,
    /// Envelope sender.
    pub envelope_from: String,
    /// Envelope recipients.
    pub recipients: Vec<String>,
    /// Message-ID without brackets.
    pub message_id: Option<String>,
    /// The content.
    pub raw: Arc<[u8]>,
}

impl std::fmt::Debug for CaughtMail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CaughtMail({}, {} octets)", self.seq, self.raw.len())
    }
}

/// What the catcher counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CatcherTotals {
    /// Mails stored.
    pub stored: u64,
    /// Of these, copies that the same recipient already had.
    pub repeated: u64,
    /// Answers 4xx that rules gave.
    pub deferred: u64,
    /// Answers 5xx that rules gave.
    pub rejected: u64,
    /// Connections closed after the final dot, the mail stored.
    pub dropped_stored: u64,
    /// The same, the mail thrown away.
    pub dropped_lost: u64,
}

/// Whose mail a rule is about.
#[derive(Clone, PartialEq, Eq)]
pub enum Whom {
    /// All.
    Everyone,
    /// One address.
    Address(String),
    /// A stable share of all addresses.
    Share {
        /// Number of shares.
        of: u64,
        /// Which, from 0.
        is: u64,
    },
}

impl std::fmt::Debug for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Whom(..)")
    }
}

/// What the catcher does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `451 4.7.1` to RCPT.
    Defer,
    /// `550 5.1.1` to RCPT.
    Reject,
    /// A code and text, to RCPT or after the final dot.
    Answer {
        /// True for after the final dot.
        after_content: bool,
        /// 400 to 599.
        code: u16,
        /// Enhanced code and text.
        text: String,
    },
    /// Closes the connection after the final dot without a word.
    Drop {
        /// Whether the mail is kept all the same.
        stored: bool,
    },
    /// Waits before the answer.
    Delay {
        /// True for after the final dot.
        after_content: bool,
        /// How long.
        millis: u64,
    },
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whose mail.
    pub whom: Whom,
    /// Only the first so many attempts of each recipient.
    pub first: Option<u32>,
    /// What happens.
    pub action: Action,
}

/// A catcher.
pub trait MailCatcher: Send + Sync + std::fmt::Debug {
    /// Mails before a number, newest first, to one recipient or to all.
    fn latest(&self, before: Option<u64>, recipient: Option<&str>, limit: usize) -> Vec<CaughtMail>;
    /// One mail, if it is still kept.
    fn get(&self, seq: u64) -> Option<CaughtMail>;
    /// Counts since the start.
    fn totals(&self) -> CatcherTotals;
    /// Changes how it answers from the next command on.
    fn behave(&self, rules: Vec<Rule>);
}
