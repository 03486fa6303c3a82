//! The schema as its clients read it.

use std::collections::BTreeMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    EnumValueDefinition, FieldDefinition, InputValueDefinition, TypeDefinition, TypeKind, TypeSystemDefinition,
};
use carillon::graphql::CarillonSchema;

use crate::setup::Api;

/// The schema's types by name.
#[derive(Default)]
pub struct Sdl {
    pub objects: BTreeMap<String, Vec<FieldDefinition>>,
    pub inputs: BTreeMap<String, Vec<InputValueDefinition>>,
    pub enums: BTreeMap<String, Vec<String>>,
    /// Objects by interface.
    pub possible: BTreeMap<String, Vec<String>>,
}

impl Sdl {
    pub fn of(schema: &CarillonSchema) -> Self {
        let mut sdl = Self::default();
        for definition in parse_schema(schema.sdl()).unwrap().definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let name = definition.node.name.node.to_string();
            match definition.node.kind {
                TypeKind::Object(object) => {
                    for interface in object.implements {
                        sdl.possible.entry(interface.node.to_string()).or_default().push(name.clone());
                    }
                    sdl.objects.insert(name, object.fields.into_iter().map(|field| field.node).collect());
                }
                TypeKind::InputObject(object) => {
                    sdl.inputs.insert(name, object.fields.into_iter().map(|field| field.node).collect());
                }
                TypeKind::Enum(values) => {
                    let values = values.values.into_iter().map(|value| value.node.value.node.to_string());
                    sdl.enums.insert(name, values.collect());
                }
                _ => {}
            }
        }
        sdl
    }

    /// The fields of a type.
    pub fn fields(&self, object: &str) -> &[FieldDefinition] {
        &self.objects[object]
    }
}

/// What of a type has no description.
fn silent(definition: &TypeDefinition) -> Vec<String> {
    let of_input = |field: &InputValueDefinition| (field.name.node.to_string(), field.description.is_some());
    let of_field = |field: &FieldDefinition| {
        let arguments = field.arguments.iter().map(|argument| {
            let (name, told) = of_input(&argument.node);
            (format!("{}({name})", field.name.node), told)
        });
        std::iter::once((field.name.node.to_string(), field.description.is_some())).chain(arguments).collect::<Vec<_>>()
    };
    let items: Vec<(String, bool)> = match &definition.kind {
        TypeKind::Object(object) => object.fields.iter().flat_map(|field| of_field(&field.node)).collect(),
        TypeKind::Interface(interface) => interface.fields.iter().flat_map(|field| of_field(&field.node)).collect(),
        TypeKind::InputObject(input) => input.fields.iter().map(|field| of_input(&field.node)).collect(),
        TypeKind::Enum(values) => {
            let value = |value: &EnumValueDefinition| (value.value.node.to_string(), value.description.is_some());
            values.values.iter().map(|one| value(&one.node)).collect()
        }
        TypeKind::Scalar | TypeKind::Union(_) => Vec::new(),
    };
    let itself = (String::new(), definition.description.is_some());
    std::iter::once(itself).chain(items).filter(|(_, told)| !told).map(|(name, _)| name).collect()
}

#[actix_web::test]
async fn everything_of_the_schema_is_described() {
    let api = Api::new().await;
    let mut faults = Vec::new();
    for definition in parse_schema(api.schema.sdl()).unwrap().definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let name = &definition.node.name.node;
        let is_root = ["Query", "Mutation"].contains(&name.as_str());
        let silent = silent(&definition.node).into_iter().filter(|item| !(is_root && item.is_empty()));
        faults.extend(silent.map(|item| format!("{name}.{item}")));
    }
    assert!(faults.is_empty(), "{} without a description: {faults:#?}", faults.len());
}

/// Lists of objects that are no connection, and what bounds each; what can grow without bound is paged.
const PLAIN_LISTS: &[(&str, &str)] = &[
    ("Campaign.variantCounts", "the variants, and those without one"),
    ("Campaign.variants", "eight variants"),
    ("CampaignCounts.refusedByReason", "the reasons"),
    ("Contact.consents", "the topics of the tenant"),
    ("DocumentSet.versions", "the fifty that are kept"),
    ("EventDefinition.properties", "a hundred properties"),
    ("Message.attempts", "the attempts that retries have"),
    ("Message.decisions", "one for each attempt"),
    ("Message.history", "a hundred entries"),
    ("MessageEventPage.events", "a hundred events"),
    ("MessageStats.byState", "the states"),
    ("MessageStats.refused", "the reasons"),
    ("Query.nodes", "a hundred ids"),
    ("Query.trackingCounts", "the days that are asked for"),
    ("RateLimit.buckets", "the tenant, and who asks in it"),
    ("Template.versions", "the locales"),
    ("WebhookDelivery.attempts", "the attempts that the schedule has"),
    ("Workflow.findings", "the nodes of a definition"),
    ("WorkflowNodeAnswer.exited", "the reasons of a definition"),
    ("WorkflowNodeAnswer.mails", "the states"),
    ("WorkflowNodeAnswer.outcomes", "the outcomes"),
    ("WorkflowNodeAnswer.refused", "the reasons"),
    ("WorkflowVersion.nodes", "the nodes of a definition"),
    ("WorkflowVersion.variants", "the variants of a definition"),
];

#[actix_web::test]
async fn what_can_grow_is_a_connection_and_every_payload_has_user_errors() {
    let api = Api::new().await;
    let sdl = Sdl::of(&api.schema);
    let mut plain = Vec::new();
    for (name, fields) in &sdl.objects {
        let types: Vec<(String, String)> =
            fields.iter().map(|field| (field.name.node.to_string(), field.ty.node.to_string())).collect();
        let has = |field: &str, kind: &str| types.iter().any(|(name, of)| name == field && of == kind);
        if name.ends_with("Payload") {
            assert!(has("userErrors", "[UserError!]!"), "{name}");
            // Its other lists are as long as the input's.
            continue;
        }
        if let Some(node) = name.strip_suffix("Connection") {
            let edges = format!("[{node}Edge!]!");
            assert!(has("pageInfo", "PageInfo!") && has("edges", &edges), "{name}");
            assert!(sdl.fields(&format!("{node}Edge")).iter().any(|field| field.name.node == "cursor"), "{name}");
            continue;
        }
        for (field, kind) in types {
            let base = kind.trim_matches(['[', ']', '!']);
            let is_object = sdl.objects.contains_key(base) || sdl.possible.contains_key(base);
            if kind.starts_with('[') && is_object && base != "UserError" {
                plain.push(format!("{name}.{field}"));
            }
        }
    }
    plain.sort();
    assert_eq!(plain, PLAIN_LISTS.iter().map(|(list, _)| *list).collect::<Vec<_>>());
}

/// A client learns from the schema when something goes and what to use instead.
#[actix_web::test]
async fn what_is_deprecated_says_since_when_and_what_instead() {
    let faults = |sdl: &str| {
        let reasons = sdl.lines().filter(|line| line.contains("@deprecated"));
        let is_whole = |line: &str| {
            let (since, instead) = line.split_once("@deprecated(reason: \"Since ")?.1.split_once(": use ")?;
            (since.parse::<chrono::NaiveDate>().is_ok() && instead.len() > ".\")".len()).then_some(())
        };
        reasons.filter(|line| is_whole(line).is_none()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(faults(&Api::new().await.schema.sdl()), Vec::<String>::new());
    let bad = [
        "a: Int @deprecated",
        "a: Int @deprecated(reason: \"Old.\")",
        "a: Int @deprecated(reason: \"Since May: use b.\")",
    ];
    assert_eq!(faults(&bad.join("\n")).len(), bad.len());
    assert!(faults("a: Int @deprecated(reason: \"Since 2026-11-23: use b.\")").is_empty());
}

#[actix_web::test]
async fn inputs_and_payloads_are_named_after_their_mutation() {
    let api = Api::new().await;
    for mutation in Sdl::of(&api.schema).fields("Mutation") {
        let name = mutation.name.node.as_str();
        let stem = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
        assert_eq!(mutation.ty.node.to_string(), format!("{stem}Payload!"));
        let arguments: Vec<_> =
            mutation.arguments.iter().map(|argument| argument.node.ty.node.base.to_string()).collect();
        assert_eq!(arguments, [format!("{stem}Input")], "one input, for {name} alone");
    }
}
