//! What a template is rendered with.

use std::collections::BTreeMap;

use minijinja::Value;
use serde_json::Value as Json;

use crate::contacts::{AttributeValue, Attributes};

/// The recipient as templates see them; what is not there is undefined, and writing it fails the mail unless the
/// template has a `default`.
#[derive(Clone, Default)]
pub struct ContactData {
    /// `contact.first_name`.
    pub first_name: Option<String>,
    /// `contact.last_name`.
    pub last_name: Option<String>,
    /// `contact.email`.
    pub email: Option<String>,
    /// `contact.external_id`.
    pub external_id: Option<String>,
    /// `contact.locale`.
    pub locale: Option<String>,
    /// `contact.attributes`.
    pub attributes: Attributes,
}

/// Everything a template can use.
#[derive(Clone, Default)]
pub struct RenderData {
    /// The recipient.
    pub contact: ContactData,
    /// The way out; there for marketing mail.
    pub unsubscribe_url: Option<String>,
    /// `brand.name`.
    pub brand_name: String,
    /// `sender.postal_address`.
    pub postal_address: String,
    /// The intent's own `vars`.
    pub vars: Variables,
    /// The properties of the event that led to the mail, `event`.
    pub event: Variables,
}

impl std::fmt::Debug for RenderData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RenderData(..)")
    }
}

impl RenderData {
    pub(super) fn to_value(&self) -> Value {
        let contact = &self.contact;
        let texts = [
            ("first_name", &contact.first_name),
            ("last_name", &contact.last_name),
            ("email", &contact.email),
            ("external_id", &contact.external_id),
            ("locale", &contact.locale),
        ];
        let mut fields: BTreeMap<&'static str, Value> =
            texts.into_iter().filter_map(|(name, text)| Some((name, Value::from(text.as_deref()?)))).collect();
        let attributes = contact.attributes.iter();
        let attributes = attributes.map(|(name, value)| (name.as_str().to_owned(), attribute(value)));
        fields.insert("attributes", Value::from(attributes.collect::<BTreeMap<_, _>>()));
        let mut root = BTreeMap::from([
            ("contact", Value::from(fields)),
            ("brand", Value::from_pairs([("name", self.brand_name.as_str())])),
            ("sender", Value::from_pairs([("postal_address", self.postal_address.as_str())])),
            ("vars", self.vars.0.clone()),
            ("event", self.event.0.clone()),
        ]);
        if let Some(url) = &self.unsubscribe_url {
            root.insert("unsubscribe_url", Value::from(url.as_str()));
        }
        Value::from(root)
    }
}

fn attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::String(text) => Value::from(text.as_str()),
        AttributeValue::Number(number) => Value::from(*number),
        AttributeValue::Boolean(yes) => Value::from(*yes),
        AttributeValue::Date(day) => Value::from(day.format("%Y-%m-%d").to_string()),
    }
}

/// A JSON object that templates read: an intent's `vars`, an event's properties.
#[derive(Clone)]
pub struct Variables(Value);

/// Why variables are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVariables {
    /// Not an object.
    #[error("Variables are a JSON object.")]
    NotAnObject,
    /// More than [`Variables::MAX`] octets.
    #[error("The variables are longer than {} octets of JSON.", Variables::MAX)]
    TooLarge,
    /// More than [`Variables::DEPTH_MAX`] levels.
    #[error("The variables are nested deeper than {} levels.", Variables::DEPTH_MAX)]
    TooDeep,
}

impl Variables {
    /// Octets of JSON.
    pub const MAX: usize = 32 * 1024;
    /// Levels of lists and objects.
    pub const DEPTH_MAX: usize = 8;

    /// Checks a JSON object.
    pub fn parse(json: &Json) -> Result<Self, InvalidVariables> {
        if !json.is_object() {
            return Err(InvalidVariables::NotAnObject);
        }
        if depth(json) > Self::DEPTH_MAX {
            return Err(InvalidVariables::TooDeep);
        }
        if json.to_string().len() > Self::MAX {
            return Err(InvalidVariables::TooLarge);
        }
        Ok(Self(from_json(json)))
    }
}

impl Default for Variables {
    fn default() -> Self {
        Self(Value::from(BTreeMap::<String, Value>::new()))
    }
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Variables(..)")
    }
}

fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(yes) => Value::from(*yes),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<_>>()),
        Json::Object(fields) => {
            Value::from(fields.iter().map(|(name, value)| (name.clone(), from_json(value))).collect::<BTreeMap<_, _>>())
        }
    }
}

fn depth(json: &Json) -> usize {
    match json {
        Json::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Json::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
