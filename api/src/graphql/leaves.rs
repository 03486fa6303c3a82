//! Rows of lists that answer at once where they can.
//!
//! async-graphql gives every field of every row a future in a box of its own, which costs more than an answer that lies
//! there already. A [`Row`] whose plain fields are all that is asked for is answered in one go; any other goes through
//! its resolvers, which remain what the schema says: a leaf may only repeat what its resolver would answer. The schema
//! has no extension that wants to see every field.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::{ContainerType, ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value};
use std::borrow::Cow;

use super::scope::RequestScope;

/// An object some of whose fields lie there already.
pub trait Leaves: ContainerType {
    /// The answer of a field without arguments; none leaves the whole row to its resolvers, as does whatever fails.
    fn leaf(&self, scope: &RequestScope, name: &str) -> Option<Value>;
}

/// An object as the row of a list.
#[derive(Debug)]
pub struct Row<T>(pub T);

impl<T: Leaves> OutputType for Row<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let set = &ctx.item.node;
        let mut answer = IndexMap::with_capacity(set.items.len());
        if self.gather(ctx, ctx.data_unchecked(), set, &mut answer).is_some() && !answer.is_empty() {
            return Ok(Value::Object(answer));
        }
        Box::pin(self.0.resolve(ctx, field)).await
    }
}

impl<T: Leaves> Row<T> {
    /// Answers a selection; none if part of it needs a resolver.
    fn gather(
        &self,
        ctx: &ContextSelectionSet<'_>,
        scope: &RequestScope,
        set: &SelectionSet,
        answer: &mut IndexMap<Name, Value>,
    ) -> Option<()> {
        for selection in &set.items {
            let (condition, directives, inner) = match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    if !field.arguments.is_empty() || !field.directives.is_empty() {
                        return None;
                    }
                    let value = match field.name.node.as_str() {
                        "__typename" => Value::String(T::type_name().into_owned()),
                        name => self.0.leaf(scope, name)?,
                    };
                    answer.insert(field.response_key().node.clone(), value);
                    continue;
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = &ctx.query_env.fragments.get(&spread.node.fragment_name.node)?.node;
                    (Some(&fragment.type_condition), &spread.node.directives, &fragment.selection_set)
                }
                Selection::InlineFragment(fragment) => {
                    let fragment = &fragment.node;
                    (fragment.type_condition.as_ref(), &fragment.directives, &fragment.selection_set)
                }
            };
            let is_ours = condition.is_none_or(|condition| condition.node.on.node.as_str() == T::type_name());
            if !is_ours || !directives.is_empty() {
                return None;
            }
            self.gather(ctx, scope, &inner.node, answer)?;
        }
        Some(())
    }
}
