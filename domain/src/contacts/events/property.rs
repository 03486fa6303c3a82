//! Properties of events: what JSON they may be, their kinds, and how kinds are learned.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::PropertyName;
use crate::contacts::{AttributeKind, AttributeValue};
use crate::error::Refusal;

text_code! {
    /// The kind of a property.
    pub enum PropertyKind {
        /// Text; what looks like a day is text, too, unless it is declared.
        String = "string",
        /// A number.
        Number = "number",
        /// True or false.
        Boolean = "boolean",
        /// A day such as `2026-11-22`; only declared, never learned.
        Date = "date",
        /// A list or an object; declared, anything.
        Json = "json",
        /// Seen with several kinds.
        Mixed = "mixed",
    }
}

impl PropertyKind {
    /// The attributes' kind whose values it has; none where it may be anything.
    pub(crate) const fn attribute_kind(self) -> Option<AttributeKind> {
        match self {
            Self::String => Some(AttributeKind::String),
            Self::Number => Some(AttributeKind::Number),
            Self::Boolean => Some(AttributeKind::Boolean),
            Self::Date => Some(AttributeKind::Date),
            Self::Json | Self::Mixed => None,
        }
    }

    /// What a value is; null is nothing.
    pub(crate) fn of(value: &Json) -> Option<Self> {
        Some(match value {
            Json::Null => return None,
            Json::String(_) => Self::String,
            Json::Number(_) => Self::Number,
            Json::Bool(_) => Self::Boolean,
            Json::Array(_) | Json::Object(_) => Self::Json,
        })
    }

    /// Whether a value may stand under this declared kind; null may under any.
    fn takes(self, value: &Json) -> bool {
        match self {
            Self::Json | Self::Mixed => true,
            Self::Date => value.is_null() || AttributeValue::from_json(AttributeKind::Date, value).is_ok(),
            kind => Self::of(value).is_none_or(|is| is == kind),
        }
    }
}

/// What is known of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventProperty {
    /// Its name.
    pub name: PropertyName,
    /// Its kind.
    pub kind: PropertyKind,
    /// Declared kinds are kept to; learned ones only tell what was seen.
    pub is_declared: bool,
}

/// The properties that are known of an event, by name.
pub(crate) type Known = BTreeMap<String, EventProperty>;

/// Properties of an event.
pub const PROPERTIES_MAX: usize = 100;
/// Octets of an event's properties as JSON.
pub const PROPERTIES_OCTETS: usize = 32 * 1024;
/// How deep they may be; the object itself counts.
pub const DEPTH_MAX: usize = 5;

/// The properties as they are stored, if they are within bounds.
pub(crate) fn bounded(properties: &Map<String, Json>) -> Result<Vec<u8>, Refusal> {
    let refuse = |code, message: String| Err(Refusal::new(code, "properties", message));
    if properties.len() > PROPERTIES_MAX {
        return refuse("INVALID_PROPERTIES", format!("An event has at most {PROPERTIES_MAX} properties."));
    }
    if !properties.keys().all(|name| PropertyName::is(name)) {
        return refuse("INVALID_PROPERTY_NAME", super::InvalidPropertyName.to_string());
    }
    if properties.values().any(|value| !is_plain(value, DEPTH_MAX - 1)) {
        let message =
            format!("Properties are at most {DEPTH_MAX} deep, and neither texts nor names in them have a NUL.");
        return refuse("INVALID_PROPERTIES", message);
    }
    let json = serde_json::to_vec(properties).unwrap_or_default();
    if json.len() > PROPERTIES_OCTETS {
        let message = format!("An event's properties have at most {PROPERTIES_OCTETS} octets as JSON.");
        return refuse("PROPERTIES_TOO_LARGE", message);
    }
    Ok(json)
}

/// NUL is what Postgres keeps in no text.
fn is_plain(value: &Json, depth: usize) -> bool {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => true,
        Json::String(text) => !text.contains('\0'),
        Json::Array(items) => depth > 0 && items.iter().all(|item| is_plain(item, depth - 1)),
        Json::Object(fields) => {
            let name = |name: &String| name.chars().count() <= PropertyName::MAX && !name.contains('\0');
            depth > 0 && fields.iter().all(|(key, item)| name(key) && is_plain(item, depth - 1))
        }
    }
}

/// Refuses a value that is not of its property's declared kind.
pub(crate) fn check_kinds(known: &Known, properties: &Map<String, Json>) -> Result<(), Refusal> {
    for (name, value) in properties {
        let Some(property) = known.get(name).filter(|property| property.is_declared) else { continue };
        if !property.kind.takes(value) {
            let message = format!("The property is declared as {}.", property.kind);
            return Err(Refusal::new("WRONG_TYPE", format!("properties.{name}"), message));
        }
    }
    Ok(())
}

/// Learns from properties; returns the names of what is new or another kind now.
pub(crate) fn learn(known: &mut Known, properties: &Map<String, Json>) -> Vec<String> {
    let mut learned = Vec::new();
    for (name, value) in properties {
        let Some(kind) = PropertyKind::of(value) else { continue };
        let has_room = known.len() < PROPERTIES_MAX;
        match known.get_mut(name) {
            Some(property) if property.is_declared || [kind, PropertyKind::Mixed].contains(&property.kind) => continue,
            Some(property) => property.kind = PropertyKind::Mixed,
            // The value is kept; only the catalogue is full.
            None if !has_room => continue,
            None => {
                let Ok(parsed) = PropertyName::parse(name) else { continue };
                known.insert(name.clone(), EventProperty { name: parsed, kind, is_declared: false });
            }
        }
        learned.push(name.clone());
    }
    learned
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Json) -> Map<String, Json> {
        value.as_object().expect("an object").clone()
    }

    fn code(value: &Json) -> Option<&'static str> {
        bounded(&object(value)).err().map(|refusal| refusal.code)
    }

    #[test]
    fn properties_have_bounds() {
        assert_eq!(code(&json!({"a": {"b": {"c": {"d": {"e": 1}}}}})), None);
        assert_eq!(code(&json!({"a": {"b": {"c": {"d": {"e": {}}}}}})), Some("INVALID_PROPERTIES"));
        assert_eq!(code(&json!({"a": [[[[[]]]]]})), Some("INVALID_PROPERTIES"));
        assert_eq!(code(&json!({"a": "x\u{0}"})), Some("INVALID_PROPERTIES"));
        assert_eq!(code(&json!({"": 1})), Some("INVALID_PROPERTY_NAME"));
        assert_eq!(code(&json!({"a": "x".repeat(33 * 1024)})), Some("PROPERTIES_TOO_LARGE"));
        let many: Map<String, Json> = (0..=PROPERTIES_MAX).map(|n| (format!("p{n}"), json!(1))).collect();
        assert_eq!(bounded(&many).err().map(|refusal| refusal.code), Some("INVALID_PROPERTIES"));
    }

    #[test]
    fn kinds_are_learned_and_declared_ones_are_kept_to() {
        let mut known = Known::new();
        assert_eq!(learn(&mut known, &object(&json!({"a": 1, "b": "x", "c": null}))), ["a", "b"]);
        assert_eq!(learn(&mut known, &object(&json!({"a": 2, "b": true}))), ["b"]);
        assert_eq!((known["a"].kind, known["b"].kind), (PropertyKind::Number, PropertyKind::Mixed));
        assert_eq!(learn(&mut known, &object(&json!({"b": "y"}))), [] as [&str; 0]);
        assert!(check_kinds(&known, &object(&json!({"a": "text"}))).is_ok(), "what was learned binds nobody");
        let day = known.get_mut("a").expect("known");
        (day.kind, day.is_declared) = (PropertyKind::Date, true);
        assert!(check_kinds(&known, &object(&json!({"a": "2026-11-22"}))).is_ok());
        assert!(check_kinds(&known, &object(&json!({"a": null}))).is_ok());
        let refused = check_kinds(&known, &object(&json!({"a": 3}))).expect_err("wrong");
        assert_eq!((refused.code, refused.field.as_str()), ("WRONG_TYPE", "properties.a"));
        assert_eq!(learn(&mut known, &object(&json!({"a": 3}))), [] as [&str; 0], "a declared kind stays");
    }
}
