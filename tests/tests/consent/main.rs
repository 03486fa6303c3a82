//! Consent end to end: the ledger and its projection, suppressions, and the links in mails.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod follows;
mod graphql;
mod ledger;
mod links;
mod race;
mod setup;
mod suppressions;
