//! Imports on a real database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod consent;
mod cut;
mod runs;
mod setup;
