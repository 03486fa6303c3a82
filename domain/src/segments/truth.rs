//! Three answers: what cannot be known is neither yes nor no.

/// The answer of a condition, as Kleene's logic and SQL's NULL have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not hold.
    No,
    /// Nobody can know: the person is not tracked.
    Unknown,
}
