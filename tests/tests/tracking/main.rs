//! Opens and clicks, from the link in a mail to what a workflow may know of them: over the gateway, with the engine judging.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod links;
mod machines;
mod modes;
mod stage;
