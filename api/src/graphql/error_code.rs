//! `ErrorCode`: the table of codes as an enum of the schema, each value described by its meaning.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::{Deprecation, MetaEnumValue, MetaType, MetaTypeId, Registry};
use async_graphql::{ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value};
use carillon_domain::codes::{CODES, Code};
use serde::{Deserialize, Serialize};

/// A code of the table. Stored answers hold it as text, so it is one here as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(String);

impl From<&'static str> for ErrorCode {
    fn from(code: &'static str) -> Self {
        Self(code.to_owned())
    }
}

impl OutputType for ErrorCode {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("ErrorCode")
    }

    fn create_type_info(registry: &mut Registry) -> String {
        registry.create_output_type::<Self, _>(MetaTypeId::Enum, |_| MetaType::Enum {
            name: "ErrorCode".to_owned(),
            description: Some("Why something was refused. More codes may come; none changes its meaning.".to_owned()),
            enum_values: CODES.iter().map(|code| (code.code.to_owned(), value(code))).collect(),
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            rust_typename: Some(std::any::type_name::<Self>()),
            directive_invocations: Vec::new(),
            requires_scopes: Vec::new(),
        })
    }

    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        Ok(Value::Enum(Name::new(&self.0)))
    }
}

fn value(code: &Code) -> MetaEnumValue {
    MetaEnumValue {
        name: code.code.to_owned(),
        description: Some(code.meaning.to_owned()),
        deprecation: Deprecation::NoDeprecated,
        visible: None,
        inaccessible: false,
        tags: Vec::new(),
        directive_invocations: Vec::new(),
    }
}
