//! Whatever takes an id answers for another tenant's as for one that nothing has (C-204), over the whole schema.

use std::collections::BTreeMap;

use async_graphql::parser::types::{BaseType, FieldDefinition, InputValueDefinition, Type};
use carillon::graphql::scope::Caller;
use serde_json::{Map, Value, json};

use crate::sdl::Sdl;
use crate::setup::{Api, code};

/// A place of the schema that takes an id: a root field, and the way to the id through its arguments.
struct Place<'a> {
    operation: &'static str,
    field: &'a FieldDefinition,
    way: Vec<String>,
}

/// The ways to an id through arguments or the fields of an input.
fn ways(sdl: &Sdl, fields: &[InputValueDefinition], within: &[&str]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for field in fields {
        let name = field.name.node.to_string();
        match named(&field.ty.node) {
            "ID" => found.push(vec![name]),
            // What lies within its own kind is found without going there.
            kind if within.contains(&kind) => {}
            kind => {
                let within = [within, &[kind]].concat();
                let deeper = sdl.inputs.get(kind).map_or_else(Vec::new, |fields| ways(sdl, fields, &within));
                found.extend(deeper.into_iter().map(|way| [vec![name.clone()], way].concat()));
            }
        }
    }
    found
}

fn named(kind: &Type) -> &str {
    match &kind.base {
        BaseType::Named(name) => name,
        BaseType::List(of) => named(of),
    }
}

fn arguments(field: &FieldDefinition) -> Vec<InputValueDefinition> {
    field.arguments.iter().map(|argument| argument.node.clone()).collect()
}

fn places(sdl: &Sdl) -> Vec<Place<'_>> {
    let of = |operation, root| {
        sdl.fields(root).iter().flat_map(move |field| {
            let ways = ways(sdl, &arguments(field), &[]);
            ways.into_iter().map(move |way| Place { operation, field, way })
        })
    };
    let mut places: Vec<_> = of("query", "Query").chain(of("mutation", "Mutation")).collect();
    // What ends something comes last, so that there is something to see until then.
    let ends = |place: &Place<'_>| {
        let name = place.field.name.node.as_str();
        ["archive", "cancel", "delete", "lift", "revoke"].iter().any(|verb| name.starts_with(verb))
    };
    places.sort_by_key(ends);
    places
}

/// Somebody in a tenant, and one id of every kind that they have.
struct Side {
    api: Api,
    ids: BTreeMap<String, Value>,
}

impl Side {
    async fn new(api: Api, n: usize) -> Self {
        let row = api.row(n).await;
        api.people(n).await;
        let query = "{ members(first: 100) { nodes { id userId } } apiKeys { nodes { id } } suppressions { nodes { id } } \
            attributeDefinitions { nodes { id } } auditEvents { nodes { id } } }";
        let lists = api.ask(query, json!({})).await["data"].clone();
        let member = lists["members"]["nodes"].as_array().unwrap().last().unwrap().clone();
        let first = |list: &str| lists[list]["nodes"][0]["id"].clone();
        let mut ids = vec![row.brand, row.topic, row.contact, row.sender, row.template, row.version, row.message];
        ids.extend([row.workflow, row.workflow_version, row.enrollment]);
        ids.extend([row.partial, row.upload, row.import, json!(api.tenant), json!(api.account)]);
        ids.extend([member["id"].clone(), member["userId"].clone()]);
        ids.extend(["apiKeys", "suppressions", "attributeDefinitions", "auditEvents"].map(first));
        let ids = ids.into_iter().map(|id| (id.as_str().unwrap().rsplit_once('_').unwrap().0.to_owned(), id)).collect();
        Self { api, ids }
    }

    /// The value of an input; the id at the end of the way is the one asked about, others are this side's own.
    fn value(&self, sdl: &Sdl, (name, kind): (&str, &Type), way: Option<&[String]>, id: &Value) -> Value {
        if let BaseType::List(of) = &kind.base {
            return json!([self.value(sdl, (name, of), way, id)]);
        }
        let kind = named(kind);
        if let Some(fields) = sdl.inputs.get(kind) {
            let mut object = self.object(sdl, fields, way, id);
            for (field, value) in also(kind, way) {
                object.insert(field.to_owned(), value);
            }
            return Value::Object(object);
        }
        match (kind, name) {
            ("ID", _) if way.is_some() => id.clone(),
            ("ID", "parentId") => self.ids["account"].clone(),
            ("ID", name) => self.ids[kind_of(name)].clone(),
            ("Int" | "Float", _) => json!(1),
            ("Boolean", _) => json!(true),
            ("JSON", _) => json!({}),
            ("String", "email" | "to") => json!("eve@example.org"),
            ("String", "ip") => json!("192.0.2.1"),
            ("String", "fromEmail") => json!("post@torten.test"),
            ("String", "locale" | "defaultLocale") => json!("de"),
            ("String", "defaultZone") => json!("Europe/Vienna"),
            ("String", "defaultCountry") => json!("AT"),
            (kind, _) if sdl.enums.contains_key(kind) => json!(sdl.enums[kind][0]),
            _ => json!("x"),
        }
    }

    /// What is required and what lies on the way; of a type that requires nothing, one field.
    fn object(
        &self,
        sdl: &Sdl,
        fields: &[InputValueDefinition],
        way: Option<&[String]>,
        id: &Value,
    ) -> Map<String, Value> {
        let on_the_way = |field: &InputValueDefinition| way.is_some_and(|way| way[0] == field.name.node.as_str());
        let is_required = |field: &InputValueDefinition| !field.ty.node.nullable && field.default_value.is_none();
        let mut chosen: Vec<_> = fields.iter().filter(|field| on_the_way(field) || is_required(field)).collect();
        if chosen.is_empty() {
            chosen.extend(fields.first());
        }
        let value = |field: &InputValueDefinition| {
            let name = field.name.node.as_str();
            let way = way.filter(|_| on_the_way(field)).map(|way| &way[1..]);
            (name.to_owned(), self.value(sdl, (name, &field.ty.node), way, id))
        };
        chosen.into_iter().map(value).collect()
    }

    /// What this side is told at a place with an id, as who may be there.
    async fn told(&self, sdl: &Sdl, place: &Place<'_>, id: &Value) -> Value {
        let arguments = arguments(place.field);
        let variables = Value::Object(self.object(sdl, &arguments, Some(&place.way), id));
        let given = |argument: &&InputValueDefinition| variables.get(argument.name.node.as_str()).is_some();
        let each = |part: &dyn Fn(&InputValueDefinition) -> String| {
            arguments.iter().filter(given).map(part).collect::<Vec<_>>().join(", ")
        };
        let declared = each(&|argument| format!("${}: {}", argument.name.node, argument.ty.node));
        let passed = each(&|argument| format!("{0}: ${0}", argument.name.node));
        let (operation, name) = (place.operation, &place.field.name.node);
        let shown = selection(sdl, named(&place.field.ty.node), 2);
        let query = format!("{operation}({declared}) {{ {name}({passed}) {shown} }}");
        let inside = self.api.ask(&query, variables.clone()).await;
        if code(&inside) != "FORBIDDEN" {
            return inside;
        }
        self.api.ask_as(&Caller::User(self.api.ada, None), &query, variables).await
    }
}

/// The kind of the id that a field of this name takes.
fn kind_of(field: &str) -> &'static str {
    match field.strip_suffix("Id").or_else(|| field.strip_suffix("Ids")) {
        Some("account") => "account",
        Some("brand") => "brand",
        Some("contact") => "contact",
        Some("membership") => "membership",
        Some("sender") => "sender",
        Some("template") => "template",
        Some("templateVersion") => "tplver",
        Some("tenant") => "tenant",
        Some("topic") => "topic",
        Some("upload") => "upload",
        _ => panic!("what kind of id does {field} take?"),
    }
}

/// What the rules want beside an id, before they look for it.
fn also(kind: &str, way: Option<&[String]>) -> Vec<(&'static str, Value)> {
    let next = way.map_or("", |way| way[0].as_str());
    match (kind, next) {
        ("SuppressAddressInput", "topicId") => vec![("scope", json!("TOPIC")), ("reason", json!("MANUAL"))],
        ("ImportOptionsInput", "topicId") => vec![("consent", json!({ "basis": "CONSENT", "attestation": "x" }))],
        ("TagContactsInput", _) => vec![("add", json!(["new"]))],
        _ => Vec::new(),
    }
}

/// All that can be shown of a type without arguments, a few levels deep.
fn selection(sdl: &Sdl, kind: &str, levels: usize) -> String {
    if sdl.possible.contains_key(kind) {
        return "{ __typename id }".to_owned();
    }
    let Some(fields) = sdl.objects.get(kind) else { return String::new() };
    let shown = |field: &FieldDefinition| {
        let (name, kind) = (field.name.node.as_str(), named(&field.ty.node));
        let is_object = sdl.objects.contains_key(kind) || sdl.possible.contains_key(kind);
        match is_object {
            false => Some(name.to_owned()),
            true if levels == 0 || field.arguments.iter().any(|argument| !argument.node.ty.node.nullable) => None,
            true => Some(format!("{name} {}", selection(sdl, kind, levels - 1))),
        }
    };
    let shown: Vec<String> = fields.iter().filter(|field| field.arguments.is_empty()).filter_map(shown).collect();
    format!("{{ __typename {} }}", shown.join(" "))
}

fn missing(kind: &str) -> Value {
    json!(format!("{kind}_00000000000000000000000000"))
}

#[actix_web::test]
async fn c204_another_tenants_id_is_answered_like_the_id_of_nothing_everywhere() {
    let theirs = Box::pin(Side::new(Api::new().await, 0)).await;
    let (schema, foreign) = (theirs.api.schema.clone(), theirs.ids);
    let own = Box::pin(Side::new(Api::within(theirs.api.world, "eve@example.org").await, 1)).await;
    let sdl = Sdl::of(&schema);
    let places = places(&sdl);
    assert!(places.len() > 40, "only {}: the search is wrong", places.len());
    let mut faults = Vec::new();
    for place in &places {
        let at = format!("{}({})", place.field.name.node, place.way.join("."));
        for (kind, id) in &foreign {
            let (found, none) = (own.told(&sdl, place, id).await, own.told(&sdl, place, &missing(kind)).await);
            if found != none {
                faults.push(format!("{at}: another's {kind} is answered by {found}, and that of nothing by {none}"));
            }
        }
    }
    // And what is their own is found, or nothing was shown.
    for place in &places {
        let mut is_found = false;
        for (kind, id) in &own.ids {
            is_found |= own.told(&sdl, place, id).await != own.told(&sdl, place, &missing(kind)).await;
        }
        if !is_found {
            let told = own.told(&sdl, place, &missing("contact")).await;
            faults.push(format!("{}({}) finds nothing: {told}", place.field.name.node, place.way.join(".")));
        }
    }
    assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
}
