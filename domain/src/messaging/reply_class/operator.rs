//! Who runs the mail server of a mailbox: what a code means depends on it (C-49), and so does whose fault it is (C-53).

use super::table::table;

/// An operator of mailboxes that the rules know, by its id; all others count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operator(pub(super) &'static str);

impl Operator {
    /// Everybody whom the rules do not name.
    pub const OTHER: Self = Self("other");

    /// The operator of a mail server or of a mailbox's domain, by their names alone.
    pub fn of_host(host: &str) -> Option<Self> {
        table().operator_of_host(host)
    }

    /// The operator whose servers talk like this.
    pub fn of_text(text: &str) -> Option<Self> {
        table().operator_of_text(text)
    }

    /// The operator of a stored id.
    pub fn of_id(id: &str) -> Self {
        table().operator(id).unwrap_or(Self::OTHER)
    }

    /// The id.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}
