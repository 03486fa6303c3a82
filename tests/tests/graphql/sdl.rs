//! The schema as its clients read it.

use std::collections::BTreeMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{FieldDefinition, InputValueDefinition, TypeKind, TypeSystemDefinition};
use carillon::graphql::CarillonSchema;

/// The schema's types by name.
#[derive(Default)]
pub struct Sdl {
    pub objects: BTreeMap<String, Vec<FieldDefinition>>,
    pub inputs: BTreeMap<String, Vec<InputValueDefinition>>,
    pub enums: BTreeMap<String, Vec<String>>,
    /// Objects by interface.
    pub possible: BTreeMap<String, Vec<String>>,
}

impl Sdl {
    pub fn of(schema: &CarillonSchema) -> Self {
        let mut sdl = Self::default();
        for definition in parse_schema(schema.sdl()).unwrap().definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let name = definition.node.name.node.to_string();
            match definition.node.kind {
                TypeKind::Object(object) => {
                    for interface in object.implements {
                        sdl.possible.entry(interface.node.to_string()).or_default().push(name.clone());
                    }
                    sdl.objects.insert(name, object.fields.into_iter().map(|field| field.node).collect());
                }
                TypeKind::InputObject(object) => {
                    sdl.inputs.insert(name, object.fields.into_iter().map(|field| field.node).collect());
                }
                TypeKind::Enum(values) => {
                    let values = values.values.into_iter().map(|value| value.node.value.node.to_string());
                    sdl.enums.insert(name, values.collect());
                }
                _ => {}
            }
        }
        sdl
    }

    /// The fields of a type.
    pub fn fields(&self, object: &str) -> &[FieldDefinition] {
        &self.objects[object]
    }
}
