//! Tests of one value: an attribute's, a contact's field's or an event's property's.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::AttributeTest;
use crate::contacts::{AttributeKind, AttributeValue};

text_code! {
    /// What a contact has beside its attributes; tested as text.
    pub enum ContactField {
        /// The first name.
        FirstName = "contact.first_name",
        /// The last name.
        LastName = "contact.last_name",
        /// The address in its normalised form.
        Email = "contact.email",
        /// Language and region.
        Locale = "contact.locale",
        /// The country's code.
        Country = "contact.country",
        /// The time zone.
        Zone = "contact.zone",
    }
}

impl AttributeTest {
    /// Whether a value of this kind could pass: what it is compared with is of the kind, only numbers and dates have an
    /// order, and only text a beginning.
    pub fn fits(&self, kind: AttributeKind) -> bool {
        let is_of = |value: &Json| AttributeValue::from_json(kind, value).is_ok();
        match self {
            Self::IsMissing => true,
            Self::Equals { value } => is_of(value),
            Self::In { values } => values.iter().all(is_of),
            Self::Less { value } | Self::Greater { value } => {
                matches!(kind, AttributeKind::Number | AttributeKind::Date) && is_of(value)
            }
            Self::StartsWith { .. } => kind == AttributeKind::String,
        }
    }

    /// Whether a value passes; the answer for a missing one is stated at [`AttributeTest`].
    pub fn passes(&self, value: Option<&AttributeValue>) -> bool {
        let Some(value) = value else { return matches!(self, Self::IsMissing) };
        match self {
            Self::IsMissing => false,
            Self::Equals { value: wanted } => equal(value, wanted),
            Self::In { values } => values.iter().any(|wanted| equal(value, wanted)),
            Self::Less { value: wanted } => compare(value, wanted) == Some(Ordering::Less),
            Self::Greater { value: wanted } => compare(value, wanted) == Some(Ordering::Greater),
            Self::StartsWith { value: beginning } => {
                matches!(value, AttributeValue::String(text) if text.starts_with(beginning))
            }
        }
    }

    /// The same for a property of an event, whose kind is what its JSON is; `null` is missing, and text that is a day
    /// is compared as one.
    pub fn passes_json(&self, value: Option<&Json>) -> bool {
        let value = match value {
            None | Some(Json::Null) => return self.passes(None),
            Some(Json::Bool(yes)) => AttributeValue::Boolean(*yes),
            Some(Json::Number(number)) => match number.as_f64() {
                Some(number) => AttributeValue::Number(number),
                None => return false,
            },
            Some(text @ Json::String(_)) if matches!(self, Self::Less { .. } | Self::Greater { .. }) => {
                match AttributeValue::from_json(AttributeKind::Date, text) {
                    Ok(day) => day,
                    Err(_) => return false,
                }
            }
            Some(Json::String(text)) => AttributeValue::String(text.clone()),
            Some(Json::Array(_) | Json::Object(_)) => return false,
        };
        self.passes(Some(&value))
    }
}

/// The wanted value is read by the kind of the one there is.
fn equal(value: &AttributeValue, wanted: &Json) -> bool {
    AttributeValue::from_json(value.kind(), wanted).is_ok_and(|wanted| wanted == *value)
}

fn compare(value: &AttributeValue, wanted: &Json) -> Option<Ordering> {
    match (value, AttributeValue::from_json(value.kind(), wanted).ok()?) {
        (AttributeValue::Number(value), AttributeValue::Number(wanted)) => value.partial_cmp(&wanted),
        (AttributeValue::Date(value), AttributeValue::Date(wanted)) => Some(value.cmp(&wanted)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn test(json: Json) -> AttributeTest {
        serde_json::from_value(json).expect("a test")
    }

    #[test]
    fn properties_are_tested_by_what_their_json_is() {
        let greater = test(json!({"op": "greater", "value": 10}));
        let later = test(json!({"op": "greater", "value": "2026-01-01"}));
        let gold = test(json!({"op": "in", "values": ["gold", "silver"]}));
        let missing = test(json!({"op": "is_missing"}));
        let answers =
            |value: Option<Json>| [&greater, &later, &gold, &missing].map(|one| one.passes_json(value.as_ref()));
        assert_eq!(answers(Some(json!(11))), [true, false, false, false]);
        assert_eq!(answers(Some(json!("2026-01-02"))), [false, true, false, false]);
        assert_eq!(answers(Some(json!("gold"))), [false, false, true, false]);
        assert_eq!(answers(Some(json!({"a": 1}))), [false; 4], "there is something, and it equals nothing");
        assert_eq!(answers(Some(Json::Null)), [false, false, false, true]);
        assert_eq!(answers(None), [false, false, false, true]);
    }

    #[test]
    fn a_test_fits_the_kinds_whose_values_could_pass() {
        use AttributeKind::{Boolean, Date, Number, String};
        for (json, kinds) in [
            (json!({"op": "equals", "value": 1}), &[Number][..]),
            (json!({"op": "equals", "value": true}), &[Boolean]),
            (json!({"op": "equals", "value": "gold"}), &[String]),
            (json!({"op": "in", "values": ["2026-11-22", "2026-11-23"]}), &[String, Date]),
            (json!({"op": "in", "values": ["2026-11-22", "gold"]}), &[String]),
            (json!({"op": "less", "value": 1}), &[Number]),
            (json!({"op": "greater", "value": "2026-11-22"}), &[Date]),
            (json!({"op": "starts_with", "value": "2026"}), &[String]),
            (json!({"op": "is_missing"}), &[String, Number, Boolean, Date]),
        ] {
            let one = test(json.clone());
            for kind in [String, Number, Boolean, Date] {
                assert_eq!(one.fits(kind), kinds.contains(&kind), "{json} {kind:?}");
            }
        }
    }

    #[test]
    fn values_of_another_kind_are_never_equal() {
        let one = test(json!({"op": "equals", "value": "1"}));
        assert!(!one.passes(Some(&AttributeValue::Number(1.0))));
        assert!(one.passes(Some(&AttributeValue::String("1".into()))));
        let day = test(json!({"op": "equals", "value": "2026-11-22"}));
        assert!(day.passes(AttributeValue::from_json(AttributeKind::Date, &json!("2026-11-22")).ok().as_ref()));
        let less = test(json!({"op": "less", "value": "b"}));
        assert!(!less.passes(Some(&AttributeValue::String("a".into()))), "text has no order");
    }
}
