//! Reads a definition, and says first how much one may hold: before anything is loaded or locked for it.
//!
//! What a definition holds is loaded with every batch of people and asked of each of them, for as long as the version
//! lives; so its cost for others is bounded here, and what is too much is named by the node that has it.

use serde_json::Value as Json;

use super::check::{FINDINGS_MAX, Finding, error};
use super::{DEFINITION_MAX, Definition, NODES_MAX, Node};
use crate::contacts::AttributeValue;
use crate::segments::{Condition, Size};

/// Octets of a text or a name in it: an attribute's text has no more.
const TEXT_MAX: usize = AttributeValue::STRING_MAX;
/// Entries of a list or an object in it, beside the nodes.
const LIST_MAX: usize = Condition::VALUES_MAX;
/// How deep it may be: the deepest condition takes two levels for each of its own, and some stand around it.
const DEPTH_MAX: usize = 2 * Condition::DEPTH_MAX + 10;
/// Leaves of all its conditions and filters together.
const LEAVES_MAX: usize = 1_000;
/// Values that those compare with, together.
const VALUES_MAX: usize = 2_000;
/// Different events that its conditions count: each is looked up for everybody of a batch.
const EVENTS_MAX: usize = 100;

const SCHEMA: &str = "Write it as the JSON Schema says.";
const SMALLER: &str = "Make it smaller, or two workflows of it.";

/// Reads a definition; what cannot be read, and what is too much, is named by its node.
///
/// # Errors
/// All findings, of which there is at least one.
pub fn parse(json: &Json) -> Result<Definition, Vec<Finding>> {
    let whole = |code, message: String, fix| vec![error(None, code, message, fix)];
    let none = serde_json::Map::new();
    let nodes = json.get("nodes").and_then(Json::as_object).unwrap_or(&none);
    if nodes.len() > NODES_MAX {
        let message = format!("It has {} nodes, and {NODES_MAX} are allowed.", nodes.len());
        return Err(whole("TOO_MANY_NODES", message, SMALLER));
    }
    if json.to_string().len() > DEFINITION_MAX {
        return Err(whole("DEFINITION_TOO_LARGE", format!("It is longer than {DEFINITION_MAX} octets."), SMALLER));
    }
    some(too_much(json, nodes))?;
    some(nodes.iter().filter_map(unreadable))?;
    let definition: Definition = serde_json::from_value(json.clone())
        .map_err(|why| whole("DEFINITION_UNREADABLE", format!("It cannot be read: {why}."), SCHEMA))?;
    some(too_much_asked(&definition).into_iter())?;
    Ok(definition)
}

/// The first of some findings, if there are any.
fn some(findings: impl Iterator<Item = Finding>) -> Result<(), Vec<Finding>> {
    let findings: Vec<Finding> = findings.take(FINDINGS_MAX).collect();
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

fn unreadable((name, node): (&String, &Json)) -> Option<Finding> {
    let why = serde_json::from_value::<Node>(node.clone()).err()?;
    let fix = "Use one of the kinds send, wait_for, wait_until, branch, split, update, exit with its fields.";
    Some(error(Some(name), "NODE_UNREADABLE", format!("This node cannot be read: {why}."), fix))
}

/// What is too long or too deep, whatever it means: of the whole beside its nodes, and of each node.
fn too_much(json: &Json, nodes: &serde_json::Map<String, Json>) -> impl Iterator<Item = Finding> {
    let fields = json.as_object().into_iter().flatten();
    // What is no object has no nodes, and is read as one in vain.
    let beside = fields.filter(|(name, value)| name.as_str() != "nodes" || !value.is_object());
    let beside = beside.filter_map(|(name, value)| excess_of(name, value)).map(|found| (None, found));
    let named = nodes.iter().filter_map(|(name, node)| match excess(&Json::from(name.as_str()), 0) {
        // It is too long to be repeated.
        Some(found) => Some((None, found)),
        None => Some((Some(name.as_str()), excess(node, 3)?)),
    });
    beside.chain(named).map(|(node, (code, message))| error(node, code, message, SMALLER))
}

type Excess = (&'static str, String);

fn excess_of(name: &str, value: &Json) -> Option<Excess> {
    excess(&Json::from(name), 0).or_else(|| excess(value, 2))
}

/// The first thing in it that is too long or too deep.
fn excess(json: &Json, depth: usize) -> Option<Excess> {
    let text = |text: &str| {
        let too_long = || ("TEXT_TOO_LONG", format!("A text in it is longer than {TEXT_MAX} octets."));
        (text.len() > TEXT_MAX).then(too_long)
    };
    let list = |entries: usize| {
        let message = || format!("A list in it has {entries} entries, and {LIST_MAX} are allowed.");
        (entries > LIST_MAX).then(|| ("LIST_TOO_LONG", message()))
    };
    if depth > DEPTH_MAX {
        return Some(("TOO_DEEP", format!("It is more than {DEPTH_MAX} deep.")));
    }
    match json {
        Json::String(it) => text(it),
        Json::Array(of) => list(of.len()).or_else(|| of.iter().find_map(|one| excess(one, depth + 1))),
        Json::Object(of) => list(of.len())
            .or_else(|| of.keys().find_map(|name| text(name)))
            .or_else(|| of.values().find_map(|one| excess(one, depth + 1))),
        Json::Null | Json::Bool(_) | Json::Number(_) => None,
    }
}

/// What is too much to be asked of everybody; named by the node that asks the most.
fn too_much_asked(definition: &Definition) -> Option<Finding> {
    let most = |by: fn(&Size) -> usize| {
        let node = definition.sizes().max_by_key(|(_, size)| by(size)).and_then(|(node, _)| node);
        node.map(String::as_str)
    };
    let Size { leaves, values } = definition.sizes().map(|(_, size)| size).sum();
    if leaves > LEAVES_MAX {
        let message = format!("Its conditions and filters have {leaves} leaves, and {LEAVES_MAX} are allowed.");
        return Some(error(most(|size| size.leaves), "TOO_MANY_LEAVES", message, SMALLER));
    }
    if values > VALUES_MAX {
        let message = format!("They compare with {values} values, and {VALUES_MAX} are allowed.");
        return Some(error(
            most(|size| size.values),
            "TOO_MANY_VALUES",
            message,
            "Give people a tag, and ask for that.",
        ));
    }
    let events = definition.needs().events.len();
    let message = || format!("Its conditions count {events} different events, and {EVENTS_MAX} are allowed.");
    (events > EVENTS_MAX).then(|| error(None, "TOO_MANY_EVENTS", message(), SMALLER))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(json: &Json) -> Vec<(Option<String>, &'static str)> {
        let findings = parse(json).expect_err("too much");
        findings.into_iter().map(|finding| (finding.node, finding.code)).collect()
    }

    fn with(node: &Json) -> Json {
        json!({ "trigger": { "event": "started" }, "start": "a", "nodes": { "a": node, "z": { "kind": "exit" } } })
    }

    fn branch(condition: &Json) -> Json {
        json!({ "kind": "branch", "condition": condition, "then": "z", "otherwise": "z" })
    }

    fn tags(many: usize) -> Json {
        json!({ "kind": "or", "of": vec![json!({ "kind": "tag", "tag": "vip" }); many] })
    }

    #[test]
    fn what_is_too_much_is_named_by_its_node_before_it_is_read() {
        let long = "x".repeat(TEXT_MAX + 1);
        let deep = (0..30).fold(json!({ "kind": "tag", "tag": "vip" }), |of, _| json!({ "kind": "and", "of": [of] }));
        for (node, code) in [
            (branch(&tags(LIST_MAX + 1)), "LIST_TOO_LONG"),
            (json!({ "kind": "update", "add_tags": vec!["x"; LIST_MAX + 1], "next": "z" }), "LIST_TOO_LONG"),
            (json!({ "kind": "update", "set": { "plan": long }, "next": "z" }), "TEXT_TOO_LONG"),
            (json!({ "kind": long }), "TEXT_TOO_LONG"),
            (json!({ "kind": "exit", &long: 1 }), "TEXT_TOO_LONG"),
            (branch(&deep), "TOO_DEEP"),
        ] {
            assert_eq!(found(&with(&node)), [(Some("a".to_owned()), code)]);
        }
        let mut filters = with(&json!({ "kind": "exit" }));
        let filter = json!({ "property": "page", "test": { "op": "is_missing" } });
        filters["trigger"]["filter"] = json!(vec![filter; LIST_MAX + 1]);
        assert_eq!(found(&filters), [(None, "LIST_TOO_LONG")]);
        let named = json!({ "trigger": { "event": "started" }, "start": "a", "nodes": { long: { "kind": "exit" } } });
        assert_eq!(found(&named), [(None, "TEXT_TOO_LONG")]);
        let text = "x".repeat(TEXT_MAX);
        let many = json!({ "kind": "update", "add_tags": vec![text; 300], "next": "z" });
        let large = json!({ "trigger": { "event": "started" }, "start": "a", "nodes": { "a": many, "b": many } });
        assert_eq!(found(&large), [(None, "DEFINITION_TOO_LARGE")]);
    }

    #[test]
    fn what_all_conditions_ask_together_has_an_end() {
        let of = |conditions: Vec<Json>| {
            let nodes = conditions.iter().enumerate().map(|(n, condition)| (format!("n{n}"), branch(condition)));
            let nodes: serde_json::Map<String, Json> =
                nodes.chain([("z".to_owned(), json!({ "kind": "exit" }))]).collect();
            json!({ "trigger": { "event": "started" }, "start": "n0", "nodes": nodes })
        };
        let full = LEAVES_MAX / Condition::LEAVES_MAX;
        let mut conditions = vec![tags(Condition::LEAVES_MAX); full];
        assert!(parse(&of(conditions.clone())).is_ok());
        conditions.push(tags(1));
        let node = Some(format!("n{}", full - 1));
        assert_eq!(found(&of(conditions)), [(node, "TOO_MANY_LEAVES")], "one of those that ask the most");

        let among = |values: usize| json!({ "kind": "attribute", "name": "plan", "test": { "op": "in", "values": vec!["x"; values] } });
        let mut conditions = vec![among(LIST_MAX); VALUES_MAX / LIST_MAX];
        assert!(parse(&of(conditions.clone())).is_ok());
        conditions.insert(0, among(1));
        let node = Some(format!("n{}", VALUES_MAX / LIST_MAX));
        assert_eq!(found(&of(conditions)), [(node, "TOO_MANY_VALUES")]);

        let event = |n: usize| json!({ "kind": "event", "name": format!("e{n}"), "at_least": 1 });
        assert!(parse(&of((0..EVENTS_MAX).map(event).collect())).is_ok());
        assert_eq!(found(&of((0..=EVENTS_MAX).map(event).collect())), [(None, "TOO_MANY_EVENTS")]);
    }

    #[test]
    fn the_deepest_condition_is_read() {
        let tag = json!({ "kind": "attribute", "name": "plan", "test": { "op": "in", "values": ["gold"] } });
        let deep = (1..Condition::DEPTH_MAX).fold(tag, |of, _| json!({ "kind": "and", "of": [of] }));
        let definition = parse(&with(&branch(&deep))).expect("readable");
        assert!(definition.sizes().all(|(_, size)| size.leaves < 2));
    }
}
