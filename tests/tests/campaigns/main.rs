//! Campaigns on a real database: whom they go to, when, once, and not once they are held.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod freezing;
mod graphql;
mod holding;
mod rules;
mod samples;
mod sending;
mod setup;
