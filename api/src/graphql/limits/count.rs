//! Counts what an operation asks for, with fragments expanded, and stops at the first limit.

use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{ServerError, Variables};

use super::price::{self, Price, Prices};
use super::weight::{Known, Weights};
use super::{
    ALIASES, COST, DEPTH, DIRECTIVES, FIELDS, INTROSPECTION_DEPTH, INTROSPECTION_LISTS, MAX_PAGE, MUTATION_ROOTS,
    QUERY_ROOTS, RECURSION, SENSITIVE, VALUES, limit_error, refused,
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
    /// How often it is asked for, by the pages around it.
    times: u64,
    /// How often it is paid for: other lists multiply as well, and what is skipped costs nothing.
    paid: u64,
    /// What the fields of the object cost that it is asked of; none where nobody knows it.
    prices: Option<&'static Prices>,
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
    values: u64,
    cost: u64,
    /// Items of the longest list that the mutation at hand is given.
    items: u64,
    /// Names of the root fields, with fragments expanded.
    roots: Vec<&'a str>,
}

impl<'a> Count<'a> {
    /// Counts an operation; its cost in points.
    pub(super) fn operation(
        document: &'a ExecutableDocument,
        variables: &'a Variables,
        operation: &'a OperationDefinition,
    ) -> Result<u64, ServerError> {
        let weights = Weights::new(variables, &operation.variable_definitions);
        let roots = Vec::new();
        let mut count =
            Self { document, operation, weights, fields: 0, aliases: 0, values: 0, cost: 0, items: 0, roots };
        count.weights.fragments(document)?;
        count.weights.directives(&operation.directives, 1)?;
        let root = match operation.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => "Subscription",
        };
        let prices = price::of_object(root);
        let at = At { levels: 0, depth: 0, times: 1, paid: 1, prices, introspection: None };
        count.walk(&operation.selection_set.node, at)?;
        Ok(count.cost)
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
            let paid = if self.weights.skips(selection.node.directives()) { 0 } else { at.paid };
            let inner = At { levels: at.levels + 1, paid, ..at };
            match &selection.node {
                Selection::Field(field) => self.field(&field.node, inner)?,
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let prices = condition.map_or(at.prices, |on| price::of_object(on.node.on.node.as_str()));
                    self.walk(&fragment.node.selection_set.node, At { prices, ..inner })?;
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        let prices = price::of_object(fragment.node.type_condition.node.on.node.as_str());
                        self.walk(&fragment.node.selection_set.node, At { prices, ..inner })?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'a Field, at: At) -> Result<(), ServerError> {
        let name = field.name.node.as_str();
        if at.depth == 0 {
            self.root(name)?;
            self.items = if self.is_mutation() { self.longest(field) } else { 0 };
        }
        self.aliases += usize::from(field.alias.is_some());
        if self.aliases > ALIASES {
            return Err(refused("aliases", ALIASES));
        }
        self.values = self.values.saturating_add(at.times);
        if self.values > VALUES {
            return Err(limit_error(format!("The answer may have more than {VALUES} values; ask for fewer rows.")));
        }
        if at.depth > 0 && at.introspection.is_none() && ["__schema", "__type"].contains(&name) {
            return Err(ServerError::new("The schema is asked about at the root of a query.", Some(field.name.pos)));
        }
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
        let price = at.prices.and_then(|prices| prices.get(name));
        let asked = self.asked(field);
        let rows = asked.unwrap_or_else(|| price.map_or(1, |price| price.rows(self.items_at(at))));
        self.pay(name, price, rows, at)?;
        let page = if price.is_some_and(Price::is_page) { rows } else { asked.unwrap_or(1) };
        let (times, paid) = (at.times.saturating_mul(page), at.paid.saturating_mul(rows));
        let prices = price.and_then(Price::inner);
        self.walk(&field.selection_set.node, At { depth, times, paid, prices, introspection, ..at })
    }

    fn pay(&mut self, name: &str, price: Option<&Price>, rows: u64, at: At) -> Result<(), ServerError> {
        let points = match name {
            "__schema" => price::SCHEMA,
            "__type" => price::TYPE,
            _ if at.depth == 0 && self.is_mutation() && price.is_some() => price::MUTATION + self.items,
            _ => price.map_or(0, |price| price.points(rows)),
        };
        self.cost = self.cost.saturating_add(points.saturating_mul(at.paid));
        if self.cost > COST {
            return Err(limit_error(format!("The document costs more than {COST} points; ask for less.")));
        }
        Ok(())
    }

    fn is_mutation(&self) -> bool {
        self.operation.ty == OperationType::Mutation
    }

    fn longest(&self, field: &Field) -> u64 {
        field.arguments.iter().map(|(_, value)| self.weights.longest(&value.node)).max().unwrap_or(0)
    }

    /// How many items the payload of a bulk mutation answers to.
    fn items_at(&self, at: At) -> Option<u64> {
        (at.depth == 1 && self.is_mutation() && self.items > 0).then_some(self.items)
    }

    fn root(&mut self, name: &'a str) -> Result<(), ServerError> {
        // It does nothing, and generators of persisted documents ask for it everywhere.
        if self.is_mutation() && name == "__typename" {
            return Ok(());
        }
        self.roots.push(name);
        if !self.is_mutation() {
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

    /// How many rows a field is told to give: the page asked for, or the ids.
    fn asked(&self, field: &Field) -> Option<u64> {
        let size = |name| match self.weights.known(&field.get_argument(name)?.node)? {
            Known::Number(number) => Some(number.clamp(1, MAX_PAGE)),
            Known::List(_) => None,
        };
        let ids = || match self.weights.known(&field.get_argument("ids")?.node)? {
            Known::List(length) => Some(u64::try_from(length).unwrap_or(u64::MAX).max(1)),
            Known::Number(_) => None,
        };
        size("first").or_else(|| size("last")).or_else(ids)
    }
}
