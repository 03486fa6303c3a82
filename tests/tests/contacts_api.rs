//! Contacts, uploads and imports through the gateway.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use actix_http::Request;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::http::{Method, StatusCode};
use actix_web::test::{self, TestRequest};
use actix_web::web;
use carillon::application;
use carillon::http::Gateway;
use carillon_domain::contacts::import::{Progress, claim_imports, run_slice};
use carillon_domain::contacts::{AttributeKind, AttributeName, DeclareAttribute, declare_attributes};
use carillon_domain::files::{Files, expire_uploads};
use carillon_domain::tenancy::{ImportContacts, Role, Scope, WriteContacts, enter_for_work, enter_tenant};
use carillon_entities::ids::TenantId;
use carillon_tests::access::AccessWorld;
use chrono::TimeDelta;
use futures::TryStreamExt as _;
use object_store::limit::LimitStore;
use object_store::memory::InMemory;
use serde_json::{Value, json};

struct Api<S> {
    world: AccessWorld,
    gateway: web::Data<Gateway>,
    app: S,
    tenant: TenantId,
    owner: String,
    viewer: String,
}

type Failure = actix_web::Error;

async fn api() -> Api<impl Service<Request, Response = ServiceResponse<impl MessageBody>, Error = Failure>> {
    api_with(Files::open("memory:").unwrap()).await
}

async fn api_with(
    files: Files,
) -> Api<impl Service<Request, Response = ServiceResponse<impl MessageBody>, Error = Failure>> {
    let world = AccessWorld::new().await;
    let (ada, account) = world.owner_and_account("ada@example.org").await;
    let tenant = world.new_tenant(&ada, account, "Torten").await;
    let vic = world.invited(&ada, Scope::Tenant(tenant), "vic@example.org", Role::Viewer).await;
    let token = async |access| enter_tenant(world.ports(), world.desk(), access, tenant).await.unwrap().access_token;
    let (owner, viewer) = (token(&ada).await, token(&vic).await);
    let gateway = carillon_tests::gateway::gateway_with(world.ports().clone(), files);
    let app = test::init_service(application!(gateway.clone())).await;
    Api { world, gateway, app, tenant, owner, viewer }
}

impl<S, B> Api<S>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Failure>,
    B: MessageBody,
{
    async fn ask(&self, token: &str, query: &str, input: Value) -> Value {
        let body = json!({ "query": query, "variables": { "input": input } });
        let request = TestRequest::post().uri("/graphql").insert_header((AUTHORIZATION, format!("Bearer {token}")));
        let request = request.insert_header(("accept", "application/json")).set_json(body).to_request();
        test::call_and_read_body_json(&self.app, request).await
    }

    async fn change(&self, name: &str, fields: &str, input: Value) -> Value {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ {fields} userErrors {{ code field message }} }} }}"
        );
        let answer = self.ask(&self.owner, &query, input).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"][name].clone()
    }

    /// A contact with attributes, and what it was made of.
    async fn make_ada(&self) -> (Value, Value) {
        let attributes =
            json!({ "attributes": [{ "name": "plan", "kind": "STRING" }, { "name": "score", "kind": "NUMBER" }] });
        let declared = self.change("declareAttributes", "attributes { id name kind }", attributes).await;
        assert_eq!(declared["attributes"][1]["kind"], "NUMBER", "{declared}");
        let input = json!({
            "email": "Ada@example.org", "firstName": "Ada", "phone": "0664 1234567", "country": "at", "tags": ["vip"],
            "attributes": { "plan": "gold", "score": 7.5 }, "idempotencyKey": "one"
        });
        (self.change("createContact", CONTACT, input.clone()).await, input)
    }

    async fn send(&self, method: Method, url: &str, range: Option<&str>, body: &'static str) -> (StatusCode, String) {
        let path = url.strip_prefix("https://carillon.test").unwrap();
        let mut request = TestRequest::with_uri(path).method(method);
        if let Some(range) = range {
            request = request.insert_header(("content-range", range));
        }
        let response = test::call_service(&self.app, request.set_payload(body).to_request()).await;
        let offset = response.headers().get("upload-offset").map_or("", |value| value.to_str().unwrap()).to_owned();
        (response.status(), offset)
    }
}

const CONTACT: &str = "contact { id email version tags attributes state }";

#[actix_web::test]
async fn contacts_are_made_and_changed() {
    let (api, contact) = (api().await, CONTACT);
    let (made, input) = api.make_ada().await;
    assert_eq!(made["contact"]["email"], "Ada@example.org", "{made}");
    assert_eq!(made["contact"]["attributes"], json!({ "plan": "gold", "score": 7.5 }));
    assert_eq!(made["contact"]["tags"], json!(["vip"]));
    let again = api.change("createContact", contact, input).await;
    assert_eq!(again["contact"]["id"], made["contact"]["id"], "C-186");
    let taken = api.change("createContact", contact, json!({ "email": "ada@EXAMPLE.org" })).await;
    assert_eq!(taken["userErrors"][0]["code"], "IDENTITY_TAKEN");
    let wrong = json!({ "email": "nobody", "zone": "Mars/Olympus", "attributes": { "plan": 1 } });
    let wrong = api.change("createContact", contact, wrong).await;
    let fields: Vec<&Value> = wrong["userErrors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, [&json!(["email"]), &json!(["zone"])]);

    let id = made["contact"]["id"].clone();
    let changed = json!({ "id": id, "version": 1, "firstName": null, "attributes": { "score": null } });
    let changed = api.change("updateContact", contact, changed).await;
    assert_eq!(
        (&changed["contact"]["version"], &changed["contact"]["attributes"]),
        (&json!(2), &json!({ "plan": "gold" }))
    );
    let late = api.change("updateContact", contact, json!({ "id": id, "version": 1, "lastName": "L" })).await;
    assert_eq!(late["userErrors"][0]["code"], "CONFLICT");
}

#[actix_web::test]
async fn contacts_are_upserted_found_tagged_and_deleted() {
    let (api, contact) = (api().await, CONTACT);
    let id = api.make_ada().await.0["contact"]["id"].clone();
    let upsert = json!({ "contacts": [
        { "by": { "email": "ada@example.org" }, "fields": { "externalId": "7" } },
        { "by": { "externalId": "8" }, "fields": { "email": "bob@example.org" } },
        { "by": { "email": "x" } },
    ] });
    let fields = "results { contact { externalId } created userErrors { code field } }";
    let upserted = api.change("upsertContacts", fields, upsert).await;
    let results = upserted["results"].as_array().unwrap();
    assert_eq!((&results[0]["created"], &results[1]["created"]), (&json!(false), &json!(true)), "{upserted}");
    assert_eq!(results[2]["userErrors"][0]["field"], json!(["by", "email"]));

    let list = "{ contacts(first: 1, search: \"bob\") { nodes { email tags } pageInfo { hasNextPage } } \
        all: contacts(filter: { attribute: { name: \"plan\", value: { string: \"gold\" } } }) { nodes { externalId } } }";
    let listed = api.ask(&api.owner, list, json!({})).await;
    assert_eq!(listed["data"]["contacts"]["nodes"][0]["email"], "bob@example.org", "{listed}");
    assert_eq!(listed["data"]["all"]["nodes"], json!([{ "externalId": "7" }]));

    let tagged = json!({ "contactIds": [id], "add": ["a"], "remove": ["vip"] });
    let tagged = api.change("tagContacts", "contacts { tags }", tagged).await;
    assert_eq!(tagged["contacts"], json!([{ "tags": ["a"] }]));
    let archived = api.change("archiveContact", contact, json!({ "id": id, "version": 2 })).await;
    assert_eq!(archived["contact"]["state"], "ARCHIVED", "{archived}");
    let deleted = api.change("deleteContact", contact, json!({ "id": id, "version": 3 })).await;
    assert_eq!((&deleted["contact"]["state"], &deleted["contact"]["email"]), (&json!("DELETED"), &Value::Null));
    let foreign = json!({ "id": "contact_00000000000000000000000000", "version": 1 });
    for missing in [json!({ "id": "nonsense", "version": 1 }), foreign, json!({ "id": id, "version": 4 })] {
        let refused = api.change("restoreContact", contact, missing).await;
        assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND", "C-204");
    }
}

#[actix_web::test]
async fn c225_whoever_may_not_see_personal_data_gets_null_and_an_error() {
    let api = api().await;
    let made = json!({ "email": "ada@example.org", "externalId": "7", "firstName": "Ada" });
    api.change("createContact", "contact { id }", made).await;
    let seen = api.ask(&api.viewer, "{ contacts { nodes { externalId email firstName state } } }", json!({})).await;
    let node = &seen["data"]["contacts"]["nodes"][0];
    assert_eq!(node, &json!({ "externalId": "7", "email": null, "firstName": null, "state": "ACTIVE" }), "{seen}");
    assert_eq!(seen["errors"][0]["extensions"]["code"], "FORBIDDEN");
    for guess in ["search: \"ada\"", "filter: { email: \"ada@example.org\" }"] {
        let guessed = api.ask(&api.viewer, &format!("{{ contacts({guess}) {{ nodes {{ id }} }} }}"), json!({})).await;
        assert_eq!(guessed["errors"][0]["extensions"]["code"], "FORBIDDEN", "{guess}");
    }
}

#[actix_web::test]
async fn a_file_is_announced_put_in_parts_and_imported() {
    const FILE: &str = "email;Vorname;plan\nada@example.org;Ada;gold\nnobody;;\n";
    let api = api().await;
    let (head, tail) = FILE.split_at(20);
    let upload = "upload { id url received size }";
    let announced = api.change("createUpload", upload, json!({ "fileName": "a.csv", "size": FILE.len() })).await;
    let url = announced["upload"]["url"].as_str().unwrap();
    assert_eq!(api.send(Method::HEAD, url, None, "").await, (StatusCode::OK, "0".to_owned()));
    let size = FILE.len();
    let (first, last) = (format!("bytes 0-19/{size}"), format!("bytes 20-{}/{size}", size - 1));
    assert_eq!(api.send(Method::PUT, url, Some(&last), tail).await, (StatusCode::CONFLICT, "0".to_owned()));
    assert_eq!(api.send(Method::PUT, url, Some(&first), head).await, (StatusCode::NO_CONTENT, "20".to_owned()));
    let id = announced["upload"]["id"].clone();
    let early = api.change("startImport", "import { id }", json!({ "uploadId": id })).await;
    assert_eq!(early["userErrors"][0]["code"], "UPLOAD_INCOMPLETE");
    let more = "more than was declared: it has no end, or so it seems to whoever counts the bytes";
    let beyond = format!("bytes 20-{}/*", 19 + more.len());
    assert_eq!(api.send(Method::PUT, url, Some(&beyond), more).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(api.send(Method::PUT, url, Some(&last), tail).await, (StatusCode::NO_CONTENT, size.to_string()));
    let wrong = format!("{}x", &url[..url.len() - 1]);
    assert_eq!(api.send(Method::PUT, &wrong, None, "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(api.send(Method::GET, url, None, "").await.0, StatusCode::METHOD_NOT_ALLOWED);

    let undeclared = api.change("startImport", "import { id }", json!({ "uploadId": id })).await;
    assert_eq!(undeclared["userErrors"][0]["code"], "HEADER_UNKNOWN", "{undeclared}");
    // The input that is to blame is named by its place, whatever the column is called.
    let mapped = |columns: &[(&str, &str)]| {
        columns.iter().map(|(column, field)| json!({ "column": column, "field": field })).collect::<Vec<_>>()
    };
    let cases = [
        (mapped(&[("z.z", "email"), ("plan", "ignore"), ("a", "nonsense")]), "INVALID_FIELD", ["2", "field"]),
        (mapped(&[("plan", "ignore"), ("a.b", "email")]), "HEADER_MAPPING", ["1", "column"]),
        (mapped(&[("plan", "ignore"), ("Plan ", "email")]), "GIVEN_TWICE", ["1", "column"]),
    ];
    for (mapping, code, [place, field]) in cases {
        let input = json!({ "uploadId": id, "options": { "mapping": mapping } });
        let refused = api.change("startImport", "import { id }", input).await;
        let [error] = &refused["userErrors"].as_array().unwrap()[..] else { panic!("one error: {refused}") };
        assert_eq!((&error["code"], &error["field"]), (&json!(code), &json!(["options", "mapping", place, field])));
    }
    let options = json!({ "declare": [{ "column": "plan", "name": "plan", "kind": "STRING" }] });
    let started = api.change("startImport", "import { id state }", json!({ "uploadId": id, "options": options })).await;
    assert_eq!(started["import"]["state"], "QUEUED", "{started}");
    let grant = enter_for_work(api.world.wall(), api.tenant).grant::<ImportContacts>();
    let ports = api.world.ports();
    let mut tx = grant.begin().await.unwrap();
    let claim = claim_imports(&grant, &mut tx, ports, 1).await.unwrap()[0];
    tx.commit().await.unwrap();
    let until = ports.now() + TimeDelta::hours(1);
    let done = run_slice(&grant, (ports, &api.gateway.process.files), claim, until).await.unwrap();
    assert_eq!(done, Progress::Done);
    let query = format!(
        "{{ import(id: {}) {{ state rowsCreated rowsFailed errorsUrl errors {{ nodes {{ line field code }} }} }} }}",
        started["import"]["id"]
    );
    let answer = api.ask(&api.owner, &query, json!({})).await;
    let import = &answer["data"]["import"];
    assert_eq!((&import["state"], &import["rowsCreated"]), (&json!("COMPLETED"), &json!(1)), "{answer}");
    assert_eq!(import["errors"]["nodes"], json!([{ "line": 3, "field": "email", "code": "INVALID_EMAIL" }]));
    let path = import["errorsUrl"].as_str().unwrap().strip_prefix("https://carillon.test").unwrap();
    let csv = test::call_and_read_body(&api.app, TestRequest::get().uri(path).to_request()).await;
    assert!(csv.starts_with(b"line,field,code,message\r\n3,email,INVALID_EMAIL"), "{csv:?}");
}

#[actix_web::test]
async fn c155_from_an_entry_of_the_ledger_to_the_file_it_came_from() {
    const FILE: &str = "email,quelle\nada@example.org,Messe\nbob@example.org,\n";
    let api = api().await;
    let announced = json!({ "fileName": "a.csv", "size": FILE.len() });
    let upload = api.change("createUpload", "upload { id url }", announced).await["upload"].clone();
    let whole = format!("bytes 0-{}/{}", FILE.len() - 1, FILE.len());
    api.send(Method::PUT, upload["url"].as_str().unwrap(), Some(&whole), FILE).await;
    let topics = api.ask(&api.owner, "{ topics { nodes { id } } }", json!({})).await;
    let topic = topics["data"]["topics"]["nodes"][0]["id"].clone();
    let consent = json!({ "basis": "CONSENT", "source": "fair", "collectedAt": api.world.ports().now(),
        "attestation": "I have them" });
    let options = json!({ "topicId": topic, "consent": consent });
    let started = api.change("startImport", "import { id }", json!({ "uploadId": upload["id"], "options": options }));
    let id = started.await["import"]["id"].clone();
    let grant = enter_for_work(api.world.wall(), api.tenant).grant::<ImportContacts>();
    let mut tx = grant.begin().await.unwrap();
    let claim = claim_imports(&grant, &mut tx, api.world.ports(), 1).await.unwrap()[0];
    tx.commit().await.unwrap();
    let until = api.world.ports().now() + TimeDelta::hours(1);
    let files = &api.gateway.process.files;
    assert_eq!(run_slice(&grant, (api.world.ports(), files), claim, until).await.unwrap(), Progress::Done);

    let query =
        "{ contacts(first: 2) { nodes { ledger(first: 1) { nodes { action source sourceId sourceLine actorKind actorId
        evidenceId evidence { id text }
        import { id fileSha256 actorKind actorId upload { id size } topic { id } evidence { id }
            consent { basis source attestation } } } } } } }";
    let seen = api.ask(&api.owner, query, json!({})).await;
    assert!(seen.get("errors").is_none(), "{seen}");
    let of = |n: usize| seen["data"]["contacts"]["nodes"][n]["ledger"]["nodes"][0].clone();
    let (ada, bob) = (of(0), of(1));
    // printf 'email,quelle\nada@example.org,Messe\nbob@example.org,\n' | sha256sum
    let hash = "6eeb46b998be3a8515a974857d6e956dab865b648d024546bdcda26713d4db47";
    for (entry, line, source) in [(&ada, 2, "Messe"), (&bob, 3, "fair")] {
        assert_eq!((&entry["source"], &entry["sourceId"]), (&json!("IMPORT"), &id));
        assert_eq!((&entry["sourceLine"], &entry["evidence"]["id"]), (&json!(line), &entry["evidenceId"]));
        assert_eq!((&entry["actorKind"], &entry["actorId"]), (&json!("user"), &entry["import"]["actorId"]));
        let text: Value = serde_json::from_str(entry["evidence"]["text"].as_str().unwrap()).unwrap();
        assert_eq!((&text["source"], &text["sha256"]), (&json!(source), &json!(hash)));
    }
    let import = &bob["import"];
    assert_eq!((&import["id"], &import["fileSha256"]), (&id, &json!(hash)));
    assert_eq!((&import["upload"]["id"], &import["topic"]["id"]), (&upload["id"], &topic));
    assert_eq!(import["evidence"]["id"], bob["evidenceId"], "the row names no source of its own");
    assert_ne!(ada["evidenceId"], bob["evidenceId"]);
    let consent = json!({ "basis": "CONSENT", "source": "fair", "attestation": "I have them" });
    assert_eq!(import["consent"], consent);

    let query = format!("{{ import(id: {id}) {{ evidence {{ id }} }} }}");
    let viewed = api.ask(&api.viewer, &query, json!({})).await;
    assert_eq!(viewed["errors"][0]["extensions"]["code"], "FORBIDDEN", "C-225: {viewed}");
}

/// A store that takes two requests at a time, and two are under way: others wait for them, but not in a transaction.
#[actix_web::test]
async fn no_transaction_waits_for_the_store() {
    const FILE: &str = "email\nada@example.org\n";
    let api = api_with(Files::kept_in(Arc::new(LimitStore::new(InMemory::new(), 2)))).await;
    let mut uploads = Vec::new();
    for _ in 0..2 {
        let announced = json!({ "fileName": "a.csv", "size": FILE.len() });
        let upload = api.change("createUpload", "upload { id url }", announced).await["upload"].clone();
        let whole = format!("bytes 0-{}/{}", FILE.len() - 1, FILE.len());
        api.send(Method::PUT, upload["url"].as_str().unwrap(), Some(&whole), FILE).await;
        uploads.push((upload["id"].clone(), upload["id"].as_str().unwrap().parse().unwrap()));
    }
    let files = &api.gateway.process.files;
    let hold = async || {
        let mut held = Vec::new();
        for (_, upload) in &uploads {
            let mut bytes = files.read((api.tenant, *upload), 0, FILE.len() as u64).await.unwrap();
            bytes.try_next().await.unwrap();
            held.push(bytes);
        }
        held
    };
    let meanwhile = async |name: &str, held| {
        let attribute = json!({ "attributes": [{ "name": name, "kind": "STRING" }] });
        let declared = api.change("declareAttributes", "attributes { name }", attribute).await;
        assert_eq!(declared["attributes"][0]["name"], name);
        drop(held);
    };
    let held = hold().await;
    let start = api.change("startImport", "import { id }", json!({ "uploadId": uploads[0].0 }));
    let (started, ()) = futures::join!(start, meanwhile("one", held));
    assert!(started["import"]["id"].is_string(), "{started}");

    let held = hold().await;
    let ports = api.world.ports();
    let grant = enter_for_work(api.world.wall(), api.tenant).grant::<ImportContacts>();
    let claim = async || {
        let mut tx = grant.begin().await.unwrap();
        let claim = claim_imports(&grant, &mut tx, ports, 1).await.unwrap()[0];
        tx.commit().await.unwrap();
        claim
    };
    let slice = async || run_slice(&grant, (ports, files), claim().await, ports.now() + TimeDelta::hours(1)).await;
    let (done, ()) = futures::join!(slice(), meanwhile("two", held));
    assert_eq!(done.unwrap(), Progress::Done);

    let held = hold().await;
    api.world.advance(ports.settings.upload_life);
    let other = async {
        let writes = enter_for_work(api.world.wall(), api.tenant).grant::<WriteContacts>();
        let three = DeclareAttribute { name: AttributeName::parse("three").unwrap(), kind: AttributeKind::Number };
        let mut tx = writes.begin().await.unwrap();
        declare_attributes(&writes, &mut tx, ports, vec![three]).await.unwrap();
        tx.commit().await.unwrap();
        drop(held);
    };
    let (expired, ()) = futures::join!(expire_uploads(&grant, ports, files), other);
    assert_eq!(expired.unwrap(), 2);
}

#[actix_web::test]
async fn a_key_that_may_only_import_says_nothing_about_consent() {
    const FILE: &str = "email,status\nada@example.org,unsubscribed\n";
    let api = api().await;
    let announced = json!({ "fileName": "a.csv", "size": FILE.len() });
    let upload = api.change("createUpload", "upload { id url }", announced).await["upload"].clone();
    assert_eq!(api.send(Method::PUT, upload["url"].as_str().unwrap(), None, FILE).await.0, StatusCode::NO_CONTENT);
    let key = async |scopes: &[&str]| {
        let input = json!({ "name": "Shop", "role": "MARKETER", "scopes": scopes });
        api.change("createApiKey", "secret", input).await["secret"].as_str().unwrap().to_owned()
    };
    let (imports, both) = (key(&["contacts.import"]).await, key(&["contacts.import", "consent.record"]).await);
    let started = async |key: &str, options: Value| {
        let query =
            "mutation($input: StartImportInput!) { startImport(input: $input) { import { id } userErrors { code } } }";
        let answer = api.ask(key, query, json!({ "uploadId": upload["id"], "options": options })).await;
        let payload = &answer["data"]["startImport"];
        let codes = [&answer["errors"][0]["extensions"]["code"], &payload["userErrors"][0]["code"]];
        let code = codes.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned();
        (code, payload["import"]["id"].is_string())
    };
    let (told, untold) = (|code: &str| (code.to_owned(), false), (String::new(), true));
    let ignored = json!([{ "column": "status", "field": "ignore" }]);
    let topic = "topic_00000000000000000000000000";
    let consent = json!({ "basis": "CONSENT", "attestation": "I have them" });
    for options in [
        json!({}),
        json!({ "mapping": [{ "column": "status", "field": "consentAt" }] }),
        json!({ "mapping": [{ "column": "status", "field": "consentSource" }] }),
        json!({ "mapping": ignored, "topicId": topic }),
        json!({ "mapping": ignored, "topicId": topic, "consent": consent }),
    ] {
        assert_eq!(started(&imports, options.clone()).await, told("FORBIDDEN"), "{options}");
    }
    assert_eq!(started(&both, json!({ "mapping": ignored, "topicId": topic })).await, told("NOT_FOUND"));
    assert_eq!(started(&imports, json!({ "mapping": ignored })).await, untold, "nothing about consent");
    assert_eq!(started(&both, json!({})).await, untold);
}
