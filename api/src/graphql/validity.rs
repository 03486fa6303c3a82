//! Rules of the specification (October 2021) that the library overlooks or reads too laxly. It judges the others when it runs
//! a document; these are judged once for each document, before it is kept.

mod merging;
mod variables;

use async_graphql::parser::types::{ExecutableDocument, VariableDefinition};
use async_graphql::{Name, Positioned, ServerError, Value, Variables};

use variables::{fits_int, is_int};

/// Refuses a document that the specification does not let run; its limits were judged before.
pub fn check_document(document: &ExecutableDocument) -> Result<(), ServerError> {
    if let Some(fragment) = document.fragments.get("on") {
        return Err(ServerError::new("No fragment is called \"on\".", Some(fragment.pos)));
    }
    let mut looks = merging::LOOKS;
    document.operations.iter().try_for_each(|(_, operation)| {
        variables::check(document, &operation.node)?;
        merging::check(document, &operation.node, &mut looks)
    })
}

/// Refuses values that variables cannot have (6.1.2): none where one is required, null where null may not be, whole numbers out
/// of range.
pub fn check_variables(
    document: &ExecutableDocument,
    operation: Option<&str>,
    variables: &Variables,
) -> Result<(), ServerError> {
    for definition in definitions(document, operation) {
        let VariableDefinition { name, var_type, default_value, .. } = &definition.node;
        let (name, kind) = (&name.node, &var_type.node);
        let wrong = match variables.get(name) {
            Some(Value::Null) if !kind.nullable => "may not be null",
            None if !kind.nullable && default_value.is_none() => "is required",
            Some(Value::Number(number)) if is_int(kind) && !fits_int(number) => "is out of the range of Int",
            _ => continue,
        };
        return Err(ServerError::new(format!("Variable \"${name}\" {wrong}."), Some(definition.pos)));
    }
    Ok(())
}

/// Gives variables that were left out their defaults (6.1.2): where a condition asks, the library knows those alone that a
/// request sends.
pub fn complete_variables(document: &ExecutableDocument, operation: Option<&str>, variables: &mut Variables) {
    for definition in definitions(document, operation) {
        if let Some(default) = &definition.node.default_value {
            variables.entry(definition.node.name.node.clone()).or_insert_with(|| default.node.clone());
        }
    }
}

/// The variables of the operation that a request runs.
fn definitions<'a>(
    document: &'a ExecutableDocument,
    operation: Option<&'a str>,
) -> impl Iterator<Item = &'a Positioned<VariableDefinition>> {
    let is_asked =
        move |name: Option<&Name>| operation.is_none_or(|asked| name.is_some_and(|name| name.as_str() == asked));
    let operations = document.operations.iter().filter(move |(name, _)| is_asked(*name));
    operations.flat_map(|(_, operation)| &operation.node.variable_definitions)
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn refusal(query: &str) -> Option<String> {
        check_document(&parse_query(query).unwrap()).err().map(|error| error.message)
    }

    fn all_run(queries: &[&str]) {
        for query in queries {
            assert_eq!(refusal(query), None, "{query}");
        }
    }

    fn none_run(queries: &[&str], about: &str) {
        for query in queries {
            assert!(refusal(query).is_some_and(|message| message.contains(about)), "{query}: {:?}", refusal(query));
        }
    }

    #[test]
    fn fields_under_one_key_are_one_field() {
        all_run(&[
            "{ tenant { id } tenant { a: name } }",
            "{ a: contacts(first: 1, search: \"x\") { nodes { id } } a: contacts(search: \"x\", first: 1) { nodes { id } } }",
            "{ node(id: 1) { ... on Contact { a: version } ... on Workflow { a: version } } }",
            "{ node(id: 1) { ... on Contact { a: firstName } ... on Contact { a: firstName } } }",
            "{ node(id: 1) { id ... on Contact { id } __typename ... on Workflow { __typename } } }",
            "{ ...F tenant { name } } fragment F on Query { tenant { id ...G } } fragment G on Tenant { name }",
            "{ __schema { types { name } types { kind } } }",
        ]);
        none_run(
            &[
                "{ a: serverTime a: allWorkflowsPaused }",
                "{ tenant { a: id } tenant { a: name } }",
                "{ contacts(first: 1) { nodes { id } } contacts(first: 2) { nodes { id } } }",
                "{ contacts { nodes { id } } contacts(first: 2) { nodes { id } } }",
                "{ nodes(ids: [\"a\"]) { id } nodes(ids: [\"a\", \"b\"]) { id } }",
                "query ($a: Int, $b: Int) { contacts(first: $a) { nodes { id } } contacts(first: $b) { nodes { id } } }",
                "{ tenant { a: id } ...F } fragment F on Query { tenant { ...G } } fragment G on Tenant { a: name }",
                "{ node(id: 1) { a: id ... on Contact { a: email } } }",
                "{ contacts { nodes { a: id } } contacts { ... { nodes { a: email } } } }",
                "{ __schema { a: types { name } a: queryType { name } } }",
                "mutation { a: signOut(input: {}) { userErrors { code } } a: signOut(input: {}) { userErrors { c: code c: message } } }",
            ],
            "under one key",
        );
    }

    #[test]
    fn fields_of_different_objects_under_one_key_have_one_shape() {
        none_run(
            &[
                "{ node(id: 1) { ... on Contact { a: version } ... on Workflow { a: name } } }",
                "{ node(id: 1) { ... on Contact { a: firstName } ... on Workflow { a: name } } }",
                "{ node(id: 1) { ... on Contact { a: messages { nodes { id } } } ... on Workflow { a: name } } }",
                "{ node(id: 1) { ... on Contact { a: __typename } ... on Workflow { a: id } } }",
            ],
            "under one key",
        );
    }

    /// Each object under a key takes the interface's fields into its own comparison; within each other they would multiply.
    #[test]
    fn c221_comparing_fields_has_an_end() {
        let many = (0..900).map(|n| format!("... on T{n} {{ a: id }} ")).collect::<Vec<_>>().concat();
        assert_eq!(refusal(&format!("{{ node(id: 1) {{ {many} }} }}")), None);
        let fragment = |n: usize| format!("fragment F{n} on Tenant {{ {} id }} ", "...G ".repeat(3));
        let chain = (0..300).map(fragment).collect::<Vec<_>>().concat();
        let spreads = (0..300).map(|n| format!("a{n}: tenant {{ ...F{n} }} ")).collect::<Vec<_>>().concat();
        let wide = format!("{{ {spreads} }} {chain} fragment G on Tenant {{ {} }}", "name ".repeat(200));
        assert!(refusal(&wide).is_some_and(|message| message.contains("more than")), "{:?}", refusal(&wide));
    }

    #[test]
    fn variables_fit_where_they_stand() {
        all_run(&[
            "query ($a: ID!) { contact(id: $a) { id } }",
            "query ($a: ID = \"a\") { contact(id: $a) { id } }",
            "query ($a: Int!) { contacts(first: $a) { nodes { id } } }",
            "query ($a: [ID!]!) { nodes(ids: $a) { id } }",
            "query ($a: ID!) { nodes(ids: [$a]) { id } }",
            "query ($a: Boolean!) { serverTime @include(if: $a) }",
            "query ($a: Boolean = true) { serverTime @include(if: $a) }",
            "query ($a: String) { contacts(filter: { tag: $a }) { nodes { id } } }",
            "query ($a: String!) { matchingContacts(condition: { tag: $a }) { __typename } }",
            "query ($a: ConditionInput!) { matchingContacts(condition: { and: [$a] }) { __typename } }",
        ]);
        none_run(
            &[
                "query ($a: Int) { contact(id: $a) { id } }",
                "query ($a: ID) { contact(id: $a) { id } }",
                "query ($a: ID = null) { contact(id: $a) { id } }",
                "query ($a: String!) { contact(id: $a) { id } }",
                "query ($a: [ID]!) { nodes(ids: $a) { id } }",
                "query ($a: ID!) { nodes(ids: $a) { id } }",
                "query ($a: ID) { nodes(ids: [$a]) { id } }",
                "query ($a: Int) { contacts(filter: { tag: $a }) { nodes { id } } }",
                "query ($a: [String!]) { contacts(filter: { tag: $a }) { nodes { id } } }",
                "query ($a: Boolean) { serverTime @include(if: $a) }",
                "query ($a: Boolean) { ... @skip(if: $a) { serverTime } }",
                "query ($a: Int!) { ...F @skip(if: $a) } fragment F on Query { serverTime }",
                "query ($a: ID) { ...F } fragment F on Query { contact(id: $a) { id } }",
                "query ($a: String) { matchingContacts(condition: { tag: $a }) { __typename } }",
                "query A($a: ID!) { contact(id: $a) { id } } query B($a: ID) { contact(id: $a) { id } }",
            ],
            "does not fit",
        );
        none_run(&["query ($a: Int @skip(if: true)) { contacts(first: $a) { nodes { id } } }"], "directive");
    }

    #[test]
    fn a_value_of_an_enum_is_no_text() {
        all_run(&["{ contacts(filter: { state: ACTIVE }) { nodes { id } } }"]);
        none_run(
            &[
                "{ contacts(filter: { state: \"ACTIVE\" }) { nodes { id } } }",
                "query ($a: ContactFilterInput = { state: \"ACTIVE\" }) { contacts(filter: $a) { nodes { id } } }",
            ],
            "enum",
        );
    }

    #[test]
    fn a_fragment_is_not_called_on() {
        none_run(&["{ ...on } fragment on on Query { serverTime }"], "on");
    }

    #[test]
    fn a_required_variable_is_not_null() {
        let check = |query: &str, operation, variables: &str| {
            let variables = Variables::from_json(serde_json::from_str(variables).unwrap());
            check_variables(&parse_query(query).unwrap(), operation, &variables).is_ok()
        };
        let one = "query ($a: Int!, $b: Int) { contacts(first: $a, last: $b) { nodes { id } } }";
        assert!(check(one, None, r#"{"a": 1, "b": null}"#) && check(one, None, r#"{"a": 1}"#));
        assert!(!check(one, None, r#"{"a": null}"#) && !check(one, None, "{}"));
        assert!(!check(one, None, r#"{"a": 2147483648}"#), "an integer has 32 bits");
        assert!(!check("query ($a: Int! = 1) { contacts(first: $a) { nodes { id } } }", None, r#"{"a": null}"#));
        let two = "query A($a: Int) { contacts(first: $a) { nodes { id } } } query B($a: Int!) { contacts(first: $a) { nodes { id } } }";
        assert!(check(two, Some("A"), r#"{"a": null}"#) && !check(two, Some("B"), r#"{"a": null}"#));
    }

    #[test]
    fn what_is_left_out_is_what_its_default_says() {
        let completed = |operation, variables: &str| {
            let query = "query A($a: Int = 1, $b: Int, $c: Int = null) { a } query B($a: Int = 2) { a }";
            let mut variables = Variables::from_json(serde_json::from_str(variables).unwrap());
            complete_variables(&parse_query(query).unwrap(), Some(operation), &mut variables);
            serde_json::to_value(&variables).unwrap()
        };
        assert_eq!(completed("A", "{}"), serde_json::json!({ "a": 1, "c": null }));
        assert_eq!(completed("B", "{}"), serde_json::json!({ "a": 2 }));
        assert_eq!(completed("A", r#"{"a": null, "c": 3}"#), serde_json::json!({ "a": null, "c": 3 }));
    }
}
