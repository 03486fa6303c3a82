//! What every mutation takes and gives beside its own: `clientMutationId`, which comes back as it was given, and `query`, for
//! what else a client has to read again. They are added to the schema here, so that none can be without.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::registry::{CacheControl, Deprecation, MetaField, MetaInputValue, MetaType, Registry};
use async_graphql::{Context, OutputType, Positioned, Value};
use async_graphql_value::Value as Written;

use super::Query;

const CLIENT_ID: &str = "clientMutationId";
const QUERY: &str = "query";

/// Adds them to the inputs and payloads of the mutations of this type.
pub fn describe(registry: &mut Registry, mutation: &str) {
    let Some(MetaType::Object { fields, .. }) = registry.types.get(mutation) else { return };
    let bare = |ty: &str| ty.trim_matches(['[', ']', '!']).to_owned();
    let of = |field: &MetaField| (field.args.get("input").map(|input| bare(&input.ty)), bare(&field.ty));
    let kinds: Vec<(Option<String>, String)> = fields.values().map(of).collect();
    for (input, payload) in kinds {
        let input = input.and_then(|input| registry.types.get_mut(&input));
        if let Some(MetaType::InputObject { input_fields, .. }) = input {
            input_fields.entry(CLIENT_ID.to_owned()).or_insert_with(client_id_given);
        }
        if let Some(MetaType::Object { fields, .. }) = registry.types.get_mut(&payload) {
            let told = "What the input said as `clientMutationId`.";
            fields.entry(CLIENT_ID.to_owned()).or_insert_with(|| field(CLIENT_ID, "String", told));
            let told = "All that can be asked for, as it is after the mutation.";
            fields.entry(QUERY.to_owned()).or_insert_with(|| field(QUERY, "Query!", told));
        }
    }
}

fn client_id_given() -> MetaInputValue {
    let told =
        "Comes back in the payload; the server makes no use of it, and a call with another one is the same call.";
    MetaInputValue {
        name: CLIENT_ID.to_owned(),
        description: Some(told.to_owned()),
        ty: "String".to_owned(),
        deprecation: Deprecation::NoDeprecated,
        default_value: None,
        visible: None,
        inaccessible: false,
        tags: Vec::new(),
        is_secret: false,
        directive_invocations: Vec::new(),
    }
}

fn field(name: &str, ty: &str, description: &str) -> MetaField {
    MetaField {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        args: IndexMap::new(),
        ty: ty.to_owned(),
        deprecation: Deprecation::NoDeprecated,
        cache_control: CacheControl::default(),
        external: false,
        requires: None,
        provides: None,
        visible: None,
        shareable: false,
        inaccessible: false,
        tags: Vec::new(),
        override_from: None,
        compute_complexity: None,
        directive_invocations: Vec::new(),
        requires_scopes: Vec::new(),
    }
}

/// Puts them into the payload of the mutation at hand; the library left null there.
pub async fn complete(ctx: &Context<'_>, payload: &mut Value) {
    let Value::Object(fields) = payload else { return };
    let mut asked = Vec::new();
    find(ctx, &ctx.item.node.selection_set.node, &mut asked);
    for field in asked {
        let value = match field.node.name.node.as_str() {
            CLIENT_ID => client_id(ctx),
            _ => Box::pin(query(ctx, field)).await,
        };
        fields.insert(field.node.response_key().node.clone(), value);
    }
}

fn find<'a>(ctx: &Context<'a>, set: &'a SelectionSet, asked: &mut Vec<&'a Positioned<Field>>) {
    for item in &set.items {
        match &item.node {
            Selection::Field(field) if [CLIENT_ID, QUERY].contains(&field.node.name.node.as_str()) => asked.push(field),
            Selection::Field(_) => {}
            Selection::InlineFragment(fragment) => find(ctx, &fragment.node.selection_set.node, asked),
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = ctx.query_env.fragments.get(&spread.node.fragment_name.node) {
                    find(ctx, &fragment.node.selection_set.node, asked);
                }
            }
        }
    }
}

fn client_id(ctx: &Context<'_>) -> Value {
    let given = |name: &str| ctx.query_env.variables.get(name);
    let Some(input) = ctx.item.node.get_argument("input") else { return Value::Null };
    let id = match &input.node {
        Written::Variable(name) => match given(name.as_str()) {
            Some(Value::Object(fields)) => fields.get(CLIENT_ID).cloned(),
            _ => None,
        },
        Written::Object(fields) => match fields.get(CLIENT_ID) {
            Some(Written::Variable(name)) => given(name.as_str()).cloned(),
            Some(Written::String(text)) => Some(Value::String(text.clone())),
            _ => None,
        },
        _ => None,
    };
    id.unwrap_or_default()
}

async fn query(ctx: &Context<'_>, field: &Positioned<Field>) -> Value {
    let payload = ctx.with_selection_set(&ctx.item.node.selection_set);
    let at = payload.with_field(field);
    let root = Query::default();
    let answer = root.resolve(&at.with_selection_set(&field.node.selection_set), field).await;
    answer.unwrap_or_else(|error| {
        at.add_error(error);
        Value::Null
    })
}
