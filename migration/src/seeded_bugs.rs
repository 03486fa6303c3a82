//! Known bugs of the schema that `make selftest` turns on one at a time; the same switch as in `entities`, which this
//! crate must not name.
//!
//! Without the feature `seeded-bugs` every bug is off at compile time, so no shipped executable can have one.

/// True when this process was told, by `CARILLON_BUG`, to have the bug of this name.
#[cfg(feature = "seeded-bugs")]
pub(crate) fn on(name: &str) -> bool {
    static BUG: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    BUG.get_or_init(|| std::env::var("CARILLON_BUG").ok()).as_deref() == Some(name)
}

/// Never: the feature is off.
#[cfg(not(feature = "seeded-bugs"))]
pub(crate) const fn on(_name: &str) -> bool {
    false
}
