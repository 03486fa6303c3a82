//! Who still asks for what is to go: operators see it by field before it goes.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use async_graphql::Request;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use carillon_domain::metrics::Metrics;

use super::types::{TYPES, Types, name_of, root_of};

/// Fields that are deprecated, by object and name, each as `Object.field`.
type Deprecated = HashMap<String, HashMap<String, String>>;

static DEPRECATED: LazyLock<Deprecated> = LazyLock::new(|| of(&TYPES));

fn of(types: &Types) -> Deprecated {
    let mut found = Deprecated::new();
    for (object, field) in types.all_fields() {
        if field.directives.iter().any(|directive| directive.node.name.node == "deprecated") {
            let name = field.name.node.to_string();
            let member = format!("{object}.{name}");
            found.entry(object.to_owned()).or_default().insert(name, member);
        }
    }
    found
}

/// Counts the deprecated fields that a request asks for, each once.
pub fn count(metrics: &Metrics, request: &mut Request) {
    if DEPRECATED.is_empty() {
        return;
    }
    let operation = request.operation_name.clone();
    let Ok(document) = request.parsed_query() else { return };
    for member in used((&TYPES, &DEPRECATED), document, operation.as_deref()) {
        metrics.deprecated_use(member);
    }
}

fn used<'a>(
    (types, deprecated): (&'a Types, &'a Deprecated),
    document: &ExecutableDocument,
    operation: Option<&str>,
) -> BTreeSet<&'a str> {
    let mut uses = Uses { types, deprecated, document, found: BTreeSet::new() };
    for (name, asked) in document.operations.iter() {
        if operation.is_none_or(|wanted| name.is_some_and(|name| name.as_str() == wanted)) {
            uses.set(Some(root_of(asked.node.ty)), &asked.node.selection_set.node);
        }
    }
    uses.found
}

struct Uses<'a, 'd> {
    types: &'a Types,
    deprecated: &'a Deprecated,
    document: &'d ExecutableDocument,
    found: BTreeSet<&'a str>,
}

impl Uses<'_, '_> {
    /// A document was counted with its fragments expanded, so this has an end.
    fn set(&mut self, parent: Option<&str>, set: &SelectionSet) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    let name = field.node.name.node.as_str();
                    let member = parent.and_then(|parent| self.deprecated.get(parent)?.get(name));
                    self.found.extend(member.map(String::as_str));
                    let types = self.types;
                    let of = parent.and_then(|parent| types.field_type(parent, name)).map(name_of);
                    self.set(of, &field.node.selection_set.node);
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let parent = condition.map_or(parent, |condition| Some(condition.node.on.node.as_str()));
                    self.set(parent, &fragment.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    let document = self.document;
                    if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                        let parent = fragment.node.type_condition.node.on.node.as_str();
                        self.set(Some(parent), &fragment.node.selection_set.node);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    #[test]
    fn a_deprecated_field_is_found_wherever_it_is_asked_for() {
        let types = Types::of(
            "type Query { cat: Cat old: Int @deprecated(reason: \"Since 2026-11-23: use cat.\") } \
             type Cat { name: String nick: String @deprecated(reason: \"Since 2026-11-23: use name.\") friend: Cat }",
        );
        let deprecated = of(&types);
        let used = |query: &str, operation| {
            let document = parse_query(query).unwrap();
            used((&types, &deprecated), &document, operation).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(used("{ cat { name friend { name } } }", None), Vec::<String>::new());
        assert_eq!(used("{ cat { nick friend { also: nick } } old }", None), ["Cat.nick", "Query.old"]);
        assert_eq!(used("{ cat { ...F } } fragment F on Cat { friend { ... { nick } } }", None), ["Cat.nick"]);
        let two = "query A { old } query B { cat { name } }";
        assert_eq!((used(two, Some("A")), used(two, Some("B"))), (vec!["Query.old".to_owned()], Vec::new()));
    }
}
