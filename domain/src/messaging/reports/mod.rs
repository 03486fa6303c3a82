//! What comes back of mails: bounces, delays and complaints (C-54 to C-60).
//!
//! Invariants: a report is believed only about the mail whose signed return path, or signed link, it came with (C-55), and
//! suppresses nobody but the address of that mail, and that only if the report names it; what is read of it is bounded, and
//! nothing that it holds stops the reader. Facts are added to the message's history once each, whatever order they come in, and
//! move it along a lattice (C-58). We answer nobody (C-57).

mod address;
mod apply;
mod complain;
mod fields;
mod prose;
mod read;
mod receive;
mod redact;
#[cfg(test)]
mod tests;
mod verdict;

pub(super) use address::return_path;
pub use address::{ReportAddress, report_address};
pub use read::READ_MAX;
pub use receive::{ReportEnd, receive_report};

use super::reply_class::EnhancedCode;

/// What a mail to a return path is.
#[derive(Clone, PartialEq, Eq)]
enum Reported {
    /// A report on the delivery to each of these.
    Delivery(Vec<RecipientReport>),
    /// A complaint, or what looks like one.
    Feedback(Feedback),
    /// A mailbox answered for its owner (C-57).
    AutoReply,
    /// Anything else.
    Other,
}

/// Without its content: it is about people (L9).
impl std::fmt::Debug for Reported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Delivery(recipients) => write!(f, "Delivery({} recipients)", recipients.len()),
            Self::Feedback(feedback) => write!(f, "Feedback({:?})", feedback.kind),
            Self::AutoReply => f.write_str("AutoReply"),
            Self::Other => f.write_str("Other"),
        }
    }
}

/// What became of the mail for one recipient (RFC 3464 s2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// It is given up.
    Failed,
    /// It is being tried; no bounce.
    Delayed,
    /// It is in the mailbox.
    Delivered,
    /// It went on to where no reports come from.
    Relayed,
    /// It went to the members of a list.
    Expanded,
}

impl Action {
    /// The action of a field.
    fn of(word: &str) -> Option<Self> {
        let words = ["failed", "delayed", "delivered", "relayed", "expanded"];
        let actions = [Self::Failed, Self::Delayed, Self::Delivered, Self::Relayed, Self::Expanded];
        words.iter().zip(actions).find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, action)| action)
    }

    /// True where somebody has it.
    fn is_good(self) -> bool {
        matches!(self, Self::Delivered | Self::Relayed | Self::Expanded)
    }
}

/// The part of a report that is about one recipient.
#[derive(Clone, PartialEq, Eq)]
struct RecipientReport {
    action: Action,
    status: Option<EnhancedCode>,
    /// The reply of the server that said no: its code, 0 for none, and its text.
    diagnostic: Option<(u16, String)>,
    /// The address that it was given up for, and the one that it was first written to.
    recipients: Vec<String>,
    remote_mta: Option<String>,
}

/// What a feedback report says (RFC 5965 s3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FeedbackKind {
    /// A person, or a provider for them, does not want it.
    Complaint,
    /// A person took it out of the spam folder: a signal and no more (C-59).
    NotSpam,
    /// It is about authentication: nobody complains.
    Authentication,
}

/// A feedback report.
#[derive(Clone, PartialEq, Eq)]
struct Feedback {
    kind: FeedbackKind,
    /// Return paths and lists of links in the headers that came back; recipients may be redacted (C-59).
    return_paths: Vec<String>,
    links: Vec<String>,
    /// The report's own fields: the evidence.
    text: String,
}
