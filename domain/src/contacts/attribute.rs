//! Attributes: what a tenant knows about contacts beyond their address, declared with a kind before use.
//!
//! A value always has its attribute's kind; text from a file is read by the same rules everywhere, and what could be read
//! in two ways (`1,234`, `03/04/2026`) is refused.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Attributes of one contact.
pub type Attributes = BTreeMap<AttributeName, AttributeValue>;

text_code! {
    /// The kind of an attribute; it never changes.
    pub enum AttributeKind {
        /// Text of at most [`AttributeValue::STRING_MAX`] octets.
        String = "string",
        /// A finite 64-bit floating point number.
        Number = "number",
        /// True or false.
        Boolean = "boolean",
        /// A day of the years 1000 to 9999.
        Date = "date",
    }
}

/// The name of an attribute: `[a-z][a-z0-9_]{0,62}`, so that it can stand in a template and in a condition as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct AttributeName(String);

impl TryFrom<String> for AttributeName {
    type Error = InvalidAttributeName;

    fn try_from(text: String) -> Result<Self, InvalidAttributeName> {
        Self::parse(&text)
    }
}

/// A text that is no attribute name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An attribute's name starts with a lower-case letter and has at most 63 of a-z, 0-9 and _.")]
pub struct InvalidAttributeName;

impl AttributeName {
    /// Octets of a name.
    pub const MAX: usize = 63;

    /// Parses a name; nothing is folded.
    pub fn parse(text: &str) -> Result<Self, InvalidAttributeName> {
        let fits = text.len() <= Self::MAX
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidAttributeName) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A value of an attribute; redacted `Debug`, for it may be personal (L9).
#[derive(Clone, PartialEq)]
pub enum AttributeValue {
    /// Text.
    String(String),
    /// A finite number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A day.
    Date(NaiveDate),
}

/// Why a value does not fit its attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAttribute {
    /// Not a value of this kind.
    #[error("The value is not a {}.", .0.as_str())]
    Kind(AttributeKind),
    /// Too many octets.
    #[error("The text is longer than {} octets.", AttributeValue::STRING_MAX)]
    TooLong,
    /// A control character other than a line break or tab.
    #[error("The text has a control character.")]
    Control,
    /// Could be read in two ways.
    #[error("The value is ambiguous: write numbers like 1234.5 and days like 2026-12-31.")]
    Ambiguous,
}

impl InvalidAttribute {
    /// The code of all of them.
    pub const CODE: &'static str = "INVALID_ATTRIBUTE";
}

impl AttributeValue {
    /// Octets of a text.
    pub const STRING_MAX: usize = 1024;

    /// Its kind.
    pub fn kind(&self) -> AttributeKind {
        match self {
            Self::String(_) => AttributeKind::String,
            Self::Number(_) => AttributeKind::Number,
            Self::Boolean(_) => AttributeKind::Boolean,
            Self::Date(_) => AttributeKind::Date,
        }
    }

    /// Reads a JSON value strictly: a number is a JSON number, a date a string like `2026-12-31`. `null` is no value.
    pub fn from_json(kind: AttributeKind, value: &Value) -> Result<Self, InvalidAttribute> {
        let refused = InvalidAttribute::Kind(kind);
        match kind {
            AttributeKind::String => value.as_str().ok_or(refused).and_then(string),
            AttributeKind::Number => value.as_f64().ok_or(refused).and_then(number),
            AttributeKind::Boolean => value.as_bool().map(Self::Boolean).ok_or(refused),
            AttributeKind::Date => value.as_str().and_then(iso_date).map(Self::Date).ok_or(refused),
        }
    }

    /// The value as JSON; [`Self::from_json`] reads it back.
    pub fn to_json(&self) -> Value {
        match self {
            Self::String(text) => Value::from(text.as_str()),
            Self::Number(number) => Value::from(*number),
            Self::Boolean(yes) => Value::from(*yes),
            Self::Date(date) => Value::from(date.format("%Y-%m-%d").to_string()),
        }
    }

    /// Reads the cell of a file; `None` when it is empty.
    pub fn from_text(kind: AttributeKind, text: &str) -> Result<Option<Self>, InvalidAttribute> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(None);
        }
        match kind {
            AttributeKind::String => string(trimmed),
            AttributeKind::Number => text_number(trimmed),
            AttributeKind::Boolean => text_boolean(trimmed).map(Self::Boolean).ok_or(InvalidAttribute::Kind(kind)),
            AttributeKind::Date => text_date(trimmed),
        }
        .map(Some)
    }
}

impl std::fmt::Debug for AttributeValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AttributeValue({}, ..)", self.kind().as_str())
    }
}

fn string(text: &str) -> Result<AttributeValue, InvalidAttribute> {
    if text.len() > AttributeValue::STRING_MAX {
        return Err(InvalidAttribute::TooLong);
    }
    let text = if text.contains('\r') { text.replace("\r\n", "\n") } else { text.to_owned() };
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(InvalidAttribute::Control);
    }
    Ok(AttributeValue::String(text))
}

fn number(value: f64) -> Result<AttributeValue, InvalidAttribute> {
    // Adding zero makes minus zero zero, which databases would keep apart.
    if value.is_finite() {
        Ok(AttributeValue::Number(value + 0.0))
    } else {
        Err(InvalidAttribute::Kind(AttributeKind::Number))
    }
}

/// Digits with an optional sign and a decimal point; a decimal comma only where it cannot mean thousands.
fn text_number(text: &str) -> Result<AttributeValue, InvalidAttribute> {
    let refused = InvalidAttribute::Kind(AttributeKind::Number);
    if !text.bytes().all(|b| b.is_ascii_digit() || b"+-.,".contains(&b)) {
        return Err(refused);
    }
    let plain = match text.rsplit_once(',') {
        None => text.to_owned(),
        Some((whole, part)) if !whole.contains([',', '.']) && !part.contains('.') && part.len() != 3 => {
            format!("{whole}.{part}")
        }
        Some(_) => return Err(InvalidAttribute::Ambiguous),
    };
    plain.parse().map_err(|_| refused).and_then(number)
}

fn text_boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "y" | "1" | "ja" | "j" | "wahr" | "x" => Some(true),
        "false" | "no" | "n" | "0" | "nein" | "falsch" => Some(false),
        _ => None,
    }
}

/// ISO or German days; with slashes nobody knows which number is the month.
fn text_date(text: &str) -> Result<AttributeValue, InvalidAttribute> {
    if text.contains('/') {
        return Err(InvalidAttribute::Ambiguous);
    }
    let german = || NaiveDate::parse_from_str(text, "%d.%m.%Y").ok();
    iso_date(text)
        .or_else(german)
        .filter(|date| in_range(*date))
        .map(AttributeValue::Date)
        .ok_or(InvalidAttribute::Kind(AttributeKind::Date))
}

fn iso_date(text: &str) -> Option<NaiveDate> {
    if text.len() != 10 {
        return None;
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|date| in_range(*date))
}

fn in_range(date: NaiveDate) -> bool {
    (1000..=9999).contains(&date.year())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(kind: AttributeKind, text: &str) -> Result<Option<Value>, InvalidAttribute> {
        AttributeValue::from_text(kind, text).map(|value| value.map(|value| value.to_json()))
    }

    #[test]
    fn names() {
        for name in ["a", "plan", "last_order_2", &"a".repeat(63)] {
            assert!(AttributeName::parse(name).is_ok(), "{name}");
        }
        for name in ["", "A", "1a", "_a", "a-b", "a b", "ä", &"a".repeat(64)] {
            assert!(AttributeName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn text_is_read_by_kind() {
        use AttributeKind::{Boolean, Date, Number, String};
        assert_eq!(text(Number, " 1234.5 "), Ok(Some(json!(1234.5))));
        assert_eq!(text(Number, "12,5"), Ok(Some(json!(12.5))));
        assert_eq!(text(Number, "-0"), Ok(Some(json!(0.0))));
        assert_eq!(text(Number, "1,234"), Err(InvalidAttribute::Ambiguous));
        assert_eq!(text(Number, "1.234,5"), Err(InvalidAttribute::Ambiguous));
        assert_eq!(text(Boolean, "Ja"), Ok(Some(json!(true))));
        assert_eq!(text(Date, "31.12.2026"), Ok(Some(json!("2026-12-31"))));
        assert_eq!(text(Date, "03/04/2026"), Err(InvalidAttribute::Ambiguous));
        assert_eq!(text(String, "a\r\nb"), Ok(Some(json!("a\nb"))));
        assert_eq!(text(String, "  "), Ok(None));
        for bad in ["NaN", "inf", "1e5", "abc", "+", "1.2.3", "--1"] {
            assert!(text(Number, bad).is_err(), "{bad}");
        }
        for bad in ["2026-02-30", "2026-1-1x", "99999-01-01", "01.01.20", "0000-01-01", "today"] {
            assert!(text(Date, bad).is_err(), "{bad}");
        }
        assert_eq!(text(String, "a\0"), Err(InvalidAttribute::Control));
        assert_eq!(text(String, &"a".repeat(1025)), Err(InvalidAttribute::TooLong));
    }

    #[test]
    fn json_is_read_strictly() {
        for (kind, value) in [
            (AttributeKind::Number, json!("1")),
            (AttributeKind::Boolean, json!(1)),
            (AttributeKind::String, json!(1)),
            (AttributeKind::Date, json!("31.12.2026")),
            (AttributeKind::Date, Value::Null),
        ] {
            assert_eq!(AttributeValue::from_json(kind, &value), Err(InvalidAttribute::Kind(kind)));
        }
    }

    proptest! {
        #[test]
        fn json_goes_there_and_back(kind in prop::sample::select(AttributeKind::ALL.to_vec()), text in "[ -~ä]{0,30}") {
            if let Ok(Some(value)) = AttributeValue::from_text(kind, &text) {
                prop_assert_eq!(AttributeValue::from_json(kind, &value.to_json()), Ok(value));
            }
        }

        #[test]
        fn numbers_go_there_and_back(number in -1e15f64..1e15) {
            let read = AttributeValue::from_text(AttributeKind::Number, &number.to_string());
            prop_assert_eq!(read, Ok(Some(AttributeValue::Number(number))));
        }
    }
}
