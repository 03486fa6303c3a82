//! One field for each key (6.3.2). The library runs every field as often as a document has it, and puts together what they
//! answered: a mutation that stands there twice was made twice, and an object whose first half failed lost its second.
//!
//! A valid document is folded before it is kept: fragments are put where they are spread, and fields under one key become
//! one that asks for all that was asked of them. Its fields were counted with fragments expanded, so it has an end. What is
//! asked under a directive stays apart, which for a query is work done twice; a mutation made twice is refused.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, FragmentDefinition, InlineFragment, OperationDefinition, OperationType,
    Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, ServerError};

use super::types::{TYPES, name_of, root_of};

/// Folds a valid document.
///
/// # Errors
/// The refusal of one whose mutations share a key and cannot be made one.
pub fn fold(document: &mut ExecutableDocument) -> Result<(), ServerError> {
    let mut folding = Folding { fragments: std::mem::take(&mut document.fragments), used: HashSet::new() };
    match &mut document.operations {
        DocumentOperations::Single(operation) => folding.operation(&mut operation.node),
        DocumentOperations::Multiple(operations) => {
            for operation in operations.values_mut() {
                folding.operation(&mut operation.node);
            }
        }
    }
    // What nobody spreads stays, for the library to refuse it.
    document.fragments = folding.fragments;
    document.fragments.retain(|name, _| !folding.used.contains(name));
    let mutations = document.operations.iter().filter(|(_, operation)| operation.node.ty == OperationType::Mutation);
    mutations
        .map(|(_, operation)| &operation.node.selection_set.node)
        .try_for_each(|set| once(set, &mut HashSet::new()))
}

/// Refuses a key that is there again, under a directive or in a fragment that is.
fn once<'a>(set: &'a SelectionSet, seen: &mut HashSet<&'a Name>) -> Result<(), ServerError> {
    set.items.iter().try_for_each(|item| match &item.node {
        Selection::Field(field) if !seen.insert(&field.node.response_key().node) => {
            let message =
                "A mutation that is asked for twice, and under a condition, may be made twice: ask for it once.";
            Err(ServerError::new(message, Some(item.pos)))
        }
        Selection::InlineFragment(fragment) => once(&fragment.node.selection_set.node, seen),
        Selection::Field(_) | Selection::FragmentSpread(_) => Ok(()),
    })
}

struct Folding {
    fragments: HashMap<Name, Positioned<FragmentDefinition>>,
    /// Those that were put where they are spread.
    used: HashSet<Name>,
}

impl Folding {
    fn operation(&mut self, operation: &mut OperationDefinition) {
        self.set(&mut operation.selection_set.node, Some(root_of(operation.ty)));
    }

    fn set(&mut self, set: &mut SelectionSet, parent: Option<&str>) {
        let mut folded = Folded::default();
        self.flatten(std::mem::take(&mut set.items), parent, &mut folded);
        set.items = folded.items;
        for item in &mut set.items {
            match &mut item.node {
                Selection::Field(field) => {
                    let ty = parent.and_then(|parent| TYPES.field_type(parent, &field.node.name.node));
                    self.set(&mut field.node.selection_set.node, ty.map(name_of));
                }
                Selection::InlineFragment(fragment) => {
                    let condition =
                        fragment.node.type_condition.as_ref().map(|condition| condition.node.on.node.clone());
                    let object = condition.as_ref().map(Name::as_str).or(parent);
                    self.set(&mut fragment.node.selection_set.node, object);
                }
                Selection::FragmentSpread(_) => {}
            }
        }
    }

    /// Takes selections in order, and what fragments select of the same object with them.
    fn flatten(&mut self, items: Vec<Positioned<Selection>>, parent: Option<&str>, folded: &mut Folded) {
        for item in items {
            let Positioned { pos, node } = item;
            match self.in_place(node) {
                Selection::InlineFragment(fragment) if is_always_of(&fragment.node, parent) => {
                    self.flatten(fragment.node.selection_set.node.items, parent, folded);
                }
                node => folded.push(Positioned { pos, node }),
            }
        }
    }

    /// A spread is the fragment that it stands for.
    fn in_place(&mut self, selection: Selection) -> Selection {
        let Selection::FragmentSpread(spread) = &selection else { return selection };
        let name = &spread.node.fragment_name.node;
        let known = self.fragments.get(name).filter(|fragment| fragment.node.directives.is_empty());
        let Some(fragment) = known else { return selection };
        let node = InlineFragment {
            type_condition: Some(fragment.node.type_condition.clone()),
            directives: spread.node.directives.clone(),
            selection_set: fragment.node.selection_set.clone(),
        };
        self.used.insert(name.clone());
        Selection::InlineFragment(Positioned { pos: spread.pos, node })
    }
}

/// True for a fragment that neither asks which object it is of nor whether it is wanted.
fn is_always_of(fragment: &InlineFragment, parent: Option<&str>) -> bool {
    let condition = fragment.type_condition.as_ref().map(|condition| condition.node.on.node.as_str());
    fragment.directives.is_empty() && condition.is_none_or(|condition| parent == Some(condition))
}

/// The selections of a set, each key and each object once.
#[derive(Default)]
struct Folded {
    items: Vec<Positioned<Selection>>,
    places: HashMap<Place, usize>,
}

#[derive(PartialEq, Eq, Hash)]
enum Place {
    Key(Name),
    Object(Name),
}

impl Folded {
    fn push(&mut self, mut item: Positioned<Selection>) {
        let Some(place) = place_of(&item.node) else {
            self.items.push(item);
            return;
        };
        match self.places.entry(place) {
            Entry::Occupied(at) => {
                let first = self.items.get_mut(*at.get()).and_then(|first| inner_of(&mut first.node));
                if let (Some(first), Some(more)) = (first, inner_of(&mut item.node)) {
                    first.append(more);
                }
            }
            Entry::Vacant(at) => {
                at.insert(self.items.len());
                self.items.push(item);
            }
        }
    }
}

/// None for what stays apart.
fn place_of(selection: &Selection) -> Option<Place> {
    match selection {
        Selection::Field(field) if field.node.directives.is_empty() => {
            Some(Place::Key(field.node.response_key().node.clone()))
        }
        Selection::InlineFragment(fragment) if fragment.node.directives.is_empty() => {
            let condition = fragment.node.type_condition.as_ref()?;
            Some(Place::Object(condition.node.on.node.clone()))
        }
        _ => None,
    }
}

fn inner_of(selection: &mut Selection) -> Option<&mut Vec<Positioned<Selection>>> {
    match selection {
        Selection::Field(field) => Some(&mut field.node.selection_set.node.items),
        Selection::InlineFragment(fragment) => Some(&mut fragment.node.selection_set.node.items),
        Selection::FragmentSpread(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn shown(set: &SelectionSet) -> String {
        let item = |item: &Positioned<Selection>| match &item.node {
            Selection::Field(field) => {
                let (key, inner) = (field.node.response_key().node.to_string(), shown(&field.node.selection_set.node));
                if inner.is_empty() { key } else { format!("{key}{{{inner}}}") }
            }
            Selection::InlineFragment(fragment) => {
                let on = fragment.node.type_condition.as_ref().map(|on| on.node.on.node.to_string());
                format!("{}:{{{}}}", on.unwrap_or_default(), shown(&fragment.node.selection_set.node))
            }
            Selection::FragmentSpread(spread) => format!("..{}", spread.node.fragment_name.node),
        };
        set.items.iter().map(item).collect::<Vec<_>>().join(" ")
    }

    fn folded(query: &str) -> String {
        let mut document = parse_query(query).unwrap();
        fold(&mut document).unwrap();
        let left: Vec<_> = document.fragments.keys().map(Name::to_string).collect();
        let (_, operation) = document.operations.iter().next().unwrap();
        format!("{} {}", shown(&operation.node.selection_set.node), left.join(" ")).trim().to_owned()
    }

    #[test]
    fn a_key_is_asked_once() {
        for (query, expected) in [
            ("{ tenant { id } serverTime tenant { name id } }", "tenant{id name} serverTime"),
            ("{ ... { a: tenant { id } } a: tenant { name } tenant { id } }", "a{id name} tenant{id}"),
            (
                "{ tenant { id } ...F } fragment F on Query { tenant { ...G } } fragment G on Tenant { name id }",
                "tenant{id name}",
            ),
            (
                "{ node(id: 1) { id ...C ... on Contact { messages { nodes { state } } id } } } fragment C on Contact { messages { nodes { id } } }",
                "node{id Contact:{messages{nodes{id state}} id}}",
            ),
            (
                "mutation { a: signOut(input: {}) { userErrors { code } } a: signOut(input: {}) { userErrors { message } } }",
                "a{userErrors{code message}}",
            ),
            ("{ __schema { ...S } } fragment S on __Schema { types { name } }", "__schema{__Schema:{types{name}}}"),
        ] {
            assert_eq!(folded(query), expected, "{query}");
        }
    }

    #[test]
    fn a_mutation_that_would_be_made_twice_is_refused() {
        let made = |query: &str| fold(&mut parse_query(query).unwrap());
        for again in ["a @include(if: $x) { c }", "... @include(if: $x) { a { c } }", "...F @include(if: $x)"] {
            let rest = "fragment F on Mutation { a { c } }";
            assert!(made(&format!("mutation {{ a {{ b }} {again} }} {rest}")).is_err(), "{again}");
            assert!(made(&format!("mutation {{ {again} a {{ b }} }} {rest}")).is_err(), "{again}");
            assert!(made(&format!("mutation {{ {again} b {{ b }} }} {rest}")).is_ok(), "{again}");
            let query = format!("query {{ a {{ b }} {} }}", again.replace("...F", "... on Query { a { c } } b"));
            assert!(made(&query).is_ok(), "{query}");
        }
    }

    #[test]
    fn what_is_under_a_directive_or_not_known_stays() {
        for (query, expected) in [
            ("{ tenant { id } tenant @skip(if: true) { name } }", "tenant{id} tenant{name}"),
            (
                "{ tenant { id } ...F @skip(if: true) } fragment F on Query { tenant { name } }",
                "tenant{id} Query:{tenant{name}}",
            ),
            ("{ ...F } fragment G on Query { tenant { id } }", "..F G"),
        ] {
            assert_eq!(folded(query), expected, "{query}");
        }
    }
}
