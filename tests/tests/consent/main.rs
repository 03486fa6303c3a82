//! Consent end to end: the ledger and its projection, suppressions, and the links in mails.

mod ledger;
mod links;
mod race;
mod setup;
mod suppressions;
