//! Messaging through the API.

use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY};
use actix_web::test::{self, TestRequest};
use actix_web::web;
use carillon::application;
use carillon::catcher::{CatcherTotals, CaughtMail, MailCatcher, Rule};
use carillon::http::Gateway;
use carillon_domain::messaging::{HandOver, Lane};
use carillon_domain::ports::Ports;
use carillon_domain::settings::Settings;
use serde_json::{Value, json};

use crate::setup::Setup;

pub async fn ask_at(gateway: web::Data<Gateway>, token: Option<&str>, query: &str, variables: Value) -> Value {
    let app = test::init_service(application!(gateway)).await;
    let mut request = TestRequest::post().uri("/graphql").insert_header(("accept", "application/json"));
    if let Some(token) = token {
        request = request.insert_header((AUTHORIZATION, format!("Bearer {token}")));
    }
    let request = request.set_json(json!({ "query": query, "variables": variables })).to_request();
    test::call_and_read_body_json(&app, request).await
}

impl Setup {
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        let gateway = carillon_tests::gateway::gateway(self.ports().clone());
        ask_at(gateway, Some(&self.token), query, variables).await
    }

    /// One mutation; its payload.
    pub async fn change(&self, name: &str, object: &str, input: Value) -> Value {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ {object} userErrors {{ code field message }} }} }}"
        );
        let answer = self.ask(&query, json!({ "input": input })).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"][name].clone()
    }
}

fn refusal(of: &Value) -> (String, String) {
    let error = &of["userErrors"][0];
    let path = error["field"].as_array().cloned().unwrap_or_default();
    let path: Vec<&str> = path.iter().filter_map(Value::as_str).collect();
    (error["code"].as_str().unwrap_or_default().to_owned(), path.join("."))
}

pub fn is(of: &Value, code: &str, field: &str) {
    assert_eq!(refusal(of), (code.to_owned(), field.to_owned()), "{of}");
}

#[actix_web::test]
async fn a_sender_is_made_once_and_shows_what_to_publish() {
    let setup = Setup::new().await;
    let brand = setup.news.brand.to_string();
    let input = json!({
        "brandId": brand, "fromName": "Torten", "fromEmail": "post@torten.test", "replyTo": "antwort@torten.test",
        "postalAddress": "Graben 2, 1010 Wien", "idempotencyKey": "s1",
    });
    let object = "sender { id fromEmail replyTo verifiedAt dnsRecord { name value } }";
    let made = setup.change("createSender", object, input.clone()).await;
    let name = made["sender"]["dnsRecord"]["name"].as_str().unwrap();
    let selector = made["sender"]["id"].as_str().unwrap().replace("sender_", "c");
    assert_eq!(name, format!("{selector}._domainkey.torten.test"));
    assert!(made["sender"]["dnsRecord"]["value"].as_str().unwrap().starts_with("v=DKIM1; k=rsa; p="));
    assert_eq!(setup.change("createSender", object, input.clone()).await, made, "the same key, the same answer");
    let mut again = input.clone();
    again["idempotencyKey"] = Value::Null;
    again["fromEmail"] = "laden@torten.test".into();
    let second = setup.change("createSender", object, again.clone()).await;
    assert_ne!(second["sender"]["dnsRecord"]["name"], name, "C-02: two keys of one domain have two names");
    again["fromEmail"] = input["fromEmail"].clone();
    is(&setup.change("createSender", object, again.clone()).await, "SENDER_EXISTS", "fromEmail");
    for (field, value, code) in [
        ("fromEmail", "somebody@gmail.com", "FREE_PROVIDER"),
        ("fromEmail", "nonsense", "INVALID_EMAIL"),
        ("fromName", "x\r\nBcc: a@b", "BAD_NAME"),
        ("fromName", "x\u{2028}y", "BAD_NAME"),
        ("postalAddress", " ", "POSTAL_ADDRESS_REQUIRED"),
        ("replyTo", "@", "INVALID_EMAIL"),
    ] {
        let mut input = again.clone();
        input[field] = json!(value);
        is(&setup.change("createSender", object, input).await, code, field);
    }
    let verify = setup.change("verifySender", object, json!({ "id": made["sender"]["id"] })).await;
    is(&verify, "OPERATOR_VERIFIES", "id");
    let foreign = setup.ports().new_id::<carillon_entities::ids::SenderId>().to_string();
    is(&setup.change("verifySender", object, json!({ "id": foreign })).await, "NOT_FOUND", "id");
    let listed = setup.ask("{ senders(first: 1) { nodes { fromName } pageInfo { hasNextPage } } }", json!({})).await;
    assert_eq!(listed["data"]["senders"]["pageInfo"]["hasNextPage"], true, "{listed}");
}

#[actix_web::test]
async fn c233_a_relays_credentials_are_never_shown() {
    let setup = Setup::new().await;
    let set = async |url: &str| setup.change("setRelay", "relay { host }", json!({ "url": url })).await;
    let done = set("smtps://user:s3cret-word@mx.example.org").await;
    assert_eq!(done["relay"]["host"], "mx.example.org:465", "{done}");
    for url in ["http://mx.example.org", "smtp://u:s3cret-word@mx.example.org?tls=none", "", "smtp://h\r\nx"] {
        let refused = set(url).await;
        is(&refused, "INVALID_RELAY", "url");
        assert!(!refused.to_string().contains("s3cret"), "{refused}");
    }
    let inside =
        ["127.0.0.1:25", "localhost", "localhost.", "10.0.0.1", "[::1]:25", "redis", "0x7f000001", "0251.254.43518"];
    let metadata = ["169.254.169.254", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]", "metadata.google.internal."];
    for host in inside.iter().chain(&metadata) {
        is(&set(&format!("smtp://{host}")).await, "RELAY_NOT_PUBLIC", "url");
    }
    let shown = setup.ask("{ relay { host } }", json!({})).await;
    assert_eq!(shown["data"]["relay"]["host"], "mx.example.org:465", "{shown}");
    let query = "mutation { removeRelay { relay { host } userErrors { code } } }";
    assert_eq!(setup.ask(query, json!({})).await["data"]["removeRelay"]["relay"], Value::Null);
    assert_eq!(setup.count("relays").await, 0);
}

#[actix_web::test]
async fn templates_are_published_in_versions() {
    let setup = Setup::new().await;
    let broken = json!({ "name": "Wel\u{2028}come", "class": "MARKETING" });
    is(&setup.change("createTemplate", "template { id }", broken).await, "BAD_NAME", "name");
    let input = json!({ "name": "Welcome", "class": "MARKETING" });
    let made = setup.change("createTemplate", "template { id name class }", input.clone()).await;
    let template = made["template"]["id"].clone();
    is(&setup.change("createTemplate", "template { id }", input).await, "TEMPLATE_EXISTS", "name");
    let version = json!({
        "templateId": template, "locale": "de", "subject": "Hallo", "html": "<p>Hallo</p>", "text": "Hallo",
    });
    let object = "templateVersion { id version locale }";
    let refused = setup.change("publishTemplateVersion", object, version.clone()).await;
    assert!(!refused["userErrors"].as_array().unwrap().is_empty(), "marketing needs its way out: {refused}");
    let mut good = version.clone();
    good["html"] = json!("<p>Hallo</p><a href=\"{{ unsubscribe_url }}\">Abmelden</a> {{ sender.postal_address }}");
    good["text"] = json!("Hallo {{ unsubscribe_url }} {{ sender.postal_address }}");
    for number in 1..=2 {
        let published = setup.change("publishTemplateVersion", object, good.clone()).await;
        assert_eq!(published["templateVersion"]["version"], number, "{published}");
    }
    for (spelling, number) in [("de-at", 1), ("de_AT", 2)] {
        good["locale"] = json!(spelling);
        let published = setup.change("publishTemplateVersion", object, good.clone()).await;
        assert_eq!(published["templateVersion"]["locale"], "de-AT", "one series, however it is spelt");
        assert_eq!(published["templateVersion"]["version"], number, "{published}");
    }
    for locale in ["not a locale", "---", "d"] {
        good["locale"] = json!(locale);
        is(&setup.change("publishTemplateVersion", object, good.clone()).await, "BAD_LOCALE", "locale");
    }
    good["templateId"] = json!(setup.marketing.to_string());
    is(&setup.change("publishTemplateVersion", object, good).await, "NOT_FOUND", "templateId");
    let query = "query($id: ID!) { node(id: $id) { id ... on Template { name versions { version locale subject } } } }";
    let node = setup.ask(query, json!({ "id": template })).await;
    let versions = &node["data"]["node"]["versions"];
    let newest: Vec<_> = versions.as_array().unwrap().iter().map(|one| (&one["locale"], &one["version"])).collect();
    assert!(newest.len() == 2 && newest.iter().all(|one| *one.1 == 2), "{node}");
}

/// Gmail cuts mails near 102 KB, and the way out with them.
#[actix_web::test]
async fn c031_a_large_template_is_published_with_a_warning() {
    let setup = Setup::new().await;
    let html = |octets| {
        let rest = "<a href=\"{{ unsubscribe_url }}\">Abmelden</a> {{ sender.postal_address }}";
        format!("<p>{}</p>{rest}", "x".repeat(octets))
    };
    let made =
        setup.change("createTemplate", "template { id }", json!({ "name": "Large", "class": "MARKETING" })).await;
    let mut input = json!({
        "templateId": made["template"]["id"], "locale": "de", "subject": "Hallo", "html": html(1_000),
        "text": "{{ unsubscribe_url }} {{ sender.postal_address }}",
    });
    let object = "templateVersion { id } warnings { code field message }";
    let small = setup.change("publishTemplateVersion", object, input.clone()).await;
    assert_eq!(small["warnings"], json!([]), "{small}");
    input["html"] = html(90_000).into();
    input["idempotencyKey"] = "large".into();
    let large = setup.change("publishTemplateVersion", object, input.clone()).await;
    assert!(large["templateVersion"]["id"].is_string(), "{large}");
    assert_eq!(
        (&large["warnings"][0]["code"], &large["warnings"][0]["field"][0]),
        (&json!("TEMPLATE_LARGE"), &json!("html"))
    );
    assert_eq!(
        setup.change("publishTemplateVersion", object, input.clone()).await,
        large,
        "the same key, the same answer"
    );
    input["html"] = html(101_000).into();
    input["idempotencyKey"] = Value::Null;
    is(&setup.change("publishTemplateVersion", object, input).await, "TEMPLATE_TOO_LARGE", "html");
}

#[actix_web::test]
async fn messages_are_sent_and_looked_at() {
    let setup = Setup::new().await;
    let ada = setup.reader("ada@example.org").await;
    let good = |key: &str| {
        json!({
            "idempotencyKey": key, "class": "MARKETING", "topicId": setup.news.topic.to_string(),
            "senderId": setup.sender.to_string(), "templateVersionId": setup.marketing.to_string(),
            "to": { "contactId": ada.to_string() }, "variables": { "what": "sweets" },
        })
    };
    let with = |key: &str, field: &str, value: Value| {
        let mut message = good(key);
        message[field] = value;
        message
    };
    let object = "results { created message { id state reason class topic { key } } userErrors { code field } }";
    let send = async |messages: Vec<Value>| setup.change("sendMessages", object, json!({ "messages": messages })).await;
    is(&send(vec![]).await, "BAD_COUNT", "messages");
    is(&send(vec![good("x"); 501]).await, "BAD_COUNT", "messages");
    let sent = send(vec![
        good("one"),
        with("two", "senderId", json!("nonsense")),
        with("three", "to", json!({ "email": "not an address" })),
        with("four", "variables", json!([1])),
        with("five", "topicId", Value::Null),
        good("one"),
    ])
    .await;
    let results = &sent["results"];
    assert_eq!(results[0]["message"]["state"], "QUEUED", "{sent}");
    assert_eq!(results[0]["message"]["topic"]["key"], "news");
    is(&results[1], "NOT_FOUND", "messages.1.senderId");
    is(&results[2], "INVALID_EMAIL", "messages.2.to.email");
    is(&results[3], "BAD_VARIABLES", "messages.3.variables");
    is(&results[4], "TOPIC_REQUIRED", "messages.4.topicId");
    assert_eq!(results[5]["created"], false);
    assert_eq!(results[5]["message"]["id"], results[0]["message"]["id"]);

    assert_eq!(setup.round(Lane::Bulk, &HandOver::Accepted).await, 1);
    let id = &results[0]["message"]["id"];
    let query = "query($id: ID!) { message(id: $id) { state settledAt sender { fromEmail } templateVersion { version } \
        attempts { number state } decisions { verdict reason remedy trace facts } } messageStats { total byState { state messages } } }";
    let shown = setup.ask(query, json!({ "id": id })).await;
    let message = &shown["data"]["message"];
    assert_eq!(message["state"], "SENT", "{shown}");
    assert_eq!(message["attempts"], json!([{ "number": 1, "state": "ACCEPTED" }]));
    assert_eq!(message["decisions"][0]["verdict"], "allow");
    assert_eq!(message["decisions"][0]["remedy"], "nothing");
    assert_eq!(shown["data"]["messageStats"]["byState"], json!([{ "state": "SENT", "messages": 1 }]));

    let cancel = setup.change("cancelMessages", "count", json!({ "ids": [id] })).await;
    assert_eq!(cancel["count"], 0, "{cancel}");
    is(&setup.change("cancelMessages", "count", json!({ "ids": [] })).await, "BAD_COUNT", "ids");
    let other = Setup::new().await.ask(query, json!({ "id": id })).await;
    assert_eq!(other["data"]["message"], Value::Null, "another tenant's message is none");
    let test = json!({
        "templateVersionId": setup.marketing.to_string(), "senderId": setup.sender.to_string(), "to": "ada@example.org",
    });
    is(&setup.change("sendTest", "message { id }", test).await, "NOT_AN_OWN_USER", "to");
}

#[actix_web::test]
async fn l5_a_page_costs_the_same_whatever_its_size() {
    let setup = Setup::new().await;
    let intents: Vec<_> = (0..40).map(|n| setup.receipt(&format!("r{n}"), &format!("p{n}@example.org"))).collect();
    setup.send(&intents).await;
    assert_eq!(setup.round(Lane::Transactional, &HandOver::Accepted).await, 40);
    let mut costs = Vec::new();
    for first in [3, 40] {
        let query = "query($first: Int!) { messages(first: $first, filter: { state: SENT }) { nodes { id \
            sender { fromName } templateVersion { locale } attempts { state } decisions { reason } } } }";
        let (page, cost) = setup.world.statements_of(setup.ask(query, json!({ "first": first }))).await;
        assert_eq!(page["data"]["messages"]["nodes"].as_array().map(Vec::len), Some(first), "{page}");
        costs.push(cost);
    }
    assert_eq!(costs[0], costs[1], "statements for 3 and for 40 messages");
}

#[derive(Debug, Default)]
struct Letterbox(Mutex<Vec<Rule>>);

impl MailCatcher for Letterbox {
    fn latest(&self, before: Option<u64>, recipient: Option<&str>, limit: usize) -> Vec<CaughtMail> {
        let before = before.unwrap_or(4);
        let wanted = recipient.is_none_or(|wanted| wanted == "ada@example.org");
        (1..before).rev().filter(|_| wanted).take(limit).filter_map(|seq| self.get(seq)).collect()
    }

    fn get(&self, seq: u64) -> Option<CaughtMail> {
        let raw = format!(
            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= {seq} <script>\r\nList-Unsubscribe: <https://x.test/u/\r\n 1>\r\n\
             Content-Type: text/html; charset=utf-8\r\n\r\n<p onclick=\"x()\">Hallo</p>\r\n"
        );
        (1..4).contains(&seq).then(|| CaughtMail {
            seq,
            envelope_from: "hello@confiserie.test".to_owned(),
            recipients: vec!["ada@example.org".to_owned()],
            message_id: None,
            raw: raw.into_bytes().into(),
        })
    }

    fn totals(&self) -> CatcherTotals {
        CatcherTotals { stored: 3, ..CatcherTotals::default() }
    }

    fn behave(&self, rules: Vec<Rule>) {
        *self.0.lock().unwrap() = rules;
    }
}

fn embedded(setup: &Setup, catcher: Arc<Letterbox>) -> web::Data<Gateway> {
    let settings = Settings { embedded: true, ..(*setup.ports().settings).clone() };
    let ports = Ports { settings: Arc::new(settings), ..setup.ports().clone() };
    let gateway = carillon_tests::gateway::gateway(ports);
    let mut gateway = Arc::try_unwrap(gateway.into_inner()).unwrap();
    gateway.catcher = Some(catcher);
    web::Data::new(gateway)
}

#[actix_web::test]
async fn the_catcher_is_read_and_told_what_to_do_in_embedded_mode_only() {
    let setup = Setup::new().await;
    let query = "{ caughtMails(first: 2, to: \"ada@example.org\") { nodes { id subject header(name: \"list-unsubscribe\") \
        html } pageInfo { hasNextPage endCursor } } caughtMailTotals { stored } }";
    let none = setup.ask(query, json!({})).await;
    assert_eq!(none["errors"][0]["extensions"]["code"], "NO_CATCHER", "{none}");

    let catcher = Arc::new(Letterbox::default());
    let page = ask_at(embedded(&setup, Arc::clone(&catcher)), None, query, json!({})).await;
    let mails = &page["data"]["caughtMails"];
    assert_eq!(mails["nodes"][0]["id"], "3", "{page}");
    assert_eq!(mails["nodes"][0]["subject"], "Grüße 3 <script>");
    assert_eq!(mails["nodes"][0]["header"], json!(["<https://x.test/u/ 1>"]));
    assert_eq!(
        (&mails["pageInfo"]["hasNextPage"], &page["data"]["caughtMailTotals"]["stored"]),
        (&json!(true), &json!(3))
    );
    let next = format!("{{ caughtMails(after: {}) {{ nodes {{ id }} }} }}", mails["pageInfo"]["endCursor"]);
    let next = ask_at(embedded(&setup, Arc::clone(&catcher)), None, &next, json!({})).await;
    assert_eq!(next["data"]["caughtMails"]["nodes"], json!([{ "id": "1" }]), "{next}");

    let behave = "mutation($rules: [CatcherRuleInput!]!) { catcherBehave(input: { rules: $rules }) { userErrors { code field } } }";
    let told = async |rules: Value| {
        let gateway = embedded(&setup, Arc::clone(&catcher));
        ask_at(gateway, None, behave, json!({ "rules": rules })).await["data"]["catcherBehave"].clone()
    };
    let rules = json!([
        { "whom": { "share": { "of": 10, "is": 1 } }, "first": 1, "action": { "defer": true } },
        { "whom": { "everyone": true }, "action": { "answer": { "at": "CONTENT", "code": 554, "text": "5.6.0 no" } } },
    ]);
    assert_eq!(told(rules).await["userErrors"], json!([]));
    assert_eq!(catcher.0.lock().unwrap().len(), 2);
    let bad =
        json!([{ "whom": { "everyone": true }, "action": { "answer": { "at": "CONTENT", "code": 250, "text": "" } } }]);
    is(&told(bad).await, "BAD_RULE", "rules.0.action.answer.code");
    assert_eq!(catcher.0.lock().unwrap().len(), 2, "a refused behaviour changes nothing");
}

#[actix_web::test]
async fn caught_mail_is_shown_shut_in() {
    let setup = Setup::new().await;
    let production = carillon_tests::gateway::gateway(setup.ports().clone());
    for (gateway, path, status) in [
        (production, "/dev/mail", StatusCode::NOT_FOUND),
        (embedded(&setup, Arc::default()), "/dev/mail?before=3&to=ada%40example.org", StatusCode::OK),
        (embedded(&setup, Arc::default()), "/dev/mail/2", StatusCode::OK),
        (embedded(&setup, Arc::default()), "/dev/mail/2/html", StatusCode::OK),
        (embedded(&setup, Arc::default()), "/dev/mail/2/raw", StatusCode::OK),
        (embedded(&setup, Arc::default()), "/dev/mail/9", StatusCode::NOT_FOUND),
        (embedded(&setup, Arc::default()), "/dev/mail/x/html", StatusCode::NOT_FOUND),
    ] {
        let app = test::init_service(application!(gateway)).await;
        let response = test::call_service(&app, TestRequest::get().uri(path).to_request()).await;
        assert_eq!(response.status(), status, "{path}");
        let policy = response.headers().get(CONTENT_SECURITY_POLICY).map(|value| value.to_str().unwrap().to_owned());
        let body = String::from_utf8(test::read_body(response).await.to_vec()).unwrap();
        if status == StatusCode::OK {
            let policy = policy.unwrap();
            assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
            let (as_sent, as_page) = (path.ends_with("/html") || path.ends_with("/raw"), body.contains("<script>"));
            assert!(as_sent || !as_page, "the mail's own text is escaped: {body}");
            assert!(!path.ends_with("/html") || policy.starts_with("sandbox;"));
        }
    }
}

/// On Postgres alone: there a trigger can fail the COMMIT itself.
#[actix_web::test]
async fn c187_messages_whose_commit_failed_are_not_acknowledged() {
    let setup = Setup::new().await;
    if !setup.world.wall().is_postgres() {
        return;
    }
    setup.world.refuse_commits_of("messages").await;
    let message = json!({
        "idempotencyKey": "k", "class": "TRANSACTIONAL", "senderId": setup.sender.to_string(),
        "templateVersionId": setup.transactional.to_string(), "to": { "email": "ada@example.org" },
    });
    let query = "mutation($input: SendMessagesInput!) { sendMessages(input: $input) { results { created } } }";
    for key in [Value::Null, json!("call")] {
        let input = json!({ "messages": [message], "idempotencyKey": key });
        let answer = setup.ask(query, json!({ "input": input })).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL", "{answer}");
        assert!(answer["data"].is_null(), "{answer}");
    }
    assert_eq!((setup.count("messages").await, setup.count("idempotency_keys").await), (0, 0));
}
