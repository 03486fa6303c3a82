//! Names of events and of their properties.

use unicode_normalization::is_nfc;

/// The name of an event: 1 to 100 letters, digits, spaces and `.`, `_`, `-`, `:`, compared exactly as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(String);

/// A text that is no event's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An event's name has 1 to 100 letters, digits, spaces and . _ - : and neither starts nor ends with a space.")]
pub struct InvalidEventName;

impl EventName {
    /// Characters of a name.
    pub const MAX: usize = 100;

    /// Parses a name; nothing is folded.
    pub fn parse(text: &str) -> Result<Self, InvalidEventName> {
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | ':');
        let fits = !text.is_empty() && text.chars().count() <= Self::MAX && text.trim() == text;
        if fits && text.chars().all(allowed) && is_nfc(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidEventName)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "order", "Order Completed", "shop:cart.add-2_x", "Käufe", &"ä".repeat(100)] {
            assert!(EventName::parse(name).is_ok(), "{name}");
        }
        for name in ["", " a", "a ", "a\nb", "a/b", "a\u{0}", "Ka\u{308}ufe", "<b>", &"a".repeat(101)] {
            assert!(EventName::parse(name).is_err(), "{name}");
        }
    }
}
