//! What somebody gets who may see a part of what they ask for.

use carillon::graphql::scope::Caller;
use carillon_domain::tenancy::{Role, Scope, authenticate_key};
use serde_json::{Value, json};

use crate::served::Served;
use crate::setup::{Api, entered};

/// The codes of an answer's errors by path, in order.
fn errors(answer: &Value) -> Vec<(String, String)> {
    let errors = answer["errors"].as_array().cloned().unwrap_or_default();
    let path = |error: &Value| error["path"].as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>();
    let told = |error: &Value| {
        (path(error).join(".").replace('"', ""), error["extensions"]["code"].as_str().unwrap_or("").to_owned())
    };
    let mut told: Vec<_> = errors.iter().map(told).collect();
    told.sort_unstable();
    told
}

fn forbidden(paths: &[&str]) -> Vec<(String, String)> {
    paths.iter().map(|path| ((*path).to_owned(), "FORBIDDEN".to_owned())).collect()
}

#[actix_web::test]
async fn c225_a_viewer_gets_null_and_an_error_for_each_field_that_is_not_theirs() {
    let api = Api::new().await;
    api.row(0).await;
    let vic = api.world.invited(&api.ada, Scope::Tenant(api.tenant), "vic@example.org", Role::Viewer).await;
    let viewer = entered(&api.world, &vic, api.tenant).await;

    let query = "{ contacts(first: 1) { nodes { email state consents { status } ledger(first: 1) { nodes { id } } changes(first: 1) { nodes { id } } \
        messages(first: 1) { nodes { state decisions { reason } } } } } members(first: 1) { nodes { email role } } }";
    let answer = api.ask_as(&viewer, query, json!({})).await;
    let expected = json!({
        "email": null, "state": "ACTIVE", "consents": null, "ledger": null, "changes": null,
        "messages": { "nodes": [{ "state": "QUEUED", "decisions": null }] },
    });
    assert_eq!(answer["data"]["contacts"]["nodes"], json!([expected]), "{answer}");
    assert_eq!(answer["data"]["members"]["nodes"], json!([{ "email": null, "role": "OWNER" }]));
    let place = "contacts.nodes.0";
    let fields = ["changes", "consents", "email", "ledger", "messages.nodes.0.decisions"];
    let mut paths: Vec<String> = fields.iter().map(|field| format!("{place}.{field}")).collect();
    paths.push("members.nodes.0.email".to_owned());
    assert_eq!(errors(&answer), forbidden(&paths.iter().map(String::as_str).collect::<Vec<_>>()));

    let alone = api.ask_as(&viewer, "{ contacts { nodes { email } } }", json!({})).await;
    assert_eq!(alone["data"]["contacts"]["nodes"], json!([{ "email": null }]), "{alone}");
    let list = api.ask_as(&viewer, "{ tenant { name } suppressions { nodes { id } } }", json!({})).await;
    assert_eq!(list["data"], Value::Null, "a list that may not be null takes the answer with it");
    assert_eq!(errors(&list), forbidden(&["suppressions"]));
}

#[actix_web::test]
async fn a_key_that_may_write_reads_back_what_it_wrote() {
    let api = Api::new().await;
    let input = json!({ "name": "Form", "scopes": ["contacts.write"], "role": "OWNER" });
    let made = api.change("createApiKey", "secret", input).await;
    let key = Caller::ApiKey(authenticate_key(api.world.ports(), made["secret"].as_str().unwrap()).await.unwrap());
    let create = "mutation { createContact(input: { email: \"ada@example.org\" }) \
        { contact { state email } userErrors { code } } }";
    let created = api.ask_as(&key, create, json!({})).await;
    // The scope to write implies the scope to read, but not personal data (C-225).
    let contact = json!({ "state": "ACTIVE", "email": null });
    assert_eq!(created["data"]["createContact"], json!({ "contact": contact, "userErrors": [] }), "{created}");
    assert_eq!(errors(&created), forbidden(&["createContact.contact.email"]));
    let upsert = "mutation { upsertContacts(input: { contacts: [{ by: { externalId: \"7\" } }] }) \
        { results { created contact { state } } userErrors { code } } }";
    let upserted = api.ask_as(&key, upsert, json!({})).await;
    let results = json!([{ "created": true, "contact": { "state": "ACTIVE" } }]);
    assert_eq!(upserted["data"]["upsertContacts"]["results"], results, "{upserted}");
}

/// The library alone would make it twice.
#[actix_web::test]
async fn a_mutation_that_stands_twice_under_one_key_is_made_once() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    let made = "a: createContact(input: { email: \"ada@example.org\" })";
    let query = format!(
        "mutation {{ {made} {{ contact {{ state }} }} ...F }} \
         fragment F on Mutation {{ {made} {{ contact {{ version }} userErrors {{ code }} }} }}"
    );
    for _ in 0..2 {
        let answer = served.ask(&query, json!({})).await;
        let payload = &answer["data"]["a"];
        // The second request finds the identity taken; the first does not find it so by its own hand.
        assert!(
            answer["errors"].is_null() && payload["contact"].is_null() != (payload["userErrors"] == json!([])),
            "{answer}"
        );
    }
    let contacts = served.ask("{ contacts { nodes { __typename } } contacts { nodes { state } } }", json!({})).await;
    assert_eq!(
        contacts["data"]["contacts"]["nodes"],
        json!([{ "__typename": "Contact", "state": "ACTIVE" }]),
        "{contacts}"
    );
    served.stop().await;
}
