//! A file that changes people or speaks for them ends their ways whose exit says so, as whatever else does it.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web;
use carillon::application;
use carillon::http::Gateway;
use carillon_domain::tenancy::Role;
use carillon_tests::gateway::gateway_with;
use carillon_tests::post::token;
use chrono::TimeDelta;
use serde_json::{Value as Json, json};

use super::ends::cart;
use super::setup::Field;

/// The tenant's administrator, at the gateway.
struct Caller {
    gateway: web::Data<Gateway>,
    token: String,
}

impl Caller {
    async fn of(field: &Field) -> Self {
        let gateway = gateway_with(field.ports().clone(), field.files().clone());
        Self { gateway, token: token(field, field.tenant, Role::Admin).await }
    }

    async fn http(&self, request: TestRequest) -> Vec<u8> {
        let app = init_service(application!(self.gateway.clone())).await;
        let response = call_service(&app, request.to_request()).await;
        assert!(response.status().is_success(), "{}", response.status());
        read_body(response).await.to_vec()
    }

    async fn ask(&self, query: &str, variables: Json) -> Json {
        let request =
            TestRequest::post().uri("/graphql").insert_header(("authorization", format!("Bearer {}", self.token)));
        let answer = self.http(request.set_json(json!({ "query": query, "variables": variables }))).await;
        let answer: Json = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer.get("errors"), None, "{answer}");
        answer["data"].clone()
    }

    /// What a mutation made.
    async fn change(&self, name: &str, object: &str, input: Json) -> Json {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ {object} userErrors {{ code field message }} }} }}"
        );
        let done = self.ask(&query, json!({ "input": input })).await[name].clone();
        assert_eq!(done["userErrors"], json!([]), "{done}");
        done
    }

    /// Announces a file, puts it, and has it imported.
    async fn import(&self, field: &Field, file: &'static str, options: Json) {
        let announced = json!({ "fileName": "people.csv", "size": file.len() });
        let upload = self.change("createUpload", "upload { id url }", announced).await["upload"].clone();
        let path = upload["url"].as_str().unwrap().strip_prefix("https://carillon.test").unwrap();
        self.http(TestRequest::put().uri(path).set_payload(file)).await;
        let started = json!({ "uploadId": upload["id"], "options": options });
        let import = self.change("startImport", "import { id }", started).await["import"].clone();
        field.drain().await;
        let query = "query($id: ID!) { import(id: $id) { state rowsFailed } }";
        let import = self.ask(query, json!({ "id": import["id"] })).await["import"].clone();
        assert_eq!(import, json!({ "state": "COMPLETED", "rowsFailed": 0 }));
    }
}

#[actix_web::test]
async fn a3_02_a_file_that_makes_an_exit_condition_true_ends_the_wait_at_once() {
    let field = Field::new().await;
    let plan = json!({ "attributes": [{ "name": "plan", "kind": "STRING" }] });
    Caller::of(&field).await.change("declareAttributes", "attributes { id }", plan).await;
    let topic = field.topic.topic;
    let mut watching = cart(&field);
    watching["exits"] = json!([
        { "kind": "condition", "condition": { "kind": "topic", "topic": topic, "test": "not_subscribed" } },
        { "kind": "condition",
          "condition": { "kind": "attribute", "name": "plan", "test": { "op": "equals", "value": "gold" } } },
    ]);
    watching["nodes"]["first"]["seconds"] = json!(86_400);
    field.live("Watching", &watching).await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "cid", "dot"] {
        people.push(field.person(&format!("{name}@example.org")).await);
    }
    let now = field.ports().now();
    field.did(&people.iter().map(|who| (*who, "started", now)).collect::<Vec<_>>()).await;
    field.drain().await;
    field.advance(TimeDelta::hours(1));
    let file = "email,plan,status\nada@example.org,,unsubscribed\nbob@example.org,gold,\ncid@example.org,silver,\n";
    Caller::of(&field).await.import(&field, file, json!({ "topicId": topic.to_string() })).await;
    let mut stands = Vec::new();
    for who in &people {
        stands.push(field.stands(*who).await);
    }
    assert_eq!(stands, ["exited exit_1", "exited exit_2", "active first", "active first"]);
    assert_eq!(field.path(people[0]).await, "enrolled@first exited@first");
    for who in &people[..2] {
        assert_eq!(field.ways(*who).await[0].ended_at, Some(field.ports().now()), "at once, not when the wait is over");
    }
    field.advance(TimeDelta::days(2));
    field.drain().await;
    assert_eq!(["ada", "bob", "cid", "dot"].map(|name| field.mails(&format!("{name}@example.org"))), [0, 0, 1, 1]);
}
