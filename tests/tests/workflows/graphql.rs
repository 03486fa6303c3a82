//! Workflows over GraphQL: drafting with findings, publishing, holding, ending, and what the answers say.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use async_graphql::{Request, Variables};
use carillon::graphql::execute::execute;
use carillon::graphql::scope::{Caller, Process, RequestScope};
use carillon::graphql::{CarillonSchema, error};
use carillon_domain::tenancy::{TrackEvents, enter_tenant};
use carillon_domain::workflows::{Occurred, react_to_events};
use carillon_entities::ids::{EventDefinitionId, TenantId};
use carillon_entities::rows::contacts::event_definitions;
use carillon_tests::access::AccessWorld;
use sea_orm::ActiveValue::Set;
use serde_json::{Map, Value, json};

/// A tenant whose event `started` is declared, and its owner.
struct Desk {
    world: AccessWorld,
    process: Arc<Process>,
    schema: CarillonSchema,
    tenant: TenantId,
    owner: Caller,
    started: EventDefinitionId,
}

impl Desk {
    async fn new() -> Self {
        let world = AccessWorld::new().await;
        let (ada, account) = world.owner_and_account("ada@example.org").await;
        let tenant = world.new_tenant(&ada, account, "Torten").await;
        let session = enter_tenant(world.ports(), world.desk(), &ada, tenant).await.unwrap();
        let owner = Caller::user(world.ports(), world.verified(&session.access_token));
        let gateway = carillon_tests::gateway::gateway(world.ports().clone()).into_inner();
        let started = world.ports().new_id();
        let desk = Self {
            process: Arc::clone(&gateway.process),
            schema: gateway.schema.clone(),
            world,
            tenant,
            owner,
            started,
        };
        let row = event_definitions::ActiveModel {
            id: Set(started),
            name: Set("started".to_owned()),
            is_declared: Set(true),
            created_at: Set(desk.world.ports().now()),
            ..Default::default()
        };
        let mut tx = desk.world.grant::<TrackEvents>(tenant).begin().await.unwrap();
        tx.insert(row).await.unwrap();
        tx.commit().await.unwrap();
        desk
    }

    async fn ask(&self, query: &str, variables: Value) -> Value {
        let scope = RequestScope::new(Arc::clone(&self.process), self.owner.clone(), None, "test".to_owned());
        let request = Request::new(query).variables(Variables::from_json(variables));
        let mut response = execute(&self.schema, scope, None, request).await;
        error::present(&mut response, "test");
        let answer = serde_json::to_value(&response).unwrap();
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"].clone()
    }

    /// The payload of a mutation.
    async fn change(&self, name: &str, object: &str, input: Value) -> Value {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ {object} userErrors {{ code field message }} }} }}"
        );
        self.ask(&query, json!({ "input": input })).await[name].clone()
    }

    /// A workflow with a draft.
    async fn draft(&self, name: &str, definition: &Value) -> Value {
        let input = json!({ "name": name, "definition": definition });
        let made = self.change("createWorkflow", "workflow { id version state }", input).await;
        assert_eq!(made["userErrors"], json!([]), "{made}");
        made["workflow"].clone()
    }

    async fn publish(&self, workflow: &Value, version: i64) -> Value {
        let object = "workflow { state version liveVersion { id } } \
            workflowVersion { id number definition contentHash publishedAt } findings { node code severity }";
        self.change("publishWorkflow", object, json!({ "id": workflow["id"], "version": version })).await
    }
}

/// Somebody waits, is put into a variant, and is out.
fn welcome() -> Value {
    json!({ "trigger": { "event": "started" }, "start": "pause", "nodes": {
        "pause": { "kind": "wait_for", "seconds": 3600, "next": "half" },
        "half": { "kind": "split", "variants": [
            { "label": "a", "weight_bp": 5000, "next": "bye" }, { "label": "b", "weight_bp": 5000, "next": "bye" },
        ]},
        "bye": { "kind": "exit" },
    }})
}

fn codes(payload: &Value) -> Vec<&str> {
    payload["userErrors"].as_array().unwrap().iter().map(|error| error["code"].as_str().unwrap()).collect()
}

#[actix_web::test]
async fn a_draft_says_what_is_wrong_and_a_version_never_changes() {
    let desk = Box::pin(Desk::new()).await;
    let mut definition = welcome();
    definition["nodes"]["pause"]["next"] = json!("nowhere");
    let workflow = desk.draft("Welcome", &definition).await;
    assert_eq!((&workflow["state"], &workflow["version"]), (&json!("DRAFT"), &json!(1)));

    let refused = desk.publish(&workflow, 1).await;
    let field = json!(["definition", "nodes", "pause"]);
    assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec!["WAY_UNKNOWN"], &field), "{refused}");
    let query =
        "query($id: ID!) { workflow(id: $id) { findings { node severity code message fix } liveVersion { id } } }";
    let shown = desk.ask(query, json!({ "id": workflow["id"] })).await["workflow"].clone();
    let finding = &shown["findings"][0];
    assert_eq!((&finding["node"], &finding["severity"]), (&json!("pause"), &json!("ERROR")), "{shown}");
    assert!(finding["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{shown}");
    assert_eq!((finding["code"].as_str(), &shown["liveVersion"]), (Some("WAY_UNKNOWN"), &Value::Null));
    assert!(shown["findings"].as_array().unwrap().iter().any(|one| one["severity"] == "WARNING"), "{shown}");

    let mend = json!({ "id": workflow["id"], "version": 1, "definition": welcome() });
    let mended = desk.change("updateWorkflow", "workflow { version }", mend.clone()).await;
    assert_eq!(mended["workflow"]["version"], 2, "{mended}");
    assert_eq!(codes(&desk.change("updateWorkflow", "workflow { id }", mend).await), ["CONFLICT"]);
    assert_eq!(codes(&desk.publish(&workflow, 1).await), ["CONFLICT"]);

    let first = desk.publish(&workflow, 2).await;
    assert_eq!(codes(&first), Vec::<&str>::new(), "{first}");
    assert_eq!((&first["workflow"]["state"], &first["workflowVersion"]["number"]), (&json!("LIVE"), &json!(1)));
    assert_eq!(first["workflowVersion"]["contentHash"].as_str().map(str::len), Some(64));
    assert_eq!(first["workflow"]["liveVersion"]["id"], first["workflowVersion"]["id"]);

    let again = desk.publish(&workflow, 3).await;
    assert_eq!(again["workflowVersion"], first["workflowVersion"], "nothing changed");
    let mut longer = welcome();
    longer["nodes"]["pause"]["seconds"] = json!(7200);
    let update = json!({ "id": workflow["id"], "version": again["workflow"]["version"], "definition": longer });
    let update = desk.change("updateWorkflow", "workflow { version }", update).await;
    let second = desk.publish(&workflow, update["workflow"]["version"].as_i64().unwrap()).await;
    assert_eq!(second["workflowVersion"]["number"], 2, "{second}");
    let query =
        "query($id: ID!) { workflow(id: $id) { versions { nodes { id number definition contentHash publishedAt } } } }";
    let mut versions = desk.ask(query, json!({ "id": workflow["id"] })).await["workflow"]["versions"]["nodes"].clone();
    // Two of one millisecond have no order.
    versions.as_array_mut().unwrap().sort_by_key(|version| version["number"].as_i64());
    assert_eq!(versions, json!([first["workflowVersion"], second["workflowVersion"]]), "the first is as it was");
}

#[actix_web::test]
async fn bad_graphs_are_refused_by_code_and_node() {
    let desk = Box::pin(Desk::new()).await;
    let node = |name: &str, node: Value| {
        let mut definition = welcome();
        definition["nodes"][name] = node;
        definition
    };
    let split = |weight: u32| {
        let variant = |label: &str, weight: u32| json!({ "label": label, "weight_bp": weight, "next": "bye" });
        json!({ "kind": "split", "variants": [variant("a", weight), variant("b", 5000)] })
    };
    let many: Map<String, Value> = (0..10_000).map(|n| (format!("n{n}"), json!({ "kind": "exit" }))).collect();
    let update = |next: &str| json!({ "kind": "update", "add_tags": ["seen"], "next": next });
    let page = json!([{ "name": "started", "properties": [{ "name": "page", "kind": "NUMBER" }] }]);
    let declared = desk.change("declareEvents", "events { name }", json!({ "events": page })).await;
    assert_eq!(declared["userErrors"], json!([]), "{declared}");
    let cases = [
        ("WAY_UNKNOWN", Some("pause"), node("pause", json!({ "kind": "wait_for", "seconds": 60, "next": "gone" }))),
        ("DEAD_END", Some("pause"), node("pause", json!({ "kind": "wait_for", "seconds": 60, "next": null }))),
        ("CIRCLE_WITHOUT_WAIT", Some("half"), node("half", update("half"))),
        ("WEIGHTS", Some("half"), node("half", split(4999))),
        ("NODE_UNREADABLE", Some("half"), node("half", json!({ "kind": "teleport", "next": "bye" }))),
        ("WAIT_OUT_OF_RANGE", Some("pause"), node("pause", json!({ "kind": "wait_for", "seconds": 0, "next": "bye" }))),
        ("LIST_TOO_LONG", Some("half"), {
            let leaf = json!({ "kind": "tag", "tag": "x" });
            let condition = json!({ "kind": "or", "of": vec![leaf; 10_000] });
            node("half", json!({ "kind": "branch", "condition": condition, "then": "bye", "otherwise": "bye" }))
        }),
        ("TOO_MANY_NODES", None, json!({ "trigger": { "event": "started" }, "start": "n0", "nodes": many })),
        ("EVENT_UNKNOWN", None, {
            let mut definition = welcome();
            definition["trigger"]["event"] = json!("never_seen");
            definition
        }),
        ("FILTER_KIND", None, {
            let mut definition = welcome();
            definition["trigger"]["filter"] =
                json!([{ "property": "page", "test": { "op": "equals", "value": "one" } }]);
            definition
        }),
        ("DEFINITION_UNREADABLE", None, json!({})),
    ];
    for (place, (code, node, definition)) in cases.into_iter().enumerate() {
        let workflow = desk.draft(&format!("Bad {place}"), &definition).await;
        let refused = desk.publish(&workflow, 1).await;
        let errors = refused["userErrors"].as_array().unwrap();
        let error = errors.iter().find(|error| error["code"] == code).unwrap_or_else(|| panic!("{code}: {refused}"));
        let field = node.map_or(json!(["definition"]), |node| json!(["definition", "nodes", node]));
        assert_eq!(error["field"], field, "{refused}");
        assert_eq!((&refused["workflow"], &refused["workflowVersion"]), (&Value::Null, &Value::Null));
    }
    let refused = desk.change("createWorkflow", "workflow { id }", json!({ "name": "X", "definition": [1] })).await;
    assert_eq!(codes(&refused), ["DEFINITION_UNREADABLE"]);
    let names = json!({ "name": "Bad 0", "definition": {} });
    assert_eq!(codes(&desk.change("createWorkflow", "workflow { id }", names).await), ["WORKFLOW_EXISTS"]);
}

#[actix_web::test]
async fn workflows_are_paused_resumed_and_archived() {
    let desk = Box::pin(Desk::new()).await;
    let workflow = desk.draft("Welcome", &welcome()).await;
    let turn = async |name: &str| {
        desk.change(name, "workflow { state liveVersion { id } }", json!({ "id": workflow["id"] })).await
    };
    assert_eq!(codes(&turn("pauseWorkflow").await), ["NOT_PUBLISHED"]);
    desk.publish(&workflow, 1).await;
    for (name, state) in [("pauseWorkflow", "PAUSED"), ("pauseWorkflow", "PAUSED"), ("resumeWorkflow", "LIVE")] {
        assert_eq!(turn(name).await["workflow"]["state"], state, "{name}");
    }
    let ended = turn("archiveWorkflow").await;
    assert_eq!(ended["workflow"], json!({ "state": "ARCHIVED", "liveVersion": null }));
    for name in ["pauseWorkflow", "resumeWorkflow", "archiveWorkflow"] {
        assert_eq!(codes(&turn(name).await), ["ARCHIVED"], "{name}");
    }
    for (name, is_paused) in [("pauseAllWorkflows", true), ("resumeAllWorkflows", false)] {
        desk.change(name, "", json!({})).await;
        assert_eq!(desk.ask("{ allWorkflowsPaused }", json!({})).await["allWorkflowsPaused"], is_paused, "{name}");
    }
}

#[actix_web::test]
async fn the_answers_tell_who_is_where() {
    let desk = Box::pin(Desk::new()).await;
    let workflow = desk.draft("Welcome", &welcome()).await;
    desk.publish(&workflow, 1).await;
    let contact = desk.change("createContact", "contact { id }", json!({ "email": "eva@example.org" })).await;
    let contact = contact["contact"]["id"].clone();
    let ports = desk.world.ports();
    let occurred = Occurred {
        id: ports.new_id(),
        contact: contact.as_str().unwrap().parse().unwrap(),
        event: desk.started,
        at: ports.now(),
        properties: &Map::new(),
    };
    let mut tx = desk.world.grant::<TrackEvents>(desk.tenant).begin().await.unwrap();
    react_to_events(&mut tx, ports, &[occurred]).await.unwrap();
    tx.commit().await.unwrap();

    let query = "query($id: ID!) { contact(id: $id) { workflowsPaused enrollments { nodes {
        state node dueAt endedAt workflow { name } version { number } contactId path { nodes { node outcome reason } } } } } }";
    let shown = desk.ask(query, json!({ "id": contact })).await["contact"].clone();
    let way = &shown["enrollments"]["nodes"][0];
    assert_eq!((&way["state"], &way["node"], &way["contactId"]), (&json!("ACTIVE"), &json!("pause"), &contact));
    assert_eq!((&way["workflow"]["name"], &way["version"]["number"]), (&json!("Welcome"), &json!(1)));
    assert!(way["dueAt"].is_string() && way["endedAt"].is_null(), "{way}");
    assert_eq!(way["path"]["nodes"][0]["outcome"], "ENROLLED", "{way}");

    let query = "{ workflows { nodes { liveVersion {
        nodes { node variant entered waiting passed sent refused { count } exited { count } mails { count } }
        variants { node label weightBp exposed opened { count of share low high } converted { count } } } } } }";
    let version = desk.ask(query, json!({})).await["workflows"]["nodes"][0]["liveVersion"].clone();
    let waiting = json!({
        "node": "pause", "variant": null, "entered": 1, "waiting": 1, "passed": 0, "sent": 0, "refused": [], "exited": [],
        "mails": [],
    });
    assert_eq!(version["nodes"], json!([waiting]));
    let none = json!({ "count": 0, "of": 0, "share": null, "low": null, "high": null });
    let variant = |label| json!({ "node": "half", "label": label, "weightBp": 5000, "exposed": 0, "opened": none, "converted": null });
    assert_eq!(version["variants"], json!([variant("a"), variant("b")]));

    for (name, state, is_held) in [("pauseContact", "PAUSED", true), ("resumeContact", "ACTIVE", false)] {
        let object = "contact { workflowsPaused enrollments { nodes { state } } }";
        let held = desk.change(name, object, json!({ "contactId": contact })).await["contact"].clone();
        assert_eq!(
            held,
            json!({ "workflowsPaused": is_held, "enrollments": { "nodes": [{ "state": state }] } }),
            "{name}"
        );
    }
}
