//! Limits on a document, judged before anything of it runs (C-218, C-221).
//!
//! Fragments are expanded while counting and the count stops at its limit, so a document of a few lines that expands
//! to billions of fields costs no more than any other. What is asked of a page counts once per row, and pages within
//! pages multiply. What a document costs, in points, is counted on the way: callers pay by it (C-234).

mod count;
mod price;
mod text;
mod weight;

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
};
use async_graphql::{Name, ServerError, Variables};
use count::Count;
pub use text::check_text;

/// Fields within each other.
const DEPTH: usize = 12;
/// The same inside the schema's own description, whose types wrap each other.
const INTROSPECTION_DEPTH: usize = 18;
/// Lists of the schema's description within each other; each would multiply the answer.
const INTROSPECTION_LISTS: usize = 2;
/// Levels of selection sets, fragments included, which async-graphql walks recursively.
pub const RECURSION: usize = 32;
/// Points of an operation.
pub const COST: u64 = 20_000;
/// Values of an answer: fields, each times the sizes of the pages it lies in. Most of them cost no points, but memory.
const VALUES: u64 = 20_000;
/// Lexical tokens of a document.
const TOKENS: usize = 4_000;
/// Brackets of all kinds within each other, for each of which the parser calls itself.
const BRACKETS: usize = 64;
/// Directives on one field.
pub const DIRECTIVES: usize = 4;
/// The largest page, as a cost.
const MAX_PAGE: u64 = 100;
/// The size of a page that does not say.
const DEFAULT_PAGE: u64 = 50;
/// Values of arguments, each as often as it is copied: wherever a field uses it, for each row the field lies in.
const WEIGHT: u64 = 1_000_000;
/// Values that an operation says itself, after fragments are expanded: folding copies those of a fragment to wherever it is
/// spread, and what a variable holds to nowhere.
const WRITTEN: u64 = 10_000;
/// Fields of an operation after fragments are expanded.
const FIELDS: usize = 1_000;
/// Aliased fields after fragments are expanded.
const ALIASES: usize = 30;
/// Fields at the root of a query.
const QUERY_ROOTS: usize = 20;
/// Fields at the root of a mutation, each a transaction of its own.
const MUTATION_ROOTS: usize = 10;
/// Operations of a document.
const OPERATIONS: usize = 10;
/// Mutations that are limited by attempt: one per document (C-218).
const SENSITIVE: [&str; 11] = [
    "acceptInvitation",
    "changePassword",
    "createApiKey",
    "enterTenant",
    "inviteMember",
    "refreshSession",
    "requestPasswordReset",
    "resetPassword",
    "signIn",
    "signUp",
    "verifyEmail",
];

/// What the operation costs that a request runs, in points; for resolvers.
#[derive(Debug, Clone, Copy)]
pub struct Cost(pub u64);

/// Reads the prices off the schema, so that the first request need not wait for it.
pub fn learn_prices() {
    price::learn();
}

/// Refuses a document that would cost too much with these variables; else tells what the operation costs that a request
/// with this name runs.
pub fn check_document(
    document: &ExecutableDocument,
    variables: &Variables,
    name: Option<&str>,
) -> Result<Cost, ServerError> {
    if document.operations.iter().count() > OPERATIONS {
        return Err(refused("operations", OPERATIONS));
    }
    document.operations.iter().try_fold(Cost(0), |cost, (known, operation)| {
        let points = Count::operation(document, variables, &operation.node)?;
        check_subscription(&operation.node)?;
        let is_run = name.is_none() || known.map(Name::as_str) == name;
        Ok(if is_run { Cost(points) } else { cost })
    })
}

/// Selections and values of a document as it stands, which tell how much it takes to hold it.
pub fn size_of(document: &ExecutableDocument) -> u64 {
    let operations = document.operations.iter().map(|(_, operation)| &operation.node.selection_set.node);
    let fragments = document.fragments.values().map(|fragment| &fragment.node.selection_set.node);
    operations.chain(fragments).map(weight::held).sum()
}

/// The specification gives a subscription one root field (5.2.3), and the library overlooks one in a fragment.
fn check_subscription(operation: &OperationDefinition) -> Result<(), ServerError> {
    let set = &operation.selection_set;
    match &set.node.items[..] {
        _ if operation.ty != OperationType::Subscription => Ok(()),
        [root] if matches!(&root.node, Selection::Field(field) if !field.node.name.node.starts_with("__")) => Ok(()),
        _ => {
            let message = "A subscription has one field of the schema at its root, and no fragment there.";
            Err(ServerError::new(message, Some(set.pos)))
        }
    }
}

/// The kind of the operation that a request runs, if its name and the document fit.
pub fn operation_type(document: &ExecutableDocument, name: Option<&str>) -> Option<OperationType> {
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation.node.ty),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name).map(|found| found.node.ty),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values().next().map(|found| found.node.ty)
        }
        _ => None,
    }
}

/// The name of a document's one operation, if it has a name.
pub fn only_name(document: &ExecutableDocument) -> Option<String> {
    match &document.operations {
        DocumentOperations::Multiple(operations) if operations.len() == 1 => {
            operations.keys().next().map(ToString::to_string)
        }
        DocumentOperations::Single(_) | DocumentOperations::Multiple(_) => None,
    }
}

fn refused(what: &str, limit: impl std::fmt::Display) -> ServerError {
    limit_error(format!("The document has more than {limit} {what}."))
}

/// The refusal of a document that is too large.
pub(super) fn limit_error(message: String) -> ServerError {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", "DOCUMENT_TOO_LARGE");
    error
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn check(query: &str) -> Result<(), String> {
        check_text(query).map_err(|error| error.message)?;
        check_with(query, "{}")
    }

    fn check_with(query: &str, variables: &str) -> Result<(), String> {
        let variables = Variables::from_json(serde_json::from_str(variables).unwrap());
        check_document(&parse_query(query).unwrap(), &variables, None).map(drop).map_err(|error| error.message)
    }

    fn numbered(count: usize, part: impl Fn(usize) -> String) -> String {
        (0..count).map(part).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ordinary_documents_pass() {
        assert_eq!(check("query A { a } query B { b { c } ...F } fragment F on Query { d }"), Ok(()));
        assert_eq!(
            check("mutation { createContact(input: {}) { contact { id } } archiveContact { contact { id } } }"),
            Ok(())
        );
    }

    #[test]
    fn a_subscription_has_one_root_field() {
        assert_eq!(check("subscription { a { ...F } } fragment F on A { b }"), Ok(()));
        for query in ["{ a b }", "{ a: a b: a }", "{ __typename }", "{ ...F }", "{ ... { a } }"] {
            let query = format!("subscription {query} fragment F on Subscription {{ a }}");
            assert!(check(&query).is_err_and(|message| message.contains("one field")), "{query}");
        }
    }

    #[test]
    fn c218_sensitive_mutations_stand_alone() {
        // `__typename` does nothing, and is asked for everywhere by generators.
        for query in [
            "mutation { signIn { x } }",
            "mutation { __typename signIn { x } }",
            "mutation { a: signIn { x } b: __typename c: __typename }",
            "mutation { __typename ...F } fragment F on Mutation { __typename signIn { x } }",
        ] {
            assert_eq!(check(query), Ok(()), "{query}");
        }
        let aliased = numbered(20, |n| format!("a{n}: signIn(input: {{}}) {{ x }}"));
        for query in [
            format!("mutation {{ {aliased} }}"),
            "mutation { a: signIn { x } b: signIn { x } }".to_owned(),
            "mutation { ...F ...F } fragment F on Mutation { signIn { x } }".to_owned(),
            "mutation { createContact { x } ... on Mutation { signIn { x } } }".to_owned(),
            "mutation { __typename signIn { x } __typename signUp { x } }".to_owned(),
            "mutation { __typename ...F signIn { x } } fragment F on Mutation { __typename b: signIn { x } }"
                .to_owned(),
            // Not by what it is called, but by what it is.
            "mutation { signIn { x } __typename: signIn { x } }".to_owned(),
        ] {
            assert!(check(&query).is_err_and(|message| message.contains("the only one")), "{query}");
        }
    }

    #[test]
    fn c221_fragments_that_expand_without_end_are_refused_at_once() {
        let fragment = |n| format!("fragment F{n} on Query {{ {} }}", format!("...F{} ", n + 1).repeat(10));
        let bomb = format!("query {{ ...F0 }} {}", numbered(20, fragment));
        assert_eq!(check(&bomb), Err(format!("The document has more than {FIELDS} fields.")));
        let cycle = "query { ...F } fragment F on Query { ...G } fragment G on Query { ...F }";
        assert_eq!(check(cycle), Err(format!("The document has more than {RECURSION} levels.")));
    }

    #[test]
    fn c221_each_limit_holds() {
        let repeat = |text: &str, times: usize| text.repeat(times);
        let aliases = numbered(ALIASES + 1, |n| format!("a{n}: id"));
        let cases = [
            (format!("{{ contact {{ {aliases} }} }}"), "aliases"),
            (format!("{{ {} }}", repeat("contact ", QUERY_ROOTS + 1)), "root fields"),
            (format!("mutation {{ {} }}", repeat("createContact { x } ", MUTATION_ROOTS + 1)), "mutations"),
            (format!("{{ a {} }}", repeat("@include(if: true) ", DIRECTIVES + 1)), "directives"),
            (format!("{{ a(x: [{}]) }}", repeat("1 ", TOKENS)), "tokens"),
            (numbered(OPERATIONS + 1, |n| format!("query Q{n} {{ a }}")), "operations"),
        ];
        for (query, what) in cases {
            assert!(check(&query).is_err_and(|message| message.contains(what)), "{what}");
        }
    }

    #[test]
    fn c221_a_large_variable_is_not_used_often() {
        let variable = |length: usize| format!(r#"{{"v": [{}0]}}"#, "0,".repeat(length - 1));
        let fits = |query: &str, length: usize| {
            check_with(query, &variable(length))
                .inspect_err(|error| assert!(error.contains("values"), "{error}"))
                .is_ok()
        };
        let uses = |times: usize| format!("query($v: [Int]) {{ {} }}", "a(x: $v) ".repeat(times));
        assert!(fits(&uses(1), 490_000), "what a body holds may be used once");
        assert!(fits(&uses(20), 900) && !fits(&uses(20), 60_000));
        let fragment = format!("fragment F on Query {{ a {{ {} }} }}", "b(first: $v, last: $v, ids: $v) ".repeat(100));
        assert!(!fits(&format!("query($v: [Int]) {{ {} }} {fragment}", "...F ".repeat(9)), 320_000));
        assert!(!fits(&format!("query {{ c }} {fragment}"), 4_000), "nobody spreads it, and it is validated");
        for query in [
            "query($v: Int) { a(first: 100) { nodes { b(x: [{ y: $v }]) } } }",
            "query($v: Int) { a(first: 100) { nodes { b @include(if: $v) } } }",
            "query($v: Int) { a(first: 100) { nodes { ... @include(if: $v) { b } } } }",
            "query($v: Int) { a(first: 100) { nodes { ...F } } } fragment F on A { b(x: $v) }",
        ] {
            assert!(fits(query, 4_000) && !fits(query, 10_100), "{query}");
        }
        let directives = "@include(if: $v) ".repeat(200);
        assert!(!fits(&format!("query($v: Int) {directives} {{ a }}"), 10_000));
        assert!(!fits(&format!("query {{ a }} fragment F on A {directives} {{ a }}"), 10_000));
        let text = format!(r#"{{"v": "{}"}}"#, "x".repeat(900_000));
        let rows = "query($v: String) { a(first: 100) { nodes { b(x: $v) } } }";
        assert!(check_with(rows, &text).is_err() && check_with(&uses(10), &text).is_ok());
        let default = format!(
            "query($v: [Int] = [{}]) {{ a(first: 100) {{ nodes {{ {} }} }} }}",
            "0 ".repeat(3_000),
            "b(x: $v) ".repeat(4)
        );
        assert!(check_with(&default, "{}").is_err() && check_with(&default, r#"{"v": []}"#).is_ok());
    }

    /// A text of four thousand octets would otherwise unfold to millions of values, in the memory of documents too.
    #[test]
    fn c221_what_a_fragment_says_is_not_said_often() {
        let fragment = |values: usize| format!("fragment F on Query {{ a(x: [{}]) }}", "1 ".repeat(values));
        let spreads = |times: usize| numbered(times, |n| format!("f{n} {{ ...F }}"));
        let document = |values, times| format!("{{ b {{ {} }} }} {}", spreads(times), fragment(values));
        assert_eq!(check(&document(100, 90)), Ok(()));
        for query in [document(1_000, 100), document(1_000, 100).replace("a(x:", "a @include(if:")] {
            assert!(check(&query).is_err_and(|message| message.contains("values of its own")), "{query}");
        }
    }

    #[test]
    fn what_a_document_holds_is_counted_as_it_stands() {
        for (query, size) in [
            ("{ a b { c } }", 3),
            ("query($v: Int) { a(x: [1, { y: $v }]) @include(if: true) }", 1 + 5 + 2),
            ("{ ...F ...F } fragment F on Query { a ... { b } }", 2 + 3),
        ] {
            assert_eq!(size_of(&parse_query(query).unwrap()), size, "{query}");
        }
    }

    #[test]
    fn c221_depth_is_limited_and_tools_can_still_read_the_schema() {
        let nested =
            |field: &str, depth: usize| format!("{{ {}{} }}", format!("{field} {{ ").repeat(depth), "}".repeat(depth));
        assert!(check(&nested("a", DEPTH).replace("{ }", "")).is_ok());
        assert!(check(&nested("a", DEPTH).replace("{ }", "{ b }")).is_err());
        let of_type = format!("{}name{}", "ofType { kind ".repeat(9), "}".repeat(9));
        let tools = format!(
            "{{ __schema {{ types {{ fields(includeDeprecated: true) {{ args {{ type {{ {of_type} }} }} }} }} }} }}"
        );
        assert_eq!(check(&tools), Ok(()));
        let circle =
            format!("{{ __schema {{ types {{ {}name{} }} }} }}", "fields { type { ".repeat(3), "} }".repeat(3));
        assert!(check(&circle).is_err_and(|message| message.contains("lists of the schema")));
    }

    #[test]
    fn c221_pages_within_pages_multiply() {
        let page =
            |first: &str, inner: &str| format!("query($n: Int) {{ contacts{first} {{ nodes {{ id {inner} }} }} }}");
        let inner = |first: &str| format!("messages{first} {{ nodes {{ id attempts {{ at state }} }} }}");
        let cost = |query: &str, variables| check_with(query, variables).is_err();
        assert!(!cost(&page("(first: 100)", &inner("(first: 10)")), "{}"));
        assert!(cost(&page("(first: 100)", &inner("(first: 100)")), "{}"));
        assert!(cost(&page("(last: $n)", &inner("(first: $n)")), r#"{"n": 100}"#));
        assert!(!cost(&page("(first: $n)", &inner("(first: $n)")), r#"{"n": 5}"#));
        let defaulted = page("(first: $n)", &inner("(first: $n)")).replace("$n: Int", "$n: Int = 100");
        assert!(cost(&defaulted, "{}") && !cost(&defaulted, r#"{"n": 5}"#));
        assert!(cost(&page("(first: 9999)", &inner("")), "{}"), "a page without a size has fifty rows");
        let spread = format!(
            "{} fragment C on MessageConnection {{ nodes {{ a b c d e }} }}",
            page("(first: 100)", "messages { ...C }")
        );
        assert!(cost(&spread, "{}"));
        let ids = (0..100).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(" ");
        assert!(cost(
            &format!(
                "{{ nodes(ids: [{ids}]) {{ ... on Contact {{ messages(first: 100) {{ nodes {{ id state }} }} }} }} }}"
            ),
            "{}"
        ));
    }
}
