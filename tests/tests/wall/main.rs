//! The tenant wall (L1): what does not compile, what the catalogue must say, what every registered statement may
//! touch, which index every look-up takes, and that no interleaving of transactions lets one tenant see another.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alone;
mod append_only;
mod catalogue;
mod compile;
mod dialect;
mod explain;
mod held;
mod leaks;
mod partitions;
mod pooled;
mod stale;
mod statements;
mod writers;
