//! What every payload has beside its own, and what is told of calls that were made before or too late.

use serde_json::{Value, json};

use crate::sdl::Sdl;
use crate::setup::{Api, code};

const CREATE: &str = "mutation($input: CreateContactInput!) { made: createContact(input: $input) { \
    clientMutationId contact { id version } query { contacts(first: 5) { nodes { email } } } userErrors { code } } }";

#[actix_web::test]
async fn every_mutation_takes_a_client_id_and_lets_its_payload_be_queried() {
    let api = Api::new().await;
    let sdl = Sdl::of(&api.schema);
    for mutation in sdl.fields("Mutation") {
        let name = mutation.name.node.as_str();
        let (input, payload) = (mutation.arguments[0].node.ty.node.base.to_string(), mutation.ty.node.base.to_string());
        assert!(sdl.inputs[&input].iter().any(|field| field.name.node == "clientMutationId"), "{name}");
        let kind = |wanted: &str| {
            let field = sdl.fields(&payload).iter().find(|field| field.name.node == wanted);
            field.map(|field| field.ty.node.to_string())
        };
        assert_eq!(kind("clientMutationId").as_deref(), Some("String"), "{name}");
        assert_eq!(kind("query").as_deref(), Some("Query!"), "{name}");
    }
}

#[actix_web::test]
async fn a_payload_has_the_clients_id_and_what_is_read_after_the_mutation() {
    let api = Api::new().await;
    let ask = async |input: Value| api.ask(CREATE, json!({ "input": input })).await;
    let answer = ask(json!({ "email": "ada@example.org" })).await;
    let made = &answer["data"]["made"];
    assert_eq!((&made["clientMutationId"], &made["userErrors"]), (&Value::Null, &json!([])), "{answer}");
    assert_eq!(made["query"]["contacts"]["nodes"], json!([{ "email": "ada@example.org" }]), "{answer}");

    let spread = "mutation($id: String) { a: signOut(input: { refreshToken: \"x\", clientMutationId: $id }) { ...F ... { q: query { serverTime } } } \
        b: signOut(input: { refreshToken: \"x\", clientMutationId: \"two\" }) { ...F } } \
        fragment F on SignOutPayload { id: clientMutationId }";
    let answer = api.ask(spread, json!({ "id": "one" })).await;
    assert_eq!((&answer["data"]["a"]["id"], &answer["data"]["b"]["id"]), (&json!("one"), &json!("two")), "{answer}");
    assert!(answer["data"]["a"]["q"]["serverTime"].is_string(), "{answer}");

    let wrong = "mutation { signOut(input: { refreshToken: \"x\" }) { query { tenant { id } } } }";
    let answer = api.ask_as(&carillon::graphql::scope::Caller::Anonymous, wrong, json!({})).await;
    assert_eq!(answer["errors"][0]["path"], json!(["signOut", "query", "tenant"]), "{answer}");
    assert_eq!(code(&answer), "UNAUTHENTICATED", "{answer}");
}

#[actix_web::test]
async fn what_a_dry_run_would_change_is_seen_by_its_query_alone() {
    let api = Api::new().await;
    let tag = "mutation($input: UpsertContactsInput!) { upsertContacts(input: $input) { \
        query { contacts(first: 5) { nodes { email } } } } }";
    let input = json!({ "contacts": [{ "by": { "email": "new@example.org" } }], "dryRun": true });
    let answer = api.ask(tag, json!({ "input": input })).await;
    let seen = &answer["data"]["upsertContacts"]["query"]["contacts"]["nodes"];
    assert_eq!(*seen, json!([{ "email": "new@example.org" }]), "{answer}");
    let after = api.ask("{ contacts(first: 5) { nodes { email } } }", json!({})).await;
    assert_eq!(after["data"]["contacts"]["nodes"], json!([]), "{after}");
}

#[actix_web::test]
async fn c186_an_answer_that_was_stored_is_told_to_be() {
    let api = Api::new().await;
    let ask = async |id: &str| {
        let input = json!({ "email": "ada@example.org", "idempotencyKey": "one", "clientMutationId": id });
        api.ask(CREATE, json!({ "input": input })).await
    };
    let (first, again) = (ask("a").await, ask("b").await);
    assert!(first.get("extensions").is_none_or(|told| told.get("replayed").is_none()), "{first}");
    assert_eq!(again["extensions"]["replayed"], json!(["made"]), "{again}");
    assert_eq!(again["data"]["made"]["contact"], first["data"]["made"]["contact"]);
    assert_eq!(again["data"]["made"]["clientMutationId"], "b", "the call's own, which is no part of the key's input");

    let key = json!({ "name": "K", "scopes": ["contacts.read"], "role": "VIEWER", "idempotencyKey": "two" });
    let create = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { secret } }";
    let first = api.ask(create, json!({ "input": key })).await;
    let again = api.ask(create, json!({ "input": key })).await;
    assert_eq!(first["data"], again["data"]);
    assert_eq!(again["extensions"]["replayed"], json!(["createApiKey"]), "of what has a transaction of its own, too");
}

#[actix_web::test]
async fn a_conflict_shows_what_there_is_now() {
    let api = Api::new().await;
    let made = api.ask(CREATE, json!({ "input": { "email": "ada@example.org" } })).await;
    let id = made["data"]["made"]["contact"]["id"].clone();
    let change = |version: i32| json!({ "id": id, "version": version, "firstName": format!("V{version}") });
    api.change("updateContact", "contact { id }", change(1)).await;
    for (name, input) in [("updateContact", change(1)), ("archiveContact", json!({ "id": id, "version": 1 }))] {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ contact {{ version firstName }} userErrors {{ code }} }} }}"
        );
        let answer = api.ask(&query, json!({ "input": input })).await;
        let payload = &answer["data"][name];
        assert_eq!(payload["userErrors"], json!([{ "code": "CONFLICT" }]), "{answer}");
        assert_eq!(payload["contact"], json!({ "version": 2, "firstName": "V1" }), "{answer}");
    }
    let gone = json!({ "id": id, "version": 1, "email": "no" });
    let query =
        "mutation($input: UpdateContactInput!) { updateContact(input: $input) { contact { id } userErrors { code } } }";
    let answer = api.ask(query, json!({ "input": gone })).await;
    assert_eq!(answer["data"]["updateContact"]["contact"], Value::Null, "another refusal shows nothing: {answer}");
}

/// A schema's description is asked for where it is, and not by the way.
#[actix_web::test]
async fn a_payloads_query_has_no_schema() {
    let api = Api::new().await;
    let served = crate::served::Served::new(&api).await;
    let query = "mutation { signOut(input: { refreshToken: \"x\" }) { query { __schema { queryType { name } } } } }";
    let answer = served.post(query, json!({})).await;
    assert_eq!((code(&answer), answer.get("data")), ("BAD_REQUEST", None), "{answer}");
    served.stop().await;
}
