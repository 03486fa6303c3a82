//! Null where a field failed, as the specification wants it (June 2018 and later, "Handling Field Errors").
//!
//! async-graphql leaves the key of a failed field out of its object, whatever the field's type. Here the key is put
//! back with null where the type allows null, else the nearest place around it that does becomes null: what a client
//! reads always fits the schema, and a viewer who asks for an address gets null and an error (C-225). Answers without
//! errors cost nothing.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_graphql::parser::types::{
    BaseType, ExecutableDocument, Field, OperationType, Selection, SelectionSet, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::parser::{parse_query, parse_schema};
use async_graphql::{PathSegment, Response, Value};

/// Types of fields by object and name.
pub(super) type Types = HashMap<(String, String), Type>;

/// Those of the schema.
pub(super) static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let document = parse_schema(super::schema().sdl()).map(|document| document.definitions).unwrap_or_default();
    let mut types = Types::new();
    for definition in document {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let object = definition.node.name.node.to_string();
        let fields = match definition.node.kind {
            TypeKind::Object(kind) => kind.fields,
            TypeKind::Interface(kind) => kind.fields,
            _ => continue,
        };
        for field in fields {
            types.insert((object.clone(), field.node.name.node.to_string()), field.node.ty.node);
        }
    }
    types
});

/// Completes the answer to a query where fields of it failed.
pub fn complete(response: &mut Response, query: &str, operation: Option<&str>) {
    if response.errors.iter().all(|error| error.path.is_empty()) {
        return;
    }
    // It ran, so it parses.
    let Ok(document) = parse_query(query) else { return };
    let walk = Walk { document: &document, types: &TYPES };
    let failed = response.errors.iter().filter(|error| !error.path.is_empty());
    let failed: Vec<_> = failed.map(|error| (&error.path[..], walk.along(&error.path, operation))).collect();
    let (may_be_null, may_not): (Vec<_>, Vec<_>) =
        failed.into_iter().partition(|(_, nullable)| nullable.last().is_some_and(|nullable| *nullable));
    for (path, _) in may_be_null {
        set_null(&mut response.data, path, true);
    }
    for (path, nullable) in may_not {
        match nullable.iter().rposition(|nullable| *nullable) {
            Some(last) => set_null(&mut response.data, &path[..=last], false),
            None => response.data = Value::Null,
        }
    }
}

/// Puts null at a path. An object all of whose fields failed arrives as null: with `revive` it is one again.
fn set_null(data: &mut Value, path: &[PathSegment], revive: bool) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut place = data;
    for segment in parents {
        let inner = match (place, segment) {
            (Value::Object(fields), PathSegment::Field(key)) => fields.get_mut(key.as_str()),
            (Value::List(items), PathSegment::Index(index)) => items.get_mut(*index),
            _ => None,
        };
        // What lies around it may be null already.
        let Some(inner) = inner else { return };
        place = inner;
    }
    match (place, last) {
        (Value::Object(fields), PathSegment::Field(key)) => {
            fields.insert(async_graphql::Name::new(key), Value::Null);
        }
        (Value::List(items), PathSegment::Index(index)) => {
            if let Some(item) = items.get_mut(*index) {
                *item = Value::Null;
            }
        }
        (place @ Value::Null, PathSegment::Field(key)) if revive => {
            *place = Value::Object([(async_graphql::Name::new(key), Value::Null)].into_iter().collect());
        }
        _ => {}
    }
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    types: &'a Types,
}

impl<'a> Walk<'a> {
    /// For each step of a path whether null may stand there; shorter where the path leaves what is known.
    fn along(&self, path: &[PathSegment], operation: Option<&str>) -> Vec<bool> {
        let mut operations = self.document.operations.iter();
        let Some((_, root)) = operations
            .find(|(name, _)| operation.is_none_or(|wanted| name.is_some_and(|name| name.as_str() == wanted)))
        else {
            return Vec::new();
        };
        let object = match root.node.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => "Subscription",
        };
        let mut at = Type { base: BaseType::Named(async_graphql::Name::new(object)), nullable: true };
        let mut sets: Vec<&SelectionSet> = vec![&root.node.selection_set.node];
        let mut nullable = Vec::new();
        for segment in path {
            match (segment, &at.base) {
                (PathSegment::Field(key), BaseType::Named(object)) => {
                    let mut found = Vec::new();
                    for set in sets {
                        self.fields(set, object.as_str(), key, &mut found);
                    }
                    // Fields that share a key share their shape, whichever object they are of.
                    let known = |(object, field): &(String, &Field)| {
                        self.types.get(&(object.clone(), field.name.node.to_string()))
                    };
                    let Some(kind) = found.iter().find_map(known) else { return nullable };
                    at = kind.clone();
                    sets = found.into_iter().map(|(_, field)| &field.selection_set.node).collect();
                }
                (PathSegment::Index(_), BaseType::List(of)) => at = (**of).clone(),
                _ => return nullable,
            }
            nullable.push(at.nullable);
        }
        nullable
    }

    /// The fields of a selection that answer under a key, each with the object it is asked of.
    fn fields(&self, set: &'a SelectionSet, object: &str, key: &str, found: &mut Vec<(String, &'a Field)>) {
        for selection in &set.items {
            let (condition, inner) = match &selection.node {
                Selection::Field(field) => {
                    if field.node.response_key().node == key {
                        found.push((object.to_owned(), &field.node));
                    }
                    continue;
                }
                Selection::InlineFragment(fragment) => {
                    (fragment.node.type_condition.as_ref(), &fragment.node.selection_set.node)
                }
                Selection::FragmentSpread(spread) => {
                    let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) else { continue };
                    (Some(&fragment.node.type_condition), &fragment.node.selection_set.node)
                }
            };
            let object = condition.map_or(object, |condition| condition.node.on.node.as_str());
            self.fields(inner, object, key, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{Pos, ServerError};
    use serde_json::{Value as Json, json};

    use super::*;

    fn completed(query: &str, data: Json, paths: &[&[&str]]) -> Json {
        let mut response = Response::new(Value::from_json(data).unwrap());
        for path in paths {
            let segment = |text: &&str| match text.parse() {
                Ok(index) => PathSegment::Index(index),
                Err(_) => PathSegment::Field((*text).to_owned()),
            };
            let mut error = ServerError::new("x", Some(Pos::default()));
            error.path = path.iter().map(segment).collect();
            response.errors.push(error);
        }
        complete(&mut response, query, None);
        response.data.into_json().unwrap()
    }

    #[test]
    fn c225_a_field_that_may_be_null_is() {
        let query = "{ contacts { nodes { id mail: email } } }";
        let data = json!({ "contacts": { "nodes": [{ "id": "a" }, { "id": "b", "mail": "b@example.org" }] } });
        let path: &[&str] = &["contacts", "nodes", "0", "mail"];
        let shown = completed(query, data, &[path]);
        let nodes = json!([{ "id": "a", "mail": null }, { "id": "b", "mail": "b@example.org" }]);
        assert_eq!(shown["contacts"]["nodes"], nodes);
        let alone = completed("{ contact(id: 1) { email } }", json!({ "contact": null }), &[&["contact", "email"]]);
        assert_eq!(alone, json!({ "contact": { "email": null } }));
    }

    #[test]
    fn one_that_may_not_takes_what_is_around_it() {
        let query = "{ node(id: 1) { ...F } t: tenant { id } } fragment F on Contact { id tags }";
        let data = json!({ "node": { "id": "a" }, "t": { "id": "b" } });
        let shown = completed(query, data.clone(), &[&["node", "tags"]]);
        assert_eq!(shown, json!({ "node": null, "t": { "id": "b" } }));
        assert_eq!(completed(query, data.clone(), &[&["t"]]), Json::Null, "up to the root");
        assert_eq!(completed(query, data.clone(), &[&["node", "tags"], &["node", "tags", "0"]])["node"], Json::Null);
        assert_eq!(completed(query, data.clone(), &[&[]]), data, "an error of no field");
        let query = "{ contact(id: 1) { email tags } }";
        let both: &[&[&str]] = &[&["contact", "tags"], &["contact", "email"]];
        assert_eq!(completed(query, json!({ "contact": null }), both), json!({ "contact": null }));
    }
}
