//! Every place of the schema that takes a value of some type, and requests that put one there.

use std::collections::BTreeMap;

use async_graphql::parser::types::{BaseType, FieldDefinition, InputValueDefinition, Type};
use carillon::graphql::scope::Caller;
use serde_json::{Map, Value, json};

use crate::sdl::Sdl;
use crate::setup::{Api, code};

/// A place of the schema that takes a value: a root field, and the way to the value through its arguments.
pub struct Place<'a> {
    operation: &'static str,
    field: &'a FieldDefinition,
    way: Vec<String>,
    dry_run: bool,
}

impl Place<'_> {
    /// For who reads of a fault.
    pub fn name(&self) -> String {
        let dry = if self.dry_run { " as a dry run" } else { "" };
        format!("{}({}){dry}", self.field.name.node, self.way.join("."))
    }
}

/// The ways to a value of some types through arguments or the fields of an input.
fn ways(sdl: &Sdl, kinds: &[&str], fields: &[InputValueDefinition], within: &[&str]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for field in fields {
        let name = field.name.node.to_string();
        match named(&field.ty.node) {
            kind if kinds.contains(&kind) => found.push(vec![name]),
            // What lies within its own kind is found without going there.
            kind if within.contains(&kind) => {}
            kind => {
                let within = [within, &[kind]].concat();
                let deeper = sdl.inputs.get(kind).map_or_else(Vec::new, |fields| ways(sdl, kinds, fields, &within));
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

/// True for a mutation that can be tried without an effect.
fn takes_dry_runs(sdl: &Sdl, field: &FieldDefinition) -> bool {
    let is_there = |fields: &Vec<InputValueDefinition>| fields.iter().any(|field| field.name.node == "dryRun");
    field.arguments.iter().any(|argument| sdl.inputs.get(named(&argument.node.ty.node)).is_some_and(is_there))
}

/// Every place that takes a value of one of some types; where there are dry runs, as one and in earnest.
pub fn places<'a>(sdl: &'a Sdl, kinds: &[&str]) -> Vec<Place<'a>> {
    let of = |operation, root| {
        sdl.fields(root).iter().flat_map(move |field| {
            let runs: &[bool] = if takes_dry_runs(sdl, field) { &[true, false] } else { &[false] };
            let ways = ways(sdl, kinds, &arguments(field), &[]);
            ways.into_iter().flat_map(move |way| {
                runs.iter().map(move |dry_run| Place { operation, field, way: way.clone(), dry_run: *dry_run })
            })
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
pub struct Side {
    pub api: Api,
    pub ids: BTreeMap<String, Value>,
}

impl Side {
    /// With the n-th of everything.
    pub async fn new(api: Api, n: usize) -> Self {
        let row = api.row(n).await;
        api.people(n).await;
        let query = "query($contact: ID!) { members(first: 100) { nodes { id userId } } apiKeys { nodes { id } } \
            suppressions { nodes { id } } attributeDefinitions { nodes { id } } auditEvents { nodes { id } } \
            eventDefinitions { nodes { id } } contact(id: $contact) { ledger { nodes { id } } } }";
        let lists = api.ask(query, json!({ "contact": row.contact })).await["data"].clone();
        let member = lists["members"]["nodes"].as_array().unwrap().last().unwrap().clone();
        let first = |list: &str| lists[list]["nodes"][0]["id"].clone();
        let mut ids = vec![row.brand, row.topic, row.contact, row.sender, row.template, row.version, row.message];
        ids.extend([row.workflow, row.workflow_version, row.enrollment, row.document, row.document_set]);
        ids.extend([row.webhook_endpoint, row.webhook_delivery]);
        ids.extend([row.list, row.campaign]);
        ids.extend([row.partial, row.upload, row.import, json!(api.tenant), json!(api.account)]);
        ids.extend([member["id"].clone(), member["userId"].clone()]);
        ids.push(lists["contact"]["ledger"]["nodes"][0]["id"].clone());
        let of_the_tenant = ["apiKeys", "suppressions", "attributeDefinitions", "auditEvents", "eventDefinitions"];
        ids.extend(of_the_tenant.map(first));
        let ids = ids.into_iter().map(|id| (id.as_str().unwrap().rsplit_once('_').unwrap().0.to_owned(), id)).collect();
        Self { api, ids }
    }

    /// The value of an input; at the end of the way lies what is tried, and everything else is good.
    fn value(&self, sdl: &Sdl, at: (&str, &str, &Type), way: Option<&[String]>, tried: &Value) -> Value {
        let (within, name, kind) = at;
        if let BaseType::List(of) = &kind.base {
            return json!([self.value(sdl, (within, name, of), way, tried)]);
        }
        let kind = named(kind);
        if let Some(fields) = sdl.inputs.get(kind) {
            let mut object = self.object(sdl, (kind, fields), way, tried);
            for (field, value) in also(kind, way) {
                object.insert(field.to_owned(), value);
            }
            return Value::Object(object);
        }
        match (kind, name) {
            _ if way.is_some_and(<[String]>::is_empty) => tried.clone(),
            ("ID", "parentId") => self.ids["account"].clone(),
            ("ID", "id" | "ids") => self.ids[kind_within(within)].clone(),
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
        (within, fields): (&str, &[InputValueDefinition]),
        way: Option<&[String]>,
        tried: &Value,
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
            (name.to_owned(), self.value(sdl, (within, name, &field.ty.node), way, tried))
        };
        chosen.into_iter().map(value).collect()
    }

    /// Good arguments of a field.
    pub fn arguments(&self, sdl: &Sdl, field: &FieldDefinition) -> Value {
        Value::Object(self.object(sdl, ("", &arguments(field)), None, &Value::Null))
    }

    /// What this side is told at a place with a value, as who may be there.
    pub async fn told(&self, sdl: &Sdl, place: &Place<'_>, tried: &Value) -> Value {
        let arguments = arguments(place.field);
        let mut variables = Value::Object(self.object(sdl, ("", &arguments), Some(&place.way), tried));
        if place.dry_run {
            variables["input"]["dryRun"] = json!(true);
        }
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
        Some("documentSet") => "docset",
        Some("delivery") => "whdelivery",
        Some("endpoint") => "whendpoint",
        Some("list" | "excludedList") => "list",
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

/// The kind of the object that an input is about, as its name says.
fn kind_within(input: &str) -> &'static str {
    let kinds = [
        ("ApiKey", "credential"),
        ("Campaign", "campaign"),
        ("ContactList", "list"),
        ("Contact", "contact"),
        ("Message", "message"),
        ("Partial", "partial"),
        ("Sender", "sender"),
        ("Suppression", "suppression"),
        ("WebhookEndpoint", "whendpoint"),
        ("Workflow", "workflow"),
    ];
    let found = kinds.into_iter().find(|(word, _)| input.contains(word));
    found.unwrap_or_else(|| panic!("what is {input} about?")).1
}

/// What the rules want beside an id, before they look for it.
fn also(kind: &str, way: Option<&[String]>) -> Vec<(&'static str, Value)> {
    let next = way.map_or("", |way| way[0].as_str());
    match (kind, next) {
        ("SuppressAddressInput", "topicId") => vec![("scope", json!("TOPIC")), ("reason", json!("MANUAL"))],
        ("ImportOptionsInput", "topicId") => vec![("consent", json!({ "basis": "CONSENT", "attestation": "x" }))],
        ("CreateApiKeyInput", "documentSetId") => vec![("scopes", json!(["contacts.read"]))],
        ("TagContactsInput", next) if next != "add" => vec![("add", json!(["new"]))],
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
    // What a payload lets ask besides are places of their own.
    let is_own = |field: &&FieldDefinition| field.arguments.is_empty() && field.name.node != "query";
    let shown: Vec<String> = fields.iter().filter(is_own).filter_map(shown).collect();
    format!("{{ __typename {} }}", shown.join(" "))
}
