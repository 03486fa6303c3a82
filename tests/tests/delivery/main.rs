//! From an accepted intent to a mail in the catcher: the gate, retries, crashes, and that nothing leaves twice or after
//! an unsubscribe (L3, L8).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clock;
mod crashes;
mod lingering;
mod permits;
mod race;
mod sending;
