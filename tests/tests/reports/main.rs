//! Bounces and complaints end to end: what comes back of a mail that was really sent, by every way in (C-52 to C-60).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounces;
mod complaints;
mod setup;
mod ways_in;
