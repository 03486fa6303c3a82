//! Fields that answer under one key must be one field (5.3.2): of one shape wherever they are, and with one name and one set of
//! arguments where one object may have both.
//!
//! Fields are compared in groups, key by key, with what is asked of all of a group as one set: both comparisons are
//! transitive, so each field is compared once with the first of its group and not with every other.

use std::collections::{BTreeMap, HashSet};

use async_graphql::parser::types::{
    BaseType, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet, Type,
};
use async_graphql::{Positioned, ServerError};

use crate::graphql::limits;
use crate::graphql::types::{TYPES, name_of, root_of};

/// Fields of a document that are looked at, each as often as it is: far more than any honest one has.
pub(super) const LOOKS: usize = 50_000;

/// A selection set and the type it is asked of; none for a type of the schema's own description.
type Set<'a> = (Option<&'a str>, &'a SelectionSet);

#[derive(Clone, Copy)]
struct Selected<'a> {
    parent: Option<&'a str>,
    field: &'a Positioned<Field>,
}

/// Refuses an operation two fields of which cannot share their key.
pub(super) fn check(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    looks: &mut usize,
) -> Result<(), ServerError> {
    let mut merging = Merging { document, looks: *looks };
    let root = [(Some(root_of(operation.ty)), &operation.selection_set.node)];
    merging.shapes(&root)?;
    merging.fields(&root)?;
    *looks = merging.looks;
    Ok(())
}

struct Merging<'a> {
    document: &'a ExecutableDocument,
    /// How many are left.
    looks: usize,
}

impl<'a> Merging<'a> {
    fn shapes(&mut self, sets: &[Set<'a>]) -> Result<(), ServerError> {
        for group in self.by_key(sets)?.into_values() {
            same(&group, |first, other| match (first.ty(), other.ty()) {
                (Some(first), Some(other)) => is_same_shape(first, other),
                _ => true,
            })?;
            self.shapes(&inner(&group))?;
        }
        Ok(())
    }

    fn fields(&mut self, sets: &[Set<'a>]) -> Result<(), ServerError> {
        for group in self.by_key(sets)?.into_values() {
            for group in by_object(group) {
                same(&group, |first, other| is_same_field(&first.field.node, &other.field.node))?;
                self.fields(&inner(&group))?;
            }
        }
        Ok(())
    }

    /// The fields of some sets by their keys, with fragments expanded.
    fn by_key(&mut self, sets: &[Set<'a>]) -> Result<BTreeMap<&'a str, Vec<Selected<'a>>>, ServerError> {
        let (mut sets, mut spread) = (sets.to_vec(), HashSet::new());
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        while let Some((parent, set)) = sets.pop() {
            for selection in &set.items {
                self.looks = self.looks.checked_sub(1).ok_or_else(|| {
                    limits::limit_error(format!("The document has more than {LOOKS} fields to compare."))
                })?;
                match &selection.node {
                    Selection::Field(field) => {
                        let key = field.node.response_key().node.as_str();
                        groups.entry(key).or_default().push(Selected { parent, field });
                    }
                    Selection::InlineFragment(fragment) => {
                        let condition = fragment.node.type_condition.as_ref();
                        let parent = condition.map_or(parent, |condition| Some(condition.node.on.node.as_str()));
                        sets.push((parent, &fragment.node.selection_set.node));
                    }
                    Selection::FragmentSpread(fragment) => {
                        let name = fragment.node.fragment_name.node.as_str();
                        let known = self.document.fragments.get(name).filter(|_| spread.insert(name));
                        if let Some(fragment) = known {
                            let parent = fragment.node.type_condition.node.on.node.as_str();
                            sets.push((Some(parent), &fragment.node.selection_set.node));
                        }
                    }
                }
            }
        }
        Ok(groups)
    }
}

impl Selected<'_> {
    fn ty(&self) -> Option<&'static Type> {
        TYPES.field_type(self.parent?, &self.field.node.name.node)
    }
}

/// What is asked of a group's fields.
fn inner<'a>(group: &[Selected<'a>]) -> Vec<Set<'a>> {
    let sets = group.iter().map(|selected| (selected.ty().map(name_of), &selected.field.node.selection_set.node));
    sets.filter(|(_, set)| !set.items.is_empty()).collect()
}

/// Those that one object may have, for each object. Fields of an interface may be any object's.
fn by_object(group: Vec<Selected<'_>>) -> Vec<Vec<Selected<'_>>> {
    let (any, own): (Vec<_>, Vec<_>) =
        group.into_iter().partition(|selected| selected.parent.is_some_and(|parent| TYPES.is_interface(parent)));
    let mut objects = BTreeMap::<_, Vec<_>>::new();
    for selected in own {
        objects.entry(selected.parent).or_default().push(selected);
    }
    if objects.is_empty() {
        return vec![any];
    }
    let with_any = |mut own: Vec<_>| {
        own.extend_from_slice(&any);
        own
    };
    objects.into_values().map(with_any).collect()
}

fn same<'a>(group: &[Selected<'a>], is_same: impl Fn(&Selected<'a>, &Selected<'a>) -> bool) -> Result<(), ServerError> {
    let Some((first, rest)) = group.split_first() else { return Ok(()) };
    match rest.iter().find(|other| !is_same(first, other)) {
        None => Ok(()),
        Some(other) => {
            let key = &other.field.node.response_key().node;
            let message = format!("Fields that differ cannot be answered under one key, \"{key}\": give one an alias.");
            let mut error = ServerError::new(message, Some(first.field.pos));
            error.locations.push(other.field.pos);
            Err(error)
        }
    }
}

fn is_same_shape(first: &Type, other: &Type) -> bool {
    first.nullable == other.nullable
        && match (&first.base, &other.base) {
            (BaseType::List(first), BaseType::List(other)) => is_same_shape(first, other),
            (BaseType::Named(first), BaseType::Named(other)) => {
                first == other || (TYPES.is_composite(first) && TYPES.is_composite(other))
            }
            _ => false,
        }
}

fn is_same_field(first: &Field, other: &Field) -> bool {
    first.name.node == other.name.node
        && first.arguments.len() == other.arguments.len()
        && first
            .arguments
            .iter()
            .all(|(name, value)| other.get_argument(&name.node).is_some_and(|other| other.node == value.node))
}
