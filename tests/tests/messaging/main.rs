//! Messages end to end: intents, the gate's transaction, claims and fences, outcomes, and the API around them.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod feed;
mod fence;
mod gate;
mod graphql;
mod intents;
mod outcomes;
mod race;
mod rotation;
mod setup;
mod templates;
