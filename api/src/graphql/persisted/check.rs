//! Whether a text is a document of this schema, before it is registered: the same limits and rules that it meets when it runs.
//!
//! What it costs then depends on its variables, so here it is judged with those that make it smallest: what is refused could
//! never run.

use std::sync::LazyLock;

use async_graphql::parser::types::{BaseType, ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Request, ServerError, Value, Variables};
use carillon_domain::error::Refusal;

use crate::graphql::error::{unquote_value, unquoted};
use crate::graphql::{CarillonSchema, folding, limits, schema, validity};

/// The schema itself, of which nothing is ever run here.
static SCHEMA: LazyLock<CarillonSchema> = LazyLock::new(schema);
/// What no operation is called: the library judges a document before it looks for the operation to run.
const NO_OPERATION: &str = "!";
/// How it says that there is none.
const NOT_FOUND: &str = "Unknown operation named";

/// Refuses a text that could not be run as it is.
pub(super) async fn check(text: &str) -> Result<(), Refusal> {
    let request = read(text).map_err(refusal)?;
    let judged = Box::pin(SCHEMA.execute(request)).await;
    let wrong = judged.errors.into_iter().find(|error| !error.message.starts_with(NOT_FOUND));
    wrong.map_or(Ok(()), |error| Err(refusal(error)))
}

/// The request that has the library judge it.
fn read(text: &str) -> Result<Request, ServerError> {
    limits::check_text(text)?;
    let mut request = Request::new(text);
    let mut document = request.parsed_query().map_err(unquoted)?.clone();
    let variables = smallest(&document);
    limits::check_document(&document, &variables, None)?;
    validity::check_document(&document)?;
    if document.operations.iter().any(|(_, operation)| asks_schema(&operation.node.selection_set.node))
        || document.fragments.values().any(|fragment| asks_schema(&fragment.node.selection_set.node))
    {
        return Err(ServerError::new("A persisted document does not ask for the schema.", None));
    }
    folding::fold(&mut document)?;
    limits::check_document(&document, &variables, None)?;
    request.set_parsed_query(document);
    Ok(request.operation_name(NO_OPERATION))
}

/// The variables with which the document asks for least: pages of one row, and no items.
fn smallest(document: &ExecutableDocument) -> Variables {
    let mut variables = Variables::default();
    let definitions = document.operations.iter().flat_map(|(_, operation)| &operation.node.variable_definitions);
    for definition in definitions {
        let least = match &definition.node.var_type.node.base {
            BaseType::List(_) => Value::List(Vec::new()),
            BaseType::Named(name) if name == "Int" => Value::from(1),
            BaseType::Named(_) => continue,
        };
        variables.insert(definition.node.name.node.clone(), least);
    }
    variables
}

/// True for fields of introspection but `__typename`, which every client asks for.
fn asks_schema(set: &SelectionSet) -> bool {
    set.items.iter().any(|selection| match &selection.node {
        Selection::Field(field) => {
            let name = field.node.name.node.as_str();
            (name.starts_with("__") && name != "__typename") || asks_schema(&field.node.selection_set.node)
        }
        Selection::InlineFragment(fragment) => asks_schema(&fragment.node.selection_set.node),
        Selection::FragmentSpread(_) => false,
    })
}

fn refusal(mut error: ServerError) -> Refusal {
    unquote_value(&mut error);
    let code = error.extensions.as_ref().and_then(|values| values.get("code"));
    let code = if code.is_some() { "DOCUMENT_TOO_LARGE" } else { "INVALID_DOCUMENT" };
    let place = error.locations.first().map(|pos| format!(" (line {}, column {})", pos.line, pos.column));
    Refusal::new(code, "text", format!("{}{}", error.message, place.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn code(text: &str) -> Option<&'static str> {
        check(text).await.err().map(|refusal| refusal.code)
    }

    #[tokio::test]
    async fn what_could_run_is_taken() {
        for text in [
            "{ serverTime }",
            "query Named($id: ID!, $first: Int!) { contact(id: $id) { __typename __isNode: __typename messages(first: $first) { nodes { ...M } } } } \
             fragment M on Message { id state }",
            "query A { serverTime } query B { rateLimit { cost } }",
            "mutation($input: CreateContactInput!) { createContact(input: $input) { contact { id } userErrors { code } } }",
            "subscription($id: ID!) { workflowProgress(id: $id) { state } }",
            // With pages of fifty it would be too dear, with fewer it is not.
            "query($n: Int) { contacts(first: $n) { nodes { messages(first: $n) { nodes { attempts { state } decisions { reason } } } } } }",
        ] {
            assert_eq!(check(text).await, Ok(()), "{text}");
        }
    }

    #[tokio::test]
    async fn what_never_could_is_refused() {
        for text in [
            "{",
            "{ nothing }",
            "{ serverTime { of } }",
            "{ tenant }",
            "query($a: Int) { serverTime }",
            "query($id: String!) { contact(id: $id) { id } }",
            "{ contacts(first: \"one\") { nodes { id } } }",
            "{ serverTime } fragment F on Query { serverTime }",
            "{ __schema { queryType { name } } }",
            "{ ...F } fragment F on Query { a: __type(name: \"Query\") { name } }",
        ] {
            assert_eq!(code(text).await, Some("INVALID_DOCUMENT"), "{text}");
        }
        let aliases = (0..40).map(|n| format!("a{n}: serverTime")).collect::<Vec<_>>().join(" ");
        let dear = "{ contacts(first: 100) { nodes { messages(first: 100) { nodes { attempts { state } } } } } }";
        for text in [format!("{{ {aliases} }}"), dear.to_owned(), "{ a ".repeat(70)] {
            assert_eq!(code(&text).await, Some("DOCUMENT_TOO_LARGE"), "{text}");
        }
    }
}
