//! Webhooks end to end: what happens is told, signed, once or more often, and nowhere inside.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod claims;
mod endpoints;
mod events;
mod replays;
mod retries;
mod setup;
