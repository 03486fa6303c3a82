//! Short texts about a person: bounded in octets, one line, no control characters (C-24), surrounding space cut.

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Nothing but space.
    #[error("The text is empty.")]
    Empty,
    /// Too many octets.
    #[error("The text is longer than {0} octets.")]
    TooLong(usize),
    /// A line break, NUL or another control character.
    #[error("The text has a line break or another control character.")]
    Control,
}

/// One line in NFC of 1 to `max` octets, without surrounding space.
pub fn one_line(text: &str, max: usize) -> Result<String, InvalidText> {
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidText::Empty);
    }
    if text.len() > max {
        return Err(InvalidText::TooLong(max));
    }
    // U+2028 and U+2029 break lines as well.
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(InvalidText::Control);
    }
    let text = if is_nfc(text) { text.to_owned() } else { text.nfc().collect() };
    if text.len() > max { Err(InvalidText::TooLong(max)) } else { Ok(text) }
}

/// Octets of a first or last name.
pub const NAME_MAX: usize = 200;
/// Octets of a tenant's own id for a contact.
pub const EXTERNAL_ID_MAX: usize = 255;

/// A first or last name.
pub fn person_name(text: &str) -> Result<String, InvalidText> {
    one_line(text, NAME_MAX)
}

/// A tenant's own id for a contact; compared exactly as written.
pub fn external_id(text: &str) -> Result<String, InvalidText> {
    one_line(text, EXTERNAL_ID_MAX)
}

/// A label a tenant puts on contacts; compared exactly as written, so `VIP` and `vip` are two.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// Why a text cannot be a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTag {
    /// Not a short line.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// It would be two tags in a file.
    #[error("A tag has no comma, semicolon or vertical bar.")]
    Separator,
}

impl Tag {
    /// Octets of a tag.
    pub const MAX: usize = 64;
    /// Tags a contact may have.
    pub const MAX_PER_CONTACT: usize = 100;
    /// What separates tags in one cell of a file.
    pub const SEPARATORS: [char; 3] = [',', ';', '|'];

    /// Parses one tag.
    pub fn parse(text: &str) -> Result<Self, InvalidTag> {
        let text = one_line(text, Self::MAX)?;
        if text.contains(Self::SEPARATORS) { Err(InvalidTag::Separator) } else { Ok(Self(text)) }
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn c024_lines_do_not_break() {
        for text in ["a\r\nBcc: v@x", "a\0", "a\u{85}b", "a\u{2028}b", "\u{7f}a"] {
            assert_eq!(person_name(text), Err(InvalidText::Control), "{text:?}");
        }
        assert_eq!(person_name(" Jo\u{308}rg "), Ok("Jörg".into()));
        assert_eq!(person_name(" \t"), Err(InvalidText::Empty));
        assert_eq!(person_name(&"ä".repeat(101)), Err(InvalidText::TooLong(200)));
    }

    #[test]
    fn tags() {
        assert_eq!(Tag::parse(" VIP ").expect("valid").as_str(), "VIP");
        for text in ["", "a,b", "a;b", "a|b", "a\nb", &"a".repeat(65)] {
            assert!(Tag::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_clean_line_stays_as_it_is(text in "\\PC{0,80}") {
            if let Ok(clean) = one_line(&text, 100) {
                prop_assert!(clean.len() <= 100);
                prop_assert_eq!(one_line(&clean, 100), Ok(clean));
            }
        }
    }
}
