//! Bugs for `make selftest`: a safety test must have been seen to fail.
//!
//! Without the feature `seeded-bugs` every question is answered `false` at compile time. With it, the one bug that
//! `CARILLON_BUG` names is on.

/// Whether a bug is seeded.
#[cfg(feature = "seeded-bugs")]
pub fn on(bug: &str) -> bool {
    static BUG: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BUG.get_or_init(|| std::env::var("CARILLON_BUG").unwrap_or_default()) == bug
}

/// Whether a bug is seeded: never in this build.
#[cfg(not(feature = "seeded-bugs"))]
#[inline]
pub const fn on(_: &str) -> bool {
    false
}
