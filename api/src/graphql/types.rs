//! What the schema says of its types, by name: read from its own SDL, so that there is no second truth.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use async_graphql::Name;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, OperationType, Type, TypeDefinition, TypeKind,
    TypeSystemDefinition,
};

/// The schema's types, but for those that describe it.
pub static TYPES: LazyLock<Types> = LazyLock::new(|| Types::of(&super::schema().sdl()));

/// Types by name.
#[derive(Debug)]
pub struct Types {
    /// Fields of objects and interfaces.
    fields: HashMap<String, HashMap<String, FieldDefinition>>,
    inputs: HashMap<String, Input>,
    objects: HashSet<String>,
    enums: HashSet<String>,
    /// `String!`, the type of `__typename`.
    typename: Type,
    /// `Boolean!`, the type of `if` in `@include` and `@skip`.
    pub condition: Type,
}

/// An input object.
#[derive(Debug)]
pub struct Input {
    pub fields: HashMap<String, InputValueDefinition>,
    pub is_one_of: bool,
}

impl Types {
    /// Those of a schema.
    pub fn of(sdl: &str) -> Self {
        let required = |name| Type { base: BaseType::Named(Name::new(name)), nullable: false };
        let mut types = Self {
            fields: HashMap::new(),
            inputs: HashMap::new(),
            objects: HashSet::new(),
            enums: HashSet::new(),
            typename: required("String"),
            condition: required("Boolean"),
        };
        for definition in parse_schema(sdl).map(|read| read.definitions).unwrap_or_default() {
            if let TypeSystemDefinition::Type(definition) = definition {
                types.take(definition.node);
            }
        }
        types
    }

    fn take(&mut self, definition: TypeDefinition) {
        let name = definition.name.node.to_string();
        let fields = match definition.kind {
            TypeKind::Object(kind) => {
                self.objects.insert(name.clone());
                kind.fields
            }
            TypeKind::Interface(kind) => kind.fields,
            TypeKind::Enum(_) => {
                self.enums.insert(name);
                return;
            }
            TypeKind::InputObject(kind) => {
                let is_one_of = definition.directives.iter().any(|directive| directive.node.name.node == "oneOf");
                let fields = kind.fields.into_iter().map(|field| (field.node.name.node.to_string(), field.node));
                self.inputs.insert(name, Input { fields: fields.collect(), is_one_of });
                return;
            }
            TypeKind::Scalar | TypeKind::Union(_) => return,
        };
        let fields = fields.into_iter().map(|field| (field.node.name.node.to_string(), field.node));
        self.fields.insert(name, fields.collect());
    }

    /// Every field, with the object or interface that has it.
    pub fn all_fields(&self) -> impl Iterator<Item = (&str, &FieldDefinition)> {
        self.fields.iter().flat_map(|(object, fields)| fields.values().map(move |field| (object.as_str(), field)))
    }

    /// A field of an object or interface.
    pub fn field(&self, object: &str, name: &str) -> Option<&FieldDefinition> {
        self.fields.get(object)?.get(name)
    }

    /// The type of a field, which may be `__typename`.
    pub fn field_type(&self, object: &str, name: &str) -> Option<&Type> {
        if name == "__typename" { Some(&self.typename) } else { self.field(object, name).map(|field| &field.ty.node) }
    }

    /// An input object.
    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.get(name)
    }

    /// True for an object or interface.
    pub fn is_composite(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// True for an interface, whose fields may be those of several objects.
    pub fn is_interface(&self, name: &str) -> bool {
        self.is_composite(name) && !self.objects.contains(name)
    }

    /// True for an enum.
    pub fn is_enum(&self, name: &str) -> bool {
        self.enums.contains(name)
    }
}

/// The name of a type without its lists.
pub fn name_of(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(of) => name_of(of),
    }
}

/// The object that an operation asks.
pub const fn root_of(operation: OperationType) -> &'static str {
    match operation {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    }
}
