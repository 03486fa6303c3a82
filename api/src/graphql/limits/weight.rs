//! How much there is to copy: the library clones a variable wherever it is used, when it validates and for each row it
//! resolves, so a large one used often is work without end (C-221).
//!
//! A variable is weighed once, however often it is used, and what it says of a page's size is read in place.

use std::collections::HashMap;

use async_graphql::parser::types::{Directive, ExecutableDocument, Selection, SelectionSet, VariableDefinition};
use async_graphql::{Positioned, ServerError, Value, Variables};
use async_graphql_value::Value as Written;

use super::{WEIGHT, WRITTEN, refused};

/// Octets of a text that weigh as much as a value.
const OCTETS: usize = 32;

/// What an argument says about how many rows there will be.
pub(super) enum Known {
    /// A number, zero for one that is no size.
    Number(u64),
    /// A list of so many.
    List(usize),
}

/// What an operation's arguments weigh so far.
pub(super) struct Weights<'a> {
    variables: &'a Variables,
    definitions: &'a [Positioned<VariableDefinition>],
    /// Weights of variables that were used.
    weighed: HashMap<&'a str, u64>,
    sum: u64,
    /// What the document says itself, wherever its fragments say it.
    written: u64,
}

impl<'a> Weights<'a> {
    /// Nothing was used yet.
    pub(super) fn new(variables: &'a Variables, definitions: &'a [Positioned<VariableDefinition>]) -> Self {
        Self { variables, definitions, weighed: HashMap::new(), sum: 0, written: 0 }
    }

    /// Adds an argument of a field that is asked for so many times.
    pub(super) fn add(&mut self, value: &'a Written, times: u64) -> Result<(), ServerError> {
        self.written = self.written.saturating_add(of_written(value));
        if self.written > WRITTEN {
            return Err(refused("values of its own, with fragments expanded", WRITTEN));
        }
        self.sum = self.sum.saturating_add(self.written(value).saturating_mul(times));
        if self.sum > WEIGHT { Err(refused("values, counted wherever they are used", WEIGHT)) } else { Ok(()) }
    }

    /// Adds the arguments of directives.
    pub(super) fn directives(&mut self, used: &'a [Positioned<Directive>], times: u64) -> Result<(), ServerError> {
        used.iter()
            .flat_map(|directive| &directive.node.arguments)
            .try_for_each(|(_, value)| self.add(&value.node, times))
    }

    /// Adds every fragment once, for each is validated, used or not.
    pub(super) fn fragments(&mut self, document: &'a ExecutableDocument) -> Result<(), ServerError> {
        document.fragments.values().try_for_each(|fragment| {
            self.directives(&fragment.node.directives, 1)?;
            self.selection(&fragment.node.selection_set.node)
        })
    }

    fn selection(&mut self, set: &'a SelectionSet) -> Result<(), ServerError> {
        for selection in &set.items {
            self.directives(selection.node.directives(), 1)?;
            match &selection.node {
                Selection::Field(field) => {
                    field.node.arguments.iter().try_for_each(|(_, value)| self.add(&value.node, 1))?;
                    self.selection(&field.node.selection_set.node)?;
                }
                Selection::InlineFragment(fragment) => self.selection(&fragment.node.selection_set.node)?,
                Selection::FragmentSpread(_) => {}
            }
        }
        Ok(())
    }

    /// A number or the length of a list, with variables and their defaults filled in.
    pub(super) fn known(&self, value: &Written) -> Option<Known> {
        match value {
            Written::Number(number) => Some(Known::Number(number.as_u64().unwrap_or(0))),
            Written::List(items) => Some(Known::List(items.len())),
            Written::Variable(name) => match self.given(name)? {
                Value::Number(number) => Some(Known::Number(number.as_u64().unwrap_or(0))),
                Value::List(items) => Some(Known::List(items.len())),
                _ => None,
            },
            _ => None,
        }
    }

    /// Items of the longest list in an argument: itself, or a field of its. What lies in an item is the item's.
    pub(super) fn longest(&self, value: &Written) -> u64 {
        match value {
            Written::Variable(name) => self.given(name).map_or(0, longest_of),
            Written::List(items) => u64::try_from(items.len()).unwrap_or(u64::MAX),
            Written::Object(fields) => fields.values().map(|value| self.longest(value)).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// True where `@skip` or `@include` leaves a selection out; false where nobody knows.
    pub(super) fn skips(&self, used: &[Positioned<Directive>]) -> bool {
        used.iter().any(|directive| {
            let left_out = match directive.node.name.node.as_str() {
                "skip" => true,
                "include" => false,
                _ => return false,
            };
            let given = directive.node.get_argument("if").and_then(|value| match &value.node {
                Written::Boolean(given) => Some(*given),
                Written::Variable(name) => match self.given(name)? {
                    Value::Boolean(given) => Some(*given),
                    _ => None,
                },
                _ => None,
            });
            given == Some(left_out)
        })
    }

    fn given(&self, name: &str) -> Option<&'a Value> {
        let (variables, definitions) = (self.variables, self.definitions);
        let default = || {
            let definition = definitions.iter().find(|definition| definition.node.name.node == name)?;
            definition.node.default_value()
        };
        variables.get(name).or_else(default)
    }

    fn written(&mut self, value: &'a Written) -> u64 {
        match value {
            Written::Variable(name) => self.variable(name),
            Written::String(text) => of_text(text),
            Written::List(items) => items.iter().fold(1, |sum, item| sum + self.written(item)),
            Written::Object(fields) => {
                fields.iter().fold(1, |sum, (name, value)| sum + of_text(name) + self.written(value))
            }
            _ => 1,
        }
    }

    fn variable(&mut self, name: &'a str) -> u64 {
        if let Some(weight) = self.weighed.get(name) {
            return *weight;
        }
        let weight = self.given(name).map_or(1, of_value);
        self.weighed.insert(name, weight);
        weight
    }
}

/// Selections of a set and the values that are written there.
pub(super) fn held(set: &SelectionSet) -> u64 {
    let of_selection = |selection: &Positioned<Selection>| {
        let directives = selection.node.directives();
        let conditions = directives.iter().flat_map(|directive| &directive.node.arguments);
        let conditions: u64 = conditions.map(|(_, value)| 1 + of_written(&value.node)).sum();
        let inner = match &selection.node {
            Selection::Field(field) => {
                let values: u64 = field.node.arguments.iter().map(|(_, value)| of_written(&value.node)).sum();
                values + held(&field.node.selection_set.node)
            }
            Selection::InlineFragment(fragment) => held(&fragment.node.selection_set.node),
            Selection::FragmentSpread(_) => 0,
        };
        1 + conditions + inner
    };
    set.items.iter().map(of_selection).sum()
}

/// What is written, a variable as one value.
fn of_written(value: &Written) -> u64 {
    match value {
        Written::String(text) => of_text(text),
        Written::List(items) => items.iter().fold(1, |sum, item| sum + of_written(item)),
        Written::Object(fields) => fields.iter().fold(1, |sum, (name, value)| sum + of_text(name) + of_written(value)),
        _ => 1,
    }
}

fn longest_of(value: &Value) -> u64 {
    match value {
        Value::List(items) => u64::try_from(items.len()).unwrap_or(u64::MAX),
        Value::Object(fields) => fields.values().map(longest_of).max().unwrap_or(0),
        _ => 0,
    }
}

fn of_value(value: &Value) -> u64 {
    match value {
        Value::String(text) => of_text(text),
        Value::List(items) => items.iter().fold(1, |sum, item| sum + of_value(item)),
        Value::Object(fields) => fields.iter().fold(1, |sum, (name, value)| sum + of_text(name) + of_value(value)),
        _ => 1,
    }
}

fn of_text(text: &str) -> u64 {
    u64::try_from(1 + text.len() / OCTETS).unwrap_or(u64::MAX)
}
