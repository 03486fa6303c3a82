//! Variables fit the places they stand in (5.8.5), wherever in an argument that is, and a value of an enum is no text (5.6.1).

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    BaseType, Directive, ExecutableDocument, OperationDefinition, Selection, SelectionSet, Type, VariableDefinition,
};
use async_graphql::{Number, Pos, Positioned, ServerError, Value};
use async_graphql_value::Value as Written;

use crate::graphql::types::{TYPES, name_of, root_of};

/// Refuses an operation with a value where another kind of value must be.
pub(super) fn check(document: &ExecutableDocument, operation: &OperationDefinition) -> Result<(), ServerError> {
    let definitions = operation.variable_definitions.iter().map(|definition| &definition.node);
    let definitions = definitions.map(|definition| (definition.name.node.as_str(), definition)).collect();
    let mut places = Places { document, definitions, spread: HashSet::new() };
    for definition in &operation.variable_definitions {
        if !definition.node.directives.is_empty() {
            return Err(ServerError::new("No directive has its place on a variable.", Some(definition.pos)));
        }
        if let Some(default) = &definition.node.default_value {
            places.value(&default.node.clone().into_value(), default.pos, &definition.node.var_type.node, false)?;
        }
    }
    places.set(Some(root_of(operation.ty)), &operation.selection_set.node)
}

struct Places<'a> {
    document: &'a ExecutableDocument,
    definitions: HashMap<&'a str, &'a VariableDefinition>,
    /// Fragments that were walked.
    spread: HashSet<&'a str>,
}

impl<'a> Places<'a> {
    fn set(&mut self, parent: Option<&str>, set: &'a SelectionSet) -> Result<(), ServerError> {
        for selection in &set.items {
            self.directives(selection.node.directives())?;
            match &selection.node {
                Selection::Field(field) => {
                    let definition = parent.and_then(|parent| TYPES.field(parent, &field.node.name.node));
                    for (name, value) in &field.node.arguments {
                        let arguments = definition.map(|definition| &definition.arguments[..]).unwrap_or_default();
                        let known = arguments.iter().find(|argument| argument.node.name.node == name.node);
                        if let Some(known) = known {
                            let has_default = known.node.default_value.is_some();
                            self.value(&value.node, value.pos, &known.node.ty.node, has_default)?;
                        }
                    }
                    let inner = definition.map(|definition| name_of(&definition.ty.node));
                    self.set(inner, &field.node.selection_set.node)?;
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let parent = condition.map_or(parent, |condition| Some(condition.node.on.node.as_str()));
                    self.set(parent, &fragment.node.selection_set.node)?;
                }
                Selection::FragmentSpread(fragment) => {
                    let name = fragment.node.fragment_name.node.as_str();
                    let document = self.document;
                    let known = document.fragments.get(name).filter(|_| self.spread.insert(name));
                    if let Some(fragment) = known {
                        let parent = fragment.node.type_condition.node.on.node.as_str();
                        self.set(Some(parent), &fragment.node.selection_set.node)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Those that may stand here take a condition.
    fn directives(&self, directives: &[Positioned<Directive>]) -> Result<(), ServerError> {
        let mut arguments = directives.iter().flat_map(|directive| &directive.node.arguments);
        arguments.try_for_each(|(_, value)| self.value(&value.node, value.pos, &TYPES.condition, false))
    }

    /// A value at a place of a type, which may have a default.
    fn value(&self, value: &Written, pos: Pos, ty: &Type, has_default: bool) -> Result<(), ServerError> {
        match (value, &ty.base) {
            (Written::Variable(name), _) => match self.definitions.get(name.as_str()) {
                Some(definition) if !fits(definition, ty, has_default) => Err(does_not_fit(name, pos)),
                // One that is not there is refused by the library.
                _ => Ok(()),
            },
            (Written::List(items), BaseType::List(of)) => {
                items.iter().try_for_each(|item| self.value(item, pos, of, false))
            }
            // One for a list of one.
            (value, BaseType::List(of)) => self.value(value, pos, of, false),
            (Written::Number(number), BaseType::Named(_)) if is_int(ty) && !fits_int(number) => {
                Err(ServerError::new("The number is out of the range of Int.", Some(pos)))
            }
            (Written::String(_), BaseType::Named(name)) if TYPES.is_enum(name) => {
                Err(ServerError::new("A value of an enum is written without quotation marks.", Some(pos)))
            }
            (Written::Object(fields), BaseType::Named(name)) => {
                let Some(input) = TYPES.input(name) else { return Ok(()) };
                for (name, value) in fields {
                    let Some(field) = input.fields.get(name.as_str()) else { continue };
                    if input.is_one_of && self.may_be_null(value) {
                        return Err(does_not_fit(name, pos));
                    }
                    self.value(value, pos, &field.ty.node, field.default_value.is_some())?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// True for a variable that may be null, which the one field of a `@oneOf` may not.
    fn may_be_null(&self, value: &Written) -> bool {
        let Written::Variable(name) = value else { return false };
        self.definitions.get(name.as_str()).is_some_and(|definition| definition.var_type.node.nullable)
    }
}

/// True for the type of whole numbers.
pub(super) fn is_int(ty: &Type) -> bool {
    matches!(&ty.base, BaseType::Named(name) if name == "Int")
}

/// A whole number has 32 bits (3.5.1); a fraction is refused by the library.
pub(super) fn fits_int(number: &Number) -> bool {
    number.as_i64().map_or(!number.is_u64(), |number| i32::try_from(number).is_ok())
}

/// What the specification calls `IsVariableUsageAllowed`.
fn fits(definition: &VariableDefinition, ty: &Type, has_default: bool) -> bool {
    let given = &definition.var_type.node;
    if ty.nullable || !given.nullable {
        return is_compatible(given, ty);
    }
    let own = definition.default_value.as_ref().is_some_and(|default| default.node != Value::Null);
    (own || has_default) && is_compatible(given, &Type { base: ty.base.clone(), nullable: true })
}

fn is_compatible(given: &Type, ty: &Type) -> bool {
    (ty.nullable || !given.nullable)
        && match (&given.base, &ty.base) {
            (BaseType::List(given), BaseType::List(ty)) => is_compatible(given, ty),
            (BaseType::Named(given), BaseType::Named(ty)) => given == ty,
            _ => false,
        }
}

fn does_not_fit(name: &str, pos: Pos) -> ServerError {
    ServerError::new(format!("A variable does not fit the type of the place it stands in: \"{name}\"."), Some(pos))
}
