//! Every finding, by the definition that has it; and that what has none never parks anybody.

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::contacts::events::{EventProperty, PropertyKind, PropertyName};
use crate::contacts::{AttributeDefinition, AttributeName};
use crate::workflows::parse::parse;

fn known() -> Known {
    let template = |class| UsableTemplate {
        class,
        content: BTreeMap::from([(
            "en".to_owned(),
            (carillon_entities::ids::TemplateVersionId(Uuid::from_u128(5)), None),
        )]),
    };
    let brand = BrandId(Uuid::from_u128(1));
    Known {
        events: HashMap::from([("started".to_owned(), EventDefinitionId(Uuid::from_u128(1)))]),
        properties: HashMap::new(),
        attributes: Definitions::default(),
        topics: HashMap::from([
            (TopicId(Uuid::from_u128(1)), brand),
            (TopicId(Uuid::from_u128(2)), BrandId(Uuid::from_u128(2))),
        ]),
        senders: HashMap::from([(SenderId(Uuid::from_u128(1)), brand)]),
        templates: HashMap::from([
            (TemplateId(Uuid::from_u128(1)), template(MessageClass::Marketing)),
            (TemplateId(Uuid::from_u128(2)), template(MessageClass::Transactional)),
            (
                TemplateId(Uuid::from_u128(3)),
                UsableTemplate { class: MessageClass::Marketing, content: BTreeMap::new() },
            ),
        ]),
    }
}

fn whole(nodes: &Json) -> Json {
    json!({ "trigger": { "event": "started" }, "start": "a", "nodes": nodes })
}

type Found = (Option<String>, &'static str);

fn findings(json: &Json) -> Vec<Found> {
    let findings = parse(json).map_or_else(|findings| findings, |definition| check(&definition, &known()));
    findings.into_iter().map(|finding| (finding.node, finding.code)).collect()
}

fn send(template: u128, topic: Option<u128>) -> Json {
    json!({
        "kind": "send", "template": TemplateId(Uuid::from_u128(template)), "sender": SenderId(Uuid::from_u128(1)),
        "topic": topic.map(|topic| TopicId(Uuid::from_u128(topic))), "next": "z",
    })
}

#[test]
fn a_good_definition_has_no_findings() {
    let nodes = json!({
        "a": send(1, Some(1)),
        "z": { "kind": "wait_until", "time": "09:30", "next": "s" },
        "s": { "kind": "split", "variants": [
            { "label": "x", "weight_bp": 9000, "next": "w" }, { "label": "y", "weight_bp": 1000, "next": "e" } ] },
        "w": { "kind": "wait_for", "seconds": 60, "next": "b" },
        "b": { "kind": "branch", "condition": { "kind": "mail", "node": "a", "did": "clicked" },
               "then": "a", "otherwise": "e", "unknown": "e" },
        "e": { "kind": "exit" },
    });
    assert_eq!(findings(&whole(&nodes)), []);
}

#[test]
fn each_mistake_is_named_with_its_node() {
    let exit = json!({ "kind": "exit" });
    let at = |node: &str, code| (Some(node.to_owned()), code);
    let table: Vec<(Json, Vec<Found>)> = vec![
        (json!({ "a": { "kind": "teleport" } }), vec![at("a", "NODE_UNREADABLE")]),
        (json!({ "a": { "kind": "wait_for", "seconds": 60, "next": "b" } }), vec![at("a", "WAY_UNKNOWN")]),
        (json!({ "a": { "kind": "wait_for", "seconds": 60 } }), vec![at("a", "DEAD_END")]),
        (
            json!({ "a": { "kind": "wait_for", "seconds": 0, "next": "z" }, "z": exit }),
            vec![at("a", "WAIT_OUT_OF_RANGE")],
        ),
        (
            json!({ "a": { "kind": "wait_until", "time": "25:00", "next": "z" }, "z": exit }),
            vec![at("a", "TIME_UNREADABLE")],
        ),
        (json!({ "a": exit, "b": exit }), vec![at("b", "UNREACHABLE")]),
        (json!({ "b": exit }), vec![(None, "START_UNKNOWN"), at("b", "UNREACHABLE")]),
        (
            json!({ "a": { "kind": "update", "add_tags": ["x"], "next": "b" }, "b": { "kind": "update", "add_tags": ["y"], "next": "a" } }),
            vec![at("a", "CIRCLE_WITHOUT_WAIT")],
        ),
        (
            json!({ "a": { "kind": "split", "variants": [ { "label": "x", "weight_bp": 5000, "next": "z" },
                { "label": "x", "weight_bp": 4000, "next": "z" } ] }, "z": exit }),
            vec![at("a", "VARIANT_LABELS"), at("a", "WEIGHTS")],
        ),
        (
            json!({ "a": { "kind": "branch", "condition": { "kind": "mail", "node": "z", "did": "opened" },
                "then": "z", "otherwise": "z" }, "z": exit }),
            vec![at("a", "MAIL_UNKNOWN"), at("a", "DEAD_END")],
        ),
        (
            json!({ "a": { "kind": "branch", "condition": { "kind": "event", "name": "never", "at_least": 1 },
                "then": "z", "otherwise": "z" }, "z": exit }),
            vec![at("a", "EVENT_UNKNOWN")],
        ),
        (
            json!({ "a": { "kind": "update", "set": { "size": 1 }, "next": "z" }, "z": exit }),
            vec![at("a", "ATTRIBUTE_UNKNOWN")],
        ),
        (json!({ "a": send(1, None), "z": exit }), vec![at("a", "TOPIC_REQUIRED")]),
        (json!({ "a": send(2, Some(1)), "z": exit }), vec![at("a", "TOPIC_NOT_ALLOWED")]),
        (json!({ "a": send(1, Some(2)), "z": exit }), vec![at("a", "BRAND_MISMATCH")]),
        (json!({ "a": send(1, Some(9)), "z": exit }), vec![at("a", "TOPIC_UNKNOWN")]),
        (json!({ "a": send(3, Some(1)), "z": exit }), vec![at("a", "TEMPLATE_UNPUBLISHED")]),
        (json!({ "a": send(9, Some(1)), "z": exit }), vec![at("a", "TEMPLATE_UNKNOWN")]),
    ];
    for (nodes, expected) in &table {
        assert_eq!(findings(&whole(nodes)), *expected, "{nodes}");
    }
}

#[test]
fn a_property_that_nobody_knows_is_named_and_is_a_mistake_where_some_are_declared() {
    for (is_declared, severity) in [(true, Severity::Error), (false, Severity::Warning)] {
        let name = PropertyName::parse("page").unwrap();
        let page = EventProperty { name, kind: PropertyKind::Number, is_declared };
        let mut known = known();
        known.properties.insert(known.events["started"], BTreeMap::from([("page".to_owned(), page)]));
        let mut one = whole(&json!({ "a": { "kind": "exit" } }));
        one["trigger"]["filter"] = json!([{ "property": "page", "test": { "op": "equals", "value": 1 } }]);
        let found = |one: &Json| {
            let found = check(&parse(one).unwrap(), &known);
            found.into_iter().map(|finding| (finding.code, finding.severity)).collect::<Vec<_>>()
        };
        assert_eq!(found(&one), []);
        one["trigger"]["entry_key"] = json!("vsit");
        assert_eq!(found(&one), [("PROPERTY_UNKNOWN", severity)]);
    }
}

#[test]
fn a_filter_that_no_declared_value_could_pass_is_a_mistake() {
    let mut known = known();
    let mut properties = BTreeMap::new();
    for (name, kind, is_declared) in [
        ("page", PropertyKind::Number, true),
        ("day", PropertyKind::Date, true),
        ("any", PropertyKind::Mixed, true),
        ("seen", PropertyKind::String, false),
    ] {
        let property = EventProperty { name: PropertyName::parse(name).unwrap(), kind, is_declared };
        properties.insert(name.to_owned(), property);
    }
    known.properties.insert(known.events["started"], properties);
    let found = |one: &Json| -> Vec<(&'static str, Severity, Option<String>)> {
        let found = check(&parse(one).unwrap(), &known);
        found.into_iter().map(|finding| (finding.code, finding.severity, finding.node)).collect()
    };
    let wrong = [("FILTER_KIND", Severity::Error, None::<String>)];
    for (property, test, is_wrong) in [
        ("page", json!({ "op": "equals", "value": 1 }), false),
        ("page", json!({ "op": "equals", "value": "1" }), true),
        ("page", json!({ "op": "less", "value": "2026-11-22" }), true),
        ("page", json!({ "op": "starts_with", "value": "1" }), true),
        ("page", json!({ "op": "is_missing" }), false),
        ("day", json!({ "op": "greater", "value": "2026-11-22" }), false),
        ("day", json!({ "op": "in", "values": ["2026-11-22", "soon"] }), true),
        ("any", json!({ "op": "equals", "value": true }), false),
        ("seen", json!({ "op": "greater", "value": "2026-11-22" }), false),
    ] {
        let filter = json!([{ "property": property, "test": test }]);
        let end = json!({ "kind": "event", "event": "started", "filter": filter });
        let mut of_trigger = whole(&json!({ "a": { "kind": "exit" } }));
        let (mut of_goal, mut of_exit) = (of_trigger.clone(), of_trigger.clone());
        of_trigger["trigger"]["filter"] = filter.clone();
        (of_goal["goal"], of_exit["exits"]) = (end.clone(), json!([end]));
        for one in [of_trigger, of_goal, of_exit] {
            assert_eq!(found(&one), if is_wrong { &wrong[..] } else { &[] }, "{one}");
        }
    }
}

#[test]
fn a_condition_that_no_value_of_its_attribute_could_pass_is_a_mistake() {
    let mut known = known();
    let attribute = |(name, kind)| AttributeDefinition {
        id: carillon_entities::ids::AttributeId(Uuid::from_u128(1)),
        name: AttributeName::parse(name).unwrap(),
        kind,
    };
    let kinds =
        [("points", AttributeKind::Number), ("member", AttributeKind::Boolean), ("plan", AttributeKind::String)];
    known.attributes = kinds.into_iter().map(attribute).collect();
    let condition = |name: &str, test: Json| json!({ "kind": "attribute", "name": name, "test": test });
    for (one, is_wrong) in [
        (condition("points", json!({ "op": "greater", "value": 10 })), false),
        (condition("points", json!({ "op": "equals", "value": "10" })), true),
        (condition("member", json!({ "op": "equals", "value": "yes" })), true),
        (condition("plan", json!({ "op": "starts_with", "value": "go" })), false),
        (condition("plan", json!({ "op": "less", "value": 1 })), true),
        (condition("contact.country", json!({ "op": "equals", "value": "AT" })), false),
    ] {
        let inside = json!({ "kind": "not", "of": one });
        let nodes = json!({
            "a": { "kind": "branch", "condition": inside, "then": "z", "otherwise": "z" }, "z": { "kind": "exit" },
        });
        let mut goal = whole(&json!({ "a": { "kind": "exit" } }));
        goal["goal"] = json!({ "kind": "condition", "condition": one });
        for (definition, node) in [(whole(&nodes), Some("a".to_owned())), (goal, None)] {
            let found = check(&parse(&definition).unwrap(), &known);
            let found: Vec<_> = found.into_iter().map(|one| (one.node, one.code, one.severity)).collect();
            let wrong = [(node, "CONDITION_KIND", Severity::Error)];
            assert_eq!(found, if is_wrong { &wrong[..] } else { &[] }, "{definition}");
        }
    }
}

#[test]
fn more_exits_than_anybody_needs_are_refused() {
    let mut one = whole(&json!({ "a": { "kind": "exit" } }));
    one["exits"] = json!(vec![json!({ "kind": "event", "event": "started" }); 21]);
    assert_eq!(findings(&one), [(None, "TOO_MANY_EXITS")]);
    let filter = json!({ "property": "page", "test": { "op": "is_missing" } });
    let mut one = whole(&json!({ "a": { "kind": "exit" } }));
    one["trigger"]["filter"] = json!(vec![filter; 21]);
    assert_eq!(findings(&one), [(None, "TOO_MANY_FILTERS")], "and none of them is looked at");
}

#[test]
fn ten_thousand_nodes_are_refused_before_they_are_read() {
    let nodes: serde_json::Map<String, Json> =
        (0..10_000).map(|n| (format!("n{n}"), json!({ "kind": "exit" }))).collect();
    assert_eq!(findings(&whole(&Json::Object(nodes))), [(None, "TOO_MANY_NODES")]);
}

#[test]
fn a_definition_survives_its_json() {
    let nodes = json!({ "a": send(1, Some(1)), "z": { "kind": "exit", "reason": "done" } });
    let definition = parse(&whole(&nodes)).expect("readable");
    let json = serde_json::to_value(&definition).expect("json");
    assert_eq!(parse(&json).expect("readable"), definition);
    assert_eq!(json.to_string(), serde_json::to_value(parse(&json).expect("readable")).expect("json").to_string());
}
