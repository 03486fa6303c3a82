//! Counts what an operation asks for, with fragments expanded, and stops at the first limit.

use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{ServerError, Variables};

use super::weight::{Known, Weights};
use super::{
    ALIASES, COST, DEFAULT_PAGE, DEPTH, DIRECTIVES, FIELDS, INTROSPECTION_DEPTH, INTROSPECTION_LISTS, MAX_PAGE,
    MUTATION_ROOTS, QUERY_ROOTS, RECURSION, SENSITIVE, limit_error, refused,
};

/// Lists of the schema's own description that can lie in each other without end.
const LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

/// Where in an operation a selection stands.
#[derive(Debug, Clone, Copy)]
struct At {
    /// Selection sets around it.
    levels: usize,
    /// Fields around it.
    depth: usize,
    /// How often it is asked for.
    times: u64,
    /// Inside the schema's own description: in how many of its lists.
    introspection: Option<usize>,
}

/// What was counted so far.
pub(super) struct Count<'a> {
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    weights: Weights<'a>,
    fields: usize,
    aliases: usize,
    cost: u64,
    /// Names of the root fields, with fragments expanded.
    roots: Vec<&'a str>,
}

impl<'a> Count<'a> {
    /// Counts an operation.
    pub(super) fn operation(
        document: &'a ExecutableDocument,
        variables: &'a Variables,
        operation: &'a OperationDefinition,
    ) -> Result<(), ServerError> {
        let weights = Weights::new(variables, &operation.variable_definitions);
        let mut count = Self { document, operation, weights, fields: 0, aliases: 0, cost: 0, roots: Vec::new() };
        count.weights.fragments(document)?;
        count.weights.directives(&operation.directives, 1)?;
        count.walk(&operation.selection_set.node, At { levels: 0, depth: 0, times: 1, introspection: None })
    }

    fn walk(&mut self, set: &'a SelectionSet, at: At) -> Result<(), ServerError> {
        if at.levels > RECURSION {
            return Err(refused("levels", RECURSION));
        }
        for selection in &set.items {
            // Spreads count as well, or empty fragments could be nested without end.
            self.fields += 1;
            if self.fields > FIELDS {
                return Err(refused("fields", FIELDS));
            }
            if selection.node.directives().len() > DIRECTIVES {
                return Err(refused("directives on one field", DIRECTIVES));
            }
            self.weights.directives(selection.node.directives(), at.times)?;
            let inner = At { levels: at.levels + 1, ..at };
            match &selection.node {
                Selection::Field(field) => self.field(&field.node, inner)?,
                Selection::InlineFragment(fragment) => self.walk(&fragment.node.selection_set.node, inner)?,
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        self.walk(&fragment.node.selection_set.node, inner)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'a Field, at: At) -> Result<(), ServerError> {
        if at.depth == 0 {
            self.root(field.name.node.as_str())?;
        }
        self.aliases += usize::from(field.alias.is_some());
        if self.aliases > ALIASES {
            return Err(refused("aliases", ALIASES));
        }
        self.cost = self.cost.saturating_add(at.times);
        if self.cost > COST {
            return Err(limit_error(format!("The document costs more than {COST}; ask for fewer rows.")));
        }
        let name = field.name.node.as_str();
        let introspection = match at.introspection {
            Some(lists) => Some(lists + usize::from(LISTS.contains(&name))),
            None => name.starts_with("__").then_some(0),
        };
        if introspection.is_some_and(|lists| lists > INTROSPECTION_LISTS) {
            return Err(refused("lists of the schema within each other", INTROSPECTION_LISTS));
        }
        let depth = at.depth + 1;
        let deepest = if introspection.is_some() { INTROSPECTION_DEPTH } else { DEPTH };
        if depth > deepest {
            return Err(refused("fields within each other", deepest));
        }
        for (_, value) in &field.arguments {
            self.weights.add(&value.node, at.times)?;
        }
        let times = at.times.saturating_mul(self.rows(field));
        self.walk(&field.selection_set.node, At { depth, times, introspection, ..at })
    }

    fn root(&mut self, name: &'a str) -> Result<(), ServerError> {
        self.roots.push(name);
        if self.operation.ty != OperationType::Mutation {
            return if self.roots.len() > QUERY_ROOTS { Err(refused("root fields", QUERY_ROOTS)) } else { Ok(()) };
        }
        if self.roots.len() > MUTATION_ROOTS {
            return Err(refused("mutations", MUTATION_ROOTS));
        }
        match self.roots.iter().find(|name| SENSITIVE.contains(name)) {
            Some(name) if self.roots.len() > 1 => {
                Err(limit_error(format!("The mutation {name} must be the only one of its document.")))
            }
            _ => Ok(()),
        }
    }

    /// How many rows a field gives at most: the page asked for, or the ids.
    fn rows(&self, field: &Field) -> u64 {
        let size = |name| match self.weights.known(&field.get_argument(name)?.node)? {
            Known::Number(number) => Some(number.clamp(1, MAX_PAGE)),
            Known::List(_) => None,
        };
        let ids = || match self.weights.known(&field.get_argument("ids")?.node)? {
            Known::List(length) => Some(u64::try_from(length).unwrap_or(u64::MAX).max(1)),
            Known::Number(_) => None,
        };
        let default = || if self.is_connection(&field.selection_set.node) { DEFAULT_PAGE } else { 1 };
        size("first").or_else(|| size("last")).or_else(ids).unwrap_or_else(default)
    }

    /// Pages without a size have one all the same.
    fn is_connection(&self, set: &SelectionSet) -> bool {
        set.items.iter().any(|selection| match &selection.node {
            Selection::Field(field) => matches!(field.node.name.node.as_str(), "edges" | "nodes"),
            Selection::InlineFragment(fragment) => self.is_connection(&fragment.node.selection_set.node),
            // One level is enough for honest clients, and fragments may form a circle here.
            Selection::FragmentSpread(spread) => {
                self.document.fragments.get(&spread.node.fragment_name.node).is_some_and(|fragment| {
                    fragment.node.selection_set.node.items.iter().any(|selection| match &selection.node {
                        Selection::Field(field) => matches!(field.node.name.node.as_str(), "edges" | "nodes"),
                        _ => true,
                    })
                })
            }
        })
    }
}
