//! `node` and `nodes`.

use std::collections::BTreeSet;

use carillon::graphql::scope::Caller;
use carillon_domain::tenancy::{
    AdministerTenant, CreateApiKey, Name, Permission, Role, Scope, authenticate_key, create_api_key,
};
use carillon_tests::access::KEY_LIFE;
use serde_json::{Value, json};

use crate::sdl::Sdl;
use crate::setup::{Api, code, entered};

/// Types with an id that `node` does not find, each with the reason.
const NO_NODES: &[(&str, &str)] = &[
    ("CaughtMail", "its id is the number of its arrival in a tool of the embedded mode"),
    ("ContactChange", "an entry of its contact's history, which is read there"),
    ("ContactEvent", "what its contact did, which is read there"),
    ("GateDecision", "a verdict on its message, which is read there"),
    ("Member", "somebody's place on an account or a tenant, which is read there"),
    ("Membership", "the same place, as the one answer of a mutation"),
    ("MessageEvent", "what became of its message, which the feed tells"),
    ("Viewer", "whoever asks: `viewer`"),
];

const QUERY: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { id kind: __typename } }";

/// An id of the same kind that nothing has.
fn missing(id: &Value) -> Value {
    let (kind, _) = id.as_str().unwrap().rsplit_once('_').unwrap();
    json!(format!("{kind}_00000000000000000000000000"))
}

#[actix_web::test]
async fn c204_every_kind_of_node_is_found_by_its_own_tenant_alone() {
    let api = Api::new().await;
    let row = api.row(0).await;
    api.people(0).await;
    let agreed =
        json!({ "contactId": row.contact, "topicId": row.topic, "basis": "CONSENT", "evidence": { "text": "Yes" } });
    api.change("recordOptIn", "consent { status }", agreed).await;
    let query = "query($id: ID!) { contact(id: $id) { ledger { nodes { id evidenceId } } } apiKeys { nodes { id } } \
        auditEvents { nodes { id } } suppressions { nodes { id } } attributeDefinitions { nodes { id } } \
        eventDefinitions { nodes { id } } }";
    let lists = api.ask(query, json!({ "id": row.contact })).await["data"].clone();
    let entry = lists["contact"]["ledger"]["nodes"].as_array().unwrap().last().unwrap();
    let first = |list: &str| lists[list]["nodes"][0]["id"].clone();
    let mut ids = vec![
        row.brand,
        row.contact,
        row.import,
        row.message,
        row.partial,
        row.sender,
        row.template,
        row.version,
        json!(api.tenant),
        row.topic,
        row.upload,
        row.workflow,
        row.workflow_version,
        row.enrollment,
        row.document,
        row.document_set,
        row.webhook_endpoint,
        row.webhook_delivery,
        row.list,
        row.campaign,
        entry["id"].clone(),
        entry["evidenceId"].clone(),
    ];
    ids.extend(["apiKeys", "auditEvents", "suppressions", "attributeDefinitions", "eventDefinitions"].map(first));
    let own = api.ask(QUERY, json!({ "ids": ids })).await;
    assert!(own.get("errors").is_none(), "{own}");
    let nodes = own["data"]["nodes"].as_array().unwrap();
    let mut found: BTreeSet<_> = nodes.iter().map(|node| node["kind"].as_str().unwrap_or("none")).collect();
    // A token bound to a tenant reaches no account (C-204).
    let account = "query($id: ID!) { node(id: $id) { id __typename } }";
    let account = api.ask_as(&Caller::User(api.ada, None), account, json!({ "id": api.account.to_string() })).await;
    found.insert(account["data"]["node"]["__typename"].as_str().unwrap());
    let sdl = Sdl::of(&api.schema);
    let known: BTreeSet<_> = sdl.possible["Node"].iter().map(String::as_str).collect();
    assert_eq!(found, known, "one of each kind of the schema");
    assert_eq!(nodes.iter().map(|node| node["id"].clone()).collect::<Vec<_>>(), ids, "in their order");

    let other = Api::within(api.world, "eve@example.org").await;
    let foreign = other.ask(QUERY, json!({ "ids": ids })).await;
    let none = other.ask(QUERY, json!({ "ids": ids.iter().map(missing).collect::<Vec<_>>() })).await;
    assert_eq!(foreign, none, "a foreign id and a missing one answer alike");
    assert_eq!(none, json!({ "data": { "nodes": vec![Value::Null; ids.len()] } }));
    let odd = json!({ "ids": ["", "nonsense", "contact_", "contact_!", "unknown_00000000000000000000000000"] });
    let odd = other.ask(QUERY, odd).await;
    assert_eq!(odd, json!({ "data": { "nodes": vec![Value::Null; 5] } }));
}

/// One kind that the caller may not see is no matter of the others.
#[actix_web::test]
async fn nodes_that_are_forbidden_are_null_beside_their_errors() {
    let api = Api::new().await;
    let row = api.row(0).await;
    let eve = api.world.invited(&api.ada, Scope::Tenant(api.tenant), "eve@example.org", Role::Viewer).await;
    let eve = entered(&api.world, &eve, api.tenant).await;
    let answer = api.ask_as(&eve, QUERY, json!({ "ids": [row.upload, row.brand, missing(&row.brand)] })).await;
    let brand = json!({ "id": row.brand, "kind": "Brand" });
    assert_eq!(answer["data"]["nodes"], json!([null, brand, null]), "{answer}");
    let errors: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|error| &error["path"]).collect();
    assert_eq!((errors, code(&answer)), (vec![&json!(["nodes", 0])], "FORBIDDEN"), "{answer}");
}

/// What proves an entry of the ledger is for who may read both the ledger and personal data.
#[actix_web::test]
async fn c225_evidence_is_no_way_around_the_ledger() {
    let api = Api::new().await;
    let row = api.row(0).await;
    let agreed =
        json!({ "contactId": row.contact, "topicId": row.topic, "basis": "CONSENT", "evidence": { "text": "Yes" } });
    api.change("recordOptIn", "consent { status }", agreed).await;
    let ledger = "query($id: ID!) { contact(id: $id) { ledger { nodes { evidenceId } } } }";
    let ledger = api.ask(ledger, json!({ "id": row.contact })).await;
    let evidence = &ledger["data"]["contact"]["ledger"]["nodes"].as_array().unwrap().last().unwrap()["evidenceId"];
    let Caller::User(_, Some(context)) = &api.owner else { panic!("the owner is in the tenant") };
    let (grant, ports) = (context.grant::<AdministerTenant>().unwrap(), api.world.ports());
    for (scopes, expected) in [
        (vec![Permission::ReadPersonalData], "FORBIDDEN"),
        (vec![Permission::ReadConsent], "FORBIDDEN"),
        (vec![Permission::ReadConsent, Permission::ReadPersonalData], ""),
    ] {
        let expires_at = Some(ports.now() + KEY_LIFE);
        let name = Name::parse("Key").unwrap();
        let command = CreateApiKey { name, role: Role::Owner, scopes, document_set: None, expires_at };
        let (_, text) = create_api_key(&grant, ports, command, None).await.unwrap();
        let key = Caller::ApiKey(authenticate_key(ports, &text).await.unwrap());
        let answer = api.ask_as(&key, QUERY, json!({ "ids": [evidence] })).await;
        assert_eq!(code(&answer), expected, "{answer}");
        assert_eq!(answer["data"]["nodes"][0]["id"].is_string(), expected.is_empty(), "{answer}");
    }
}

/// Whatever has an id is found by it, or says above why not: the ids of payloads and lists lead somewhere.
#[actix_web::test]
async fn what_has_an_id_is_a_node() {
    let api = Api::new().await;
    let sdl = Sdl::of(&api.schema);
    let has_id = |name: &&String| sdl.fields(name).iter().any(|field| field.name.node == "id");
    let with_id: BTreeSet<_> = sdl.objects.keys().filter(has_id).map(String::as_str).collect();
    let nodes = sdl.possible["Node"].iter().map(String::as_str);
    let excused = NO_NODES.iter().map(|(name, _)| *name);
    assert_eq!(with_id, nodes.chain(excused).collect::<BTreeSet<_>>());
}

/// Whatever has a query of its own by id implements `Node`.
#[actix_web::test]
async fn what_can_be_asked_for_by_id_is_a_node() {
    let api = Api::new().await;
    let sdl = Sdl::of(&api.schema);
    for field in sdl.fields("Query") {
        let by_id = field.arguments.len() == 1 && field.arguments[0].node.name.node == "id";
        let kind = field.ty.node.base.to_string();
        if by_id && kind != "Node" {
            assert!(sdl.possible["Node"].contains(&kind), "{kind} is found by id, and is no Node");
        }
    }
}
