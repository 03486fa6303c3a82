//! The attributes a tenant has declared: nothing else is taken, whoever brings it.

use std::collections::HashMap;

use carillon_entities::ids::AttributeId;
use serde_json::Value;

use super::{AttributeKind, AttributeName, AttributeValue, InvalidAttribute};
use crate::error::Refusal;

/// Attributes a tenant may declare.
pub const MAX_ATTRIBUTES: usize = 500;

/// One declared attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeDefinition {
    /// Its id.
    pub id: AttributeId,
    /// Its name, unique in the tenant.
    pub name: AttributeName,
    /// Its kind; never changes.
    pub kind: AttributeKind,
}

/// All attributes of a tenant, by name.
#[derive(Debug, Clone, Default)]
pub struct Definitions(HashMap<String, AttributeDefinition>);

impl Definitions {
    /// The attribute of that name.
    pub fn get(&self, name: &str) -> Option<&AttributeDefinition> {
        self.0.get(name)
    }

    /// The kind of each.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (AttributeName, AttributeKind)> + '_ {
        self.0.values().map(|one| (one.name.clone(), one.kind))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True where none is declared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a JSON value by its attribute's kind; `null` is no value. The refusal's field is the attribute's name.
    pub(crate) fn read_json(
        &self,
        name: &str,
        value: &Value,
    ) -> Result<(AttributeName, Option<AttributeValue>), Refusal> {
        let Some(definition) = self.get(name) else {
            // The name is the caller's free text: it goes back only where it is a well-formed name.
            let field = AttributeName::parse(name).map(|name| name.as_str().to_owned()).unwrap_or_default();
            return Err(Refusal::new("UNDECLARED_ATTRIBUTE", field, "No attribute of this name is declared."));
        };
        let value = match value {
            Value::Null => None,
            value => Some(
                AttributeValue::from_json(definition.kind, value)
                    .map_err(|invalid| Refusal::new(InvalidAttribute::CODE, name, invalid.to_string()))?,
            ),
        };
        Ok((definition.name.clone(), value))
    }
}

impl FromIterator<AttributeDefinition> for Definitions {
    fn from_iter<I: IntoIterator<Item = AttributeDefinition>>(definitions: I) -> Self {
        Self(definitions.into_iter().map(|one| (one.name.as_str().to_owned(), one)).collect())
    }
}
