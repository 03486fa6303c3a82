//! Registering and retiring documents, versions of sets, and keys that are held to one later, or no more.

use carillon_domain::persisted::{DOCUMENT_MAX, VERSIONS_KEPT};
use serde_json::{Value, json};

use crate::persisted::{NAME, WATCH, id_of};
use crate::setup::{Api, code};
use crate::socket::Hall;

/// One mutation of the owner's; its payload.
async fn call(api: &Api, name: &str, object: &str, input: Value) -> Value {
    let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
    let query =
        format!("mutation($input: {kind}!) {{ {name}(input: $input) {{ {object} userErrors {{ code field }} }} }}");
    let answer = api.ask(&query, json!({ "input": input })).await;
    assert_eq!(code(&answer), "", "{answer}");
    answer["data"][name].clone()
}

async fn refused(api: &Api, name: &str, input: Value) -> Value {
    call(api, name, "", input).await["userErrors"].clone()
}

impl Api {
    async fn documents(&self, within: Value) -> Vec<Value> {
        let query =
            "query($within: DocumentsWithinInput) { persistedDocuments(within: $within) { nodes { documentId } } }";
        let answer = self.ask(query, json!({ "within": within })).await;
        let nodes = answer["data"]["persistedDocuments"]["nodes"].as_array();
        nodes.unwrap_or_else(|| panic!("{answer}")).iter().map(|node| node["documentId"].clone()).collect()
    }
}

#[actix_web::test]
async fn each_document_of_a_call_is_judged_by_itself() {
    let api = Api::new().await;
    let long = format!("{{ serverTime }}{}", " ".repeat(DOCUMENT_MAX));
    let aliases = (0..40).map(|n| format!("a{n}: serverTime")).collect::<Vec<_>>().join(" ");
    let dear = format!("{{ {aliases} }}");
    let cases = [
        (json!({ "text": NAME }), None),
        (json!({ "text": "{ nothing }" }), Some(("INVALID_DOCUMENT", "text"))),
        (json!({ "text": "{" }), Some(("INVALID_DOCUMENT", "text"))),
        (json!({ "text": "{ __schema { queryType { name } } }" }), Some(("INVALID_DOCUMENT", "text"))),
        (json!({ "text": dear }), Some(("DOCUMENT_TOO_LARGE", "text"))),
        (json!({ "text": long }), Some(("DOCUMENT_TOO_LARGE", "text"))),
        (json!({ "text": " " }), Some(("INVALID_TEXT", "text"))),
        (json!({ "text": "{ serverTime } # \0" }), Some(("INVALID_TEXT", "text"))),
        (json!({ "text": WATCH, "documentId": id_of(NAME) }), Some(("DOCUMENT_MISMATCH", "documentId"))),
        (json!({ "text": WATCH, "documentId": id_of(WATCH) }), None),
        // The same again, within the call.
        (json!({ "text": NAME }), None),
    ];
    let documents: Vec<Value> = cases.iter().map(|(document, _)| document.clone()).collect();
    let input = json!({ "documents": documents, "idempotencyKey": "one" });
    let shown = "results { documentId created document { text } userErrors { code field } }";
    let told = call(&api, "registerDocuments", shown, input.clone()).await;
    for (n, (document, wrong)) in cases.iter().enumerate() {
        let result = &told["results"][n];
        if let Some((code, field)) = wrong {
            assert_eq!(result["userErrors"], json!([{ "code": code, "field": [field] }]), "{n}: {result}");
            assert!(result["documentId"].is_null() && result["document"].is_null(), "{n}: {result}");
            continue;
        }
        let text = document["text"].as_str().unwrap();
        assert_eq!((&result["documentId"], &result["document"]["text"]), (&json!(id_of(text)), &json!(text)));
        assert_eq!((&result["created"], &result["userErrors"]), (&json!(n != 10), &json!([])), "{n}: {result}");
    }
    assert_eq!(call(&api, "registerDocuments", shown, input).await, told, "under its key the same answer");
    let again = json!({ "documents": [{ "text": NAME }] });
    let again = call(&api, "registerDocuments", "results { created }", again).await;
    assert_eq!(again["results"], json!([{ "created": false }]));
    assert_eq!(api.documents(Value::Null).await.len(), 2);
    // Who registered what, and nothing for what was there.
    let audit = "{ auditEvents(first: 10) { nodes { action detail } } }";
    let audit = api.ask(audit, json!({})).await["data"]["auditEvents"]["nodes"].clone();
    let entries = audit.as_array().unwrap().iter().filter(|entry| entry["action"] == "document.register");
    let mut registered: Vec<_> = entries.map(|entry| entry["detail"]["documents"].clone()).collect();
    let mut ids = [id_of(NAME), id_of(WATCH)];
    ids.sort();
    assert_eq!(registered.pop(), Some(json!(ids)));
    assert!(registered.is_empty(), "{audit}");
    let many: Vec<Value> = (0..101).map(|n| json!({ "text": format!("{{ a{n}: serverTime }}") })).collect();
    let too_many = refused(&api, "registerDocuments", json!({ "documents": many })).await;
    assert_eq!(too_many, json!([{ "code": "BATCH_SIZE", "field": ["documents"] }]));
}

#[actix_web::test]
async fn what_is_retired_is_gone_and_what_is_not_there_is_told() {
    let api = Api::new().await;
    api.register(&[NAME, WATCH]).await;
    let ids = json!({ "documentIds": [id_of(NAME), id_of("{ serverTime }"), "x"] });
    let told = call(&api, "retireDocuments", "results { documentId retired userErrors { code } }", ids).await;
    let missing = |id: &str| json!({ "documentId": id, "retired": false, "userErrors": [{ "code": "NOT_FOUND" }] });
    let gone = json!({ "documentId": id_of(NAME), "retired": true, "userErrors": [] });
    assert_eq!(told["results"], json!([gone, missing(&id_of("{ serverTime }")), missing("x")]));
    assert_eq!(api.documents(Value::Null).await, [json!(id_of(WATCH))]);
    let many = json!({ "documentIds": vec![id_of(WATCH); 101] });
    assert_eq!(refused(&api, "retireDocuments", many).await[0]["code"], "BATCH_SIZE");
}

#[actix_web::test]
async fn a_version_of_a_set_is_what_was_published_and_can_be_put_back() {
    let api = Api::new().await;
    api.register(&[NAME, WATCH]).await;
    let set = api.document_set("App").await;
    let taken = refused(&api, "createDocumentSet", json!({ "name": " App " })).await;
    assert_eq!(taken, json!([{ "code": "DOCUMENT_SET_EXISTS", "field": ["name"] }]));
    let shown = api.ask("{ documentSets { nodes { name activeNumber versions { number } } } }", json!({})).await;
    let empty = json!([{ "name": "App", "activeNumber": null, "versions": [] }]);
    assert_eq!(shown["data"]["documentSets"]["nodes"], empty, "{shown}");
    assert!(api.documents(json!({ "documentSetId": set })).await.is_empty());
    // All of it or nothing.
    let ids = [json!(id_of(NAME)), json!(id_of("{ serverTime }")), json!("x")];
    let missing = refused(&api, "publishDocumentSetVersion", json!({ "documentSetId": set, "documentIds": ids })).await;
    let told = ["1", "2"].map(|place| json!({ "code": "NOT_FOUND", "field": ["documentIds", place] }));
    assert_eq!(missing, json!(told));
    assert_eq!(api.publish(&set, &[NAME, NAME]).await, json!({ "version": 2, "activeNumber": 1 }));
    assert_eq!(api.publish(&set, &[WATCH]).await, json!({ "version": 3, "activeNumber": 2 }));
    assert_eq!(api.documents(json!({ "documentSetId": set })).await, [json!(id_of(WATCH))]);
    assert_eq!(api.documents(json!({ "documentSetId": set, "number": 1 })).await, [json!(id_of(NAME))]);
    let back = |number: i32, version: i32| json!({ "documentSetId": set, "number": number, "version": version });
    let stale = refused(&api, "activateDocumentSetVersion", back(1, 2)).await;
    assert_eq!(stale, json!([{ "code": "CONFLICT", "field": ["version"] }]));
    let unknown = refused(&api, "activateDocumentSetVersion", back(3, 3)).await;
    assert_eq!(unknown, json!([{ "code": "NOT_FOUND", "field": ["number"] }]));
    let shown = "documentSet { activeNumber versions { number documentCount } }";
    let put = call(&api, "activateDocumentSetVersion", shown, back(1, 3)).await;
    let versions = json!([{ "number": 2, "documentCount": 1 }, { "number": 1, "documentCount": 1 }]);
    assert_eq!(put["documentSet"], json!({ "activeNumber": 1, "versions": versions }));
    assert_eq!(api.documents(json!({ "documentSetId": set })).await, [json!(id_of(NAME))]);
    // The next one follows the newest, whichever holds.
    assert_eq!(api.publish(&set, &[WATCH]).await, json!({ "version": 5, "activeNumber": 3 }));
}

#[actix_web::test]
async fn old_versions_are_forgotten() {
    let api = Api::new().await;
    api.register(&[NAME]).await;
    let set = api.document_set("App").await;
    for _ in 0..VERSIONS_KEPT + 2 {
        api.publish(&set, &[NAME]).await;
    }
    for table in ["document_set_versions", "document_set_members"] {
        let kept = api.world.number(&format!("SELECT COUNT(*) AS amount FROM {table}")).await;
        assert_eq!(kept, i64::from(VERSIONS_KEPT), "{table}");
    }
    assert_eq!(api.documents(json!({ "documentSetId": set })).await.len(), 1, "the one that holds is the newest");
}

#[actix_web::test]
async fn a_key_is_held_to_a_set_and_let_go_with_its_next_request() {
    let hall = Box::pin(Hall::new()).await;
    let api = &hall.api;
    api.register(&[WATCH]).await;
    let set = api.document_set("App").await;
    api.publish(&set, &[WATCH]).await;
    let (id, key) = api.key("messaging.read", None).await;
    let mut socket = hall.entered(&key).await;
    socket.subscribe("1", WATCH).await;
    assert_eq!(socket.hear().await["type"], "next");
    let limit = async |to: Value| {
        let done = call(api, "limitApiKey", "apiKey { documentSetId }", json!({ "id": id, "to": to })).await;
        done["apiKey"]["documentSetId"].clone()
    };
    let url = format!("http://{}/graphql", hall.served.address);
    let text = async || {
        let request = reqwest::Client::new().post(&url).bearer_auth(&key).json(&json!({ "query": "{ serverTime }" }));
        code(&request.send().await.unwrap().json::<Value>().await.unwrap()).to_owned()
    };
    assert_eq!(text().await, "");
    assert_eq!(limit(json!({ "documentSetId": set })).await, set);
    assert_eq!(text().await, "PERSISTED_DOCUMENT_REQUIRED");
    // What it was let in with is not what it is now.
    assert_eq!(socket.code().await, 4403);
    let mut held = hall.entered(&key).await;
    assert_eq!(limit(json!({ "anyDocument": true })).await, Value::Null);
    assert_eq!((text().await.as_str(), held.code().await), ("", 4403));
    let nothing = refused(api, "limitApiKey", json!({ "id": id, "to": { "anyDocument": false } })).await;
    assert_eq!(nothing, json!([{ "code": "REQUIRED", "field": ["to", "anyDocument"] }]));
    hall.served.stop().await;
}

#[actix_web::test]
async fn a_key_that_could_let_itself_run_more_is_held_to_nothing() {
    let api = Api::new().await;
    let set = api.document_set("App").await;
    let (id, _) = api.key("documents.publish", None).await;
    let held = refused(&api, "limitApiKey", json!({ "id": id, "to": { "documentSetId": set } })).await;
    assert_eq!(held, json!([{ "code": "INVALID_SCOPE", "field": ["id"] }]));
    let scopes = json!(["documents.read", "documents.publish"]);
    let input = json!({ "name": "CI", "scopes": scopes, "role": "ADMIN", "documentSetId": set });
    let refusal = refused(&api, "createApiKey", input).await;
    assert_eq!(
        (&refusal[0]["code"], refusal.as_array().map(Vec::len)),
        (&json!("INVALID_SCOPE"), Some(1)),
        "{refusal}"
    );
    let input = json!({ "name": "App", "scopes": ["documents.run"], "role": "ADMIN" });
    assert_eq!(refused(&api, "createApiKey", input).await[0]["code"], "INVALID_SCOPE", "nobody needs that one");
}
