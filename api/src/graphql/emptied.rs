//! An object of which nothing is asked after all is an empty object (6.4.3): conditions left its fields out, or it is none of
//! those that fragments ask about. The library answers null there, as if there were no object.
//!
//! Where that can be, the object's `__typename` is asked for as well, under a key of our own, and taken out of the answer.

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Request, Response, Value};

/// The key; names that begin so are not for clients (2.1.9).
const KEY: &str = "__asked";

/// Marks a request's objects that may end up without fields; true where there are any.
pub fn mark(request: &mut Request) -> bool {
    // A document that uses the key itself is left as it is.
    if request.query.contains(KEY) {
        return false;
    }
    let Ok(document) = request.parsed_query() else { return false };
    if !may_be_emptied(document) {
        return false;
    }
    let mut document = document.clone();
    match &mut document.operations {
        DocumentOperations::Single(operation) => operation_marked(&mut operation.node),
        DocumentOperations::Multiple(operations) => {
            for operation in operations.values_mut() {
                operation_marked(&mut operation.node);
            }
        }
    }
    document.fragments.values_mut().for_each(|fragment| inner_marked(&mut fragment.node.selection_set.node));
    request.set_parsed_query(document);
    true
}

/// Takes the marks out of an answer.
pub fn unmark(response: &mut Response) {
    take_out(&mut response.data);
}

fn take_out(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.shift_remove(KEY);
            fields.values_mut().for_each(take_out);
        }
        Value::List(items) => items.iter_mut().for_each(take_out),
        _ => {}
    }
}

fn may_be_emptied(document: &ExecutableDocument) -> bool {
    let of_operation = |operation: &OperationDefinition| {
        let set = &operation.selection_set.node;
        (has_marks(operation) && is_conditional(set)) || inner_may_be_emptied(set)
    };
    document.operations.iter().any(|(_, operation)| of_operation(&operation.node))
        || document.fragments.values().any(|fragment| inner_may_be_emptied(&fragment.node.selection_set.node))
}

fn inner_may_be_emptied(set: &SelectionSet) -> bool {
    set.items.iter().any(|item| match &item.node {
        Selection::Field(field) => {
            let set = &field.node.selection_set.node;
            is_conditional(set) || inner_may_be_emptied(set)
        }
        Selection::InlineFragment(fragment) => inner_may_be_emptied(&fragment.node.selection_set.node),
        Selection::FragmentSpread(_) => false,
    })
}

/// A subscription has one field at its root (5.2.3), and a mark would be another.
fn has_marks(operation: &OperationDefinition) -> bool {
    operation.ty != OperationType::Subscription
}

fn operation_marked(operation: &mut OperationDefinition) {
    let has_marks = has_marks(operation);
    let set = &mut operation.selection_set.node;
    inner_marked(set);
    if has_marks {
        marked(set);
    }
}

/// Marks the objects within a set.
fn inner_marked(set: &mut SelectionSet) {
    for item in &mut set.items {
        match &mut item.node {
            Selection::Field(field) => {
                inner_marked(&mut field.node.selection_set.node);
                marked(&mut field.node.selection_set.node);
            }
            Selection::InlineFragment(fragment) => inner_marked(&mut fragment.node.selection_set.node),
            Selection::FragmentSpread(_) => {}
        }
    }
}

fn marked(set: &mut SelectionSet) {
    if !is_conditional(set) {
        return;
    }
    let Some(pos) = set.items.first().map(|item| item.pos) else { return };
    let here = |name: &str| Positioned::new(Name::new(name), pos);
    let field = Field {
        alias: Some(here(KEY)),
        name: here("__typename"),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(SelectionSet::default(), pos),
    };
    set.items.push(Positioned::new(Selection::Field(Positioned::new(field, pos)), pos));
}

/// True for a set none of whose fields is asked for whatever the variables and the object are.
fn is_conditional(set: &SelectionSet) -> bool {
    let is_certain = |item: &Positioned<Selection>| matches!(&item.node, Selection::Field(field) if field.node.directives.is_empty());
    !set.items.is_empty() && !set.items.iter().any(is_certain)
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema, SimpleObject, Union};
    use serde_json::{Value as Json, json};

    use super::*;

    #[derive(SimpleObject)]
    struct Cat {
        name: &'static str,
    }

    #[derive(SimpleObject)]
    struct Dog {
        age: i32,
    }

    #[derive(Union)]
    enum Pet {
        Cat(Cat),
        Dog(Dog),
    }

    struct Query;

    #[Object]
    impl Query {
        async fn cat(&self) -> Option<Cat> {
            Some(Cat { name: "Tom" })
        }

        async fn nobody(&self) -> Option<Cat> {
            None
        }

        async fn pets(&self) -> Vec<Pet> {
            vec![Pet::Cat(Cat { name: "Tom" }), Pet::Dog(Dog { age: 3 })]
        }
    }

    async fn answer(query: &str) -> Json {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let mut request = Request::new(query);
        let is_marked = mark(&mut request);
        let mut response = schema.execute(request).await;
        assert!(response.errors.is_empty(), "{query}: {:?}", response.errors);
        if is_marked {
            unmark(&mut response);
        }
        response.data.into_json().unwrap()
    }

    #[tokio::test]
    async fn an_object_without_fields_is_an_object_all_the_same() {
        let no = "@skip(if: true)";
        for (query, expected) in [
            ("{ cat { name @no } }", json!({ "cat": {} })),
            ("{ cat { name @no name @include(if: true) } }", json!({ "cat": { "name": "Tom" } })),
            ("{ nobody { name @no } }", json!({ "nobody": null })),
            ("{ cat { ... @no { name } } nobody { name } }", json!({ "cat": {}, "nobody": null })),
            ("{ cat @no { name } }", json!({})),
            ("{ ...F @no } fragment F on Query { cat { name @no } }", json!({})),
            ("{ ...F } fragment F on Query { cat { name @no } }", json!({ "cat": {} })),
            ("{ pets { ... on Cat { name } } }", json!({ "pets": [{ "name": "Tom" }, {}] })),
            ("{ pets { ... on Dog { age @no } } }", json!({ "pets": [{}, {}] })),
        ] {
            assert_eq!(answer(&query.replace("@no", no)).await, expected, "{query}");
        }
    }

    #[test]
    fn what_is_asked_for_in_any_case_is_left_as_it_is() {
        for query in [
            "{ cat { name } }",
            "{ cat { name nick: name @skip(if: true) } }",
            "{ __asked: cat { name @skip(if: true) } }",
        ] {
            assert!(!mark(&mut Request::new(query)), "{query}");
        }
    }
}
