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
        if is_name(text, Self::MAX, None) { Ok(Self(text.to_owned())) } else { Err(InvalidEventName) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a property: as an event's, at most 64 characters, and `$` as well.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PropertyName(String);

/// A text that is no property's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "A property's name has 1 to 64 letters, digits, spaces and . _ - : $ and neither starts nor ends with a space."
)]
pub struct InvalidPropertyName;

impl PropertyName {
    /// Characters of a name.
    pub const MAX: usize = 64;

    /// Parses a name; nothing is folded.
    pub fn parse(text: &str) -> Result<Self, InvalidPropertyName> {
        if Self::is(text) { Ok(Self(text.to_owned())) } else { Err(InvalidPropertyName) }
    }

    /// Whether a text is one.
    pub fn is(text: &str) -> bool {
        is_name(text, Self::MAX, Some('$'))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_name(text: &str, max: usize, also: Option<char>) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | ':') || also == Some(c);
    let fits = !text.is_empty() && text.trim() == text && text.chars().all(allowed);
    // ASCII is composed, and as many characters as octets.
    fits && if text.is_ascii() { text.len() <= max } else { text.chars().count() <= max && is_nfc(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "order", "Order Completed", "shop:cart.add-2_x", "Käufe", &"ä".repeat(100)] {
            assert!(EventName::parse(name).is_ok(), "{name}");
        }
        for name in ["", " a", "a ", "a\nb", "a/b", "a\u{0}", "Ka\u{308}ufe", "<b>", "$a", &"a".repeat(101)] {
            assert!(EventName::parse(name).is_err(), "{name}");
        }
        assert!(PropertyName::parse("$value").is_ok());
        assert!(PropertyName::parse(&"a".repeat(65)).is_err());
    }
}
