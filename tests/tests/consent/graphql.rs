//! Consent through the API.

use actix_web::http::header::AUTHORIZATION;
use actix_web::test;
use actix_web::test::TestRequest;
use carillon_domain::consent::{ConsentAction, Reason, SourceKind};
use carillon_domain::messaging::MessageClass;
use carillon_domain::tenancy::Role;
use serde_json::{Value, json};

use crate::links::gateway;
use crate::setup::Setup;

const ADA: &str = "ada@example.org";

impl Setup {
    async fn ask(&self, query: &str, input: Value) -> Value {
        let gateway = gateway(self.ports().clone()).await;
        let body = json!({ "query": query, "variables": { "input": input } });
        let request =
            TestRequest::post().uri("/graphql").insert_header((AUTHORIZATION, format!("Bearer {}", self.token)));
        let request = request.insert_header(("accept", "application/json")).set_json(body).to_request();
        test::call_and_read_body_json(&gateway, request).await
    }

    /// One mutation; its payload.
    async fn change(&self, name: &str, object: &str, input: Value) -> Value {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ {object} userErrors {{ code field message }} }} }}"
        );
        let answer = self.ask(&query, input).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"][name].clone()
    }
}

fn refusal(payload: &Value) -> (&str, &str) {
    let error = &payload["userErrors"][0];
    (
        error["code"].as_str().unwrap_or(""),
        error["field"].as_array().and_then(|path| path.last()).and_then(Value::as_str).unwrap_or(""),
    )
}

#[actix_web::test]
async fn brands_and_topics_are_made_and_listed() {
    let setup = Setup::new().await;
    let brand = setup.change("createBrand", "brand { id name isDefault }", json!({ "name": "Torten" })).await;
    assert_eq!(brand["brand"]["isDefault"], false);
    let id = brand["brand"]["id"].as_str().unwrap();
    let input = json!({ "brandId": id, "key": "weekly", "name": "Weekly", "idempotencyKey": "k1" });
    let topic = setup.change("createTopic", "topic { id key purpose }", input.clone()).await;
    assert_eq!(topic["topic"]["purpose"], "MARKETING");
    let again = setup.change("createTopic", "topic { id key purpose }", input).await;
    assert_eq!(again["topic"]["id"], topic["topic"]["id"], "the same key, the same answer");

    let refused = |input: Value| setup.change("createTopic", "topic { id }", input);
    let taken = refused(json!({ "brandId": id, "key": "weekly", "name": "Weekly" })).await;
    assert_eq!(refusal(&taken), ("TAKEN", "key"));
    let reserved = refused(json!({ "brandId": id, "key": "all_marketing", "name": "x" })).await;
    assert_eq!(refusal(&reserved), ("RESERVED_KEY", "key"));
    let broken = refused(json!({ "brandId": id, "key": "x", "name": "x\r\nBcc: a@b" })).await;
    assert_eq!(refusal(&broken), ("INVALID_NAME", "name"), "C-19");
    for foreign in [setup.ports().new_id::<carillon_entities::ids::BrandId>().to_string(), "nonsense".to_owned()] {
        let foreign = refused(json!({ "brandId": foreign, "key": "x", "name": "x" })).await;
        assert_eq!(refusal(&foreign), ("NOT_FOUND", "brandId"));
    }
    let listed = setup
        .ask("{ brands(first: 1) { nodes { name } pageInfo { hasNextPage } } topics { nodes { key } } }", json!({}))
        .await;
    assert_eq!(listed["data"]["brands"]["pageInfo"]["hasNextPage"], true, "{listed}");
    assert_eq!(listed["data"]["topics"]["nodes"].as_array().unwrap().len(), 5);
}

#[actix_web::test]
async fn opt_in_opt_out_and_lifting_by_api() {
    let setup = Setup::new().await;
    let contact = setup.contact(ADA).await.to_string();
    let topic = setup.news.topic.to_string();
    let opt_in = json!({
        "contactId": contact, "topicId": topic, "basis": "CONSENT", "source": "API",
        "wording": { "formVersion": "7", "text": "Yes, write to me.", "locale": "en" },
        "evidence": { "ip": "192.0.2.1", "userAgent": "Browser/1" }
    });
    let object = "consent { status basis topicId eventId }";
    let granted = setup.change("recordOptIn", object, opt_in.clone()).await;
    assert_eq!(granted["consent"]["status"], "GRANTED", "{granted}");
    let mut bad = opt_in.clone();
    bad["evidence"]["ip"] = json!("300.1.1.1");
    assert_eq!(refusal(&setup.change("recordOptIn", object, bad).await), ("INVALID_IP", "ip"));

    let nothing = json!({ "contactId": contact, "of": { "allMarketing": false } });
    assert_eq!(refusal(&setup.change("recordOptOut", object, nothing).await), ("NOTHING_TO_END", "allMarketing"));
    setup.world.advance(chrono::TimeDelta::seconds(1));
    let input = json!({ "contactId": contact, "of": { "allMarketing": true } });
    let ended = setup.change("recordOptOut", object, input).await;
    assert_eq!(ended["consent"]["status"], "WITHDRAWN");
    let decision = setup.decide(ADA, MessageClass::Marketing, setup.news).await;
    assert_eq!(decision.reason, Reason::SuppressedUnsubscribe);
    setup.world.advance(chrono::TimeDelta::seconds(1));
    assert_eq!(refusal(&setup.change("recordOptIn", object, opt_in).await), ("CONSENT_WITHDRAWN", "contactId"));

    let query = format!("{{ suppressions(email: \"{ADA}\") {{ nodes {{ id scope reason }} }} }}");
    let found = setup.ask(&query, json!({})).await;
    let found = &found["data"]["suppressions"]["nodes"][0];
    assert_eq!((found["scope"].as_str(), found["reason"].as_str()), (Some("MARKETING"), Some("UNSUBSCRIBE")));
    let lift = json!({ "id": found["id"], "reason": "came into the shop", "evidence": { "text": "signed slip 17" } });
    assert_eq!(setup.change("liftSuppression", "", lift.clone()).await["userErrors"], json!([]));
    assert_eq!(refusal(&setup.change("liftSuppression", "", lift).await), ("NOT_FOUND", "id"));
    assert_eq!(setup.decide(ADA, MessageClass::Marketing, setup.news).await.reason, Reason::Clear);
}

#[actix_web::test]
async fn addresses_are_suppressed_by_api_whether_they_are_contacts_or_not() {
    let setup = Setup::new().await;
    let object = "suppression { id scope topicId reason }";
    let input = json!({ "email": ADA, "scope": "MARKETING", "reason": "LEGAL" });
    let made = setup.change("suppressAddress", object, input.clone()).await;
    assert_eq!(made["suppression"]["reason"], "LEGAL", "{made}");
    let again = setup.change("suppressAddress", object, input).await;
    assert_eq!(again["suppression"]["id"], made["suppression"]["id"]);
    let lift = json!({ "id": made["suppression"]["id"], "reason": "please", "evidence": { "text": "a letter" } });
    assert_eq!(refusal(&setup.change("liftSuppression", "", lift).await), ("NOT_LIFTABLE", "id"));
    let odd = json!({ "email": "not an address", "scope": "ALL", "reason": "MANUAL" });
    assert_eq!(refusal(&setup.change("suppressAddress", object, odd).await), ("INVALID_EMAIL", "email"));
    let odd = json!({ "email": ADA, "scope": "TOPIC", "reason": "MANUAL" });
    assert_eq!(refusal(&setup.change("suppressAddress", object, odd).await), ("INVALID_SCOPE", "topicId"));
    setup.append(vec![setup.event(ADA, setup.news, ConsentAction::Object, SourceKind::Subject)]).await;
    let listed = setup.ask("{ suppressions(first: 1) { nodes { reason } pageInfo { hasNextPage } } }", json!({})).await;
    assert_eq!(listed["data"]["suppressions"]["pageInfo"]["hasNextPage"], true, "{listed}");
}

/// Who may not see addresses may not guess them: by a look-up as little as in the list of contacts.
#[actix_web::test]
async fn c225_suppressions_of_an_address_are_for_who_may_see_addresses() {
    let setup = Setup::new().await;
    let input = json!({ "email": ADA, "scope": "MARKETING", "reason": "LEGAL" });
    setup.change("suppressAddress", "suppression { id }", input).await;
    let analyst = setup.acting_as(Role::Analyst);
    let listed = analyst.ask("{ suppressions { nodes { reason } } }", json!({})).await;
    assert_eq!(listed["data"]["suppressions"]["nodes"][0]["reason"], "LEGAL", "{listed}");
    let query = format!("{{ suppressions(email: \"{ADA}\") {{ nodes {{ reason }} }} }}");
    let guessed = analyst.ask(&query, json!({})).await;
    assert_eq!(guessed["errors"][0]["extensions"]["code"], "FORBIDDEN", "{guessed}");
}
