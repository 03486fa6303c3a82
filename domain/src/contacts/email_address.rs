//! An e-mail address, parsed (C-29, C-30).

/// A parsed address; has no `Display` and a redacted `Debug` so that it cannot reach a log (L9).
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress {
    original: String,
}

impl EmailAddress {
    /// The address as given, for sending.
    pub fn as_sent(&self) -> &str {
        &self.original
    }
}

impl std::fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmailAddress(..)")
    }
}
