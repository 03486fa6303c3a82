//! `node` and `nodes`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::sdl::Sdl;
use crate::setup::Api;

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
    let ids = vec![
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
    ];
    let own = api.ask(QUERY, json!({ "ids": ids })).await;
    assert!(own.get("errors").is_none(), "{own}");
    let nodes = own["data"]["nodes"].as_array().unwrap();
    let found: BTreeSet<_> = nodes.iter().map(|node| node["kind"].as_str().unwrap_or("none")).collect();
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

/// Whatever has an id that `node` is meant for implements `Node`: the ids of payloads and lists lead somewhere.
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
