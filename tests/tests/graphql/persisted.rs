//! Documents that are run by their ids, through every way in: whose they are, who may run nothing else, how long what was
//! taken back is still believed, and answers that clients may keep.

use std::time::Duration;

use carillon::graphql::scope::Caller;
use carillon_domain::persisted::DocumentHash;
use carillon_domain::tenancy::authenticate_key;
use chrono::TimeDelta;
use reqwest::header::{self, HeaderMap};
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::{Value, json};

use crate::served::Served;
use crate::setup::Api;
use crate::socket::{Hall, token};
use crate::streams::Events;

pub const NAME: &str = "{ tenant { name } }";
pub const WATCH: &str = "subscription { messageProgress { total } }";
const MAKE: &str =
    "mutation($email: String!) { createContact(input: { email: $email }) { contact { state } userErrors { code } } }";
/// What was looked up is believed so long.
const BELIEVED: TimeDelta = TimeDelta::seconds(2);
const NEW_JSON: &str = "application/graphql-response+json";
const EVENTS: &str = "text/event-stream";

/// The id of a text.
pub fn id_of(text: &str) -> String {
    DocumentHash::of(text).to_string()
}

fn bare(text: &str) -> String {
    id_of(text).trim_start_matches("sha256:").to_owned()
}

impl Api {
    /// Registers texts.
    pub async fn register(&self, texts: &[&str]) {
        let documents: Vec<Value> = texts.iter().map(|text| json!({ "text": text })).collect();
        let input = json!({ "documents": documents });
        let done = self.change("registerDocuments", "results { userErrors { code message } }", input).await;
        let results = done["results"].as_array().unwrap();
        assert!(results.iter().all(|result| result["userErrors"] == json!([])), "{done}");
    }

    /// A set that has no version.
    pub async fn document_set(&self, name: &str) -> Value {
        let made = self.change("createDocumentSet", "documentSet { id }", json!({ "name": name })).await;
        made["documentSet"]["id"].clone()
    }

    /// Publishes a version of registered texts; the version of the set.
    pub async fn publish(&self, set: &Value, texts: &[&str]) -> Value {
        let ids: Vec<String> = texts.iter().map(|text| id_of(text)).collect();
        let input = json!({ "documentSetId": set, "documentIds": ids });
        let done = self.change("publishDocumentSetVersion", "documentSet { version activeNumber }", input).await;
        done["documentSet"].clone()
    }

    /// A key of the owner's role, its id and its text.
    pub async fn key(&self, scope: &str, set: Option<&Value>) -> (Value, String) {
        let input = json!({
            "name": "App", "scopes": [scope], "role": "OWNER", "documentSetId": set,
            // The wall asks the database's own clock as well, which no test can move.
            "expiresAt": "2126-03-02T09:00:00Z",
        });
        let made = self.change("createApiKey", "secret apiKey { id }", input).await;
        (made["apiKey"]["id"].clone(), made["secret"].as_str().unwrap().to_owned())
    }
}

/// A request by POST, or with its parameters in the address by GET.
fn request(served: &Served, method: Method, token: &str, params: &Value) -> RequestBuilder {
    let mut url = Url::parse(&format!("http://{}/graphql", served.address)).unwrap();
    let is_get = method == Method::GET;
    if is_get {
        for (name, value) in params.as_object().unwrap() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            url.query_pairs_mut().append_pair(name, &text);
        }
    }
    let request = Client::new().request(method, url).bearer_auth(token);
    if is_get { request } else { request.json(params) }
}

async fn answer(request: RequestBuilder) -> (u16, HeaderMap, Value) {
    let response = request.header(header::ACCEPT, NEW_JSON).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    (status, headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn ask(served: &Served, token: &str, params: &Value) -> (u16, Value) {
    let (status, _, body) = answer(request(served, Method::POST, token, params)).await;
    (status, body)
}

async fn events(served: &Served, token: &str, params: &Value) -> Events {
    let request = request(served, Method::POST, token, params).header(header::ACCEPT, EVENTS);
    Events::of(request.send().await.unwrap())
}

fn code(body: &Value) -> &str {
    body["errors"][0]["extensions"]["code"].as_str().unwrap_or("")
}

/// The code with which each way in refuses to run something: POST, GET, events and a socket.
async fn refused_everywhere(hall: &Hall, token: &str, params: &Value) -> [String; 4] {
    let mut codes = Vec::new();
    for method in [Method::POST, Method::GET] {
        let (status, _, body) = answer(request(&hall.served, method, token, params)).await;
        assert!(status == 400 && body.get("data").is_none(), "{status} {body}");
        codes.push(code(&body).to_owned());
    }
    let stream =
        request(&hall.served, Method::POST, token, params).header(header::ACCEPT, EVENTS).send().await.unwrap();
    // What is no request of GraphQL's is HTTP's to refuse.
    codes.push(if stream.status().is_success() {
        code(&Events::of(stream).next().await).to_owned()
    } else {
        code(&stream.json().await.unwrap()).to_owned()
    });
    let mut socket = hall.entered(token).await;
    socket.say(json!({ "id": "1", "type": "subscribe", "payload": params })).await;
    codes.push(socket.error().await.as_str().unwrap().to_owned());
    codes.try_into().unwrap()
}

#[actix_web::test]
async fn a_document_is_run_by_its_id_through_every_way_in() {
    let hall = Box::pin(Hall::new()).await;
    hall.api.register(&[NAME, WATCH, MAKE]).await;
    let shown = json!({ "tenant": { "name": "Torten" } });
    let apollo = |text: &str| json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": bare(text) } } });
    let mut both = apollo(NAME);
    both["query"] = json!(NAME);
    for params in [json!({ "documentId": id_of(NAME) }), apollo(NAME), both] {
        for method in [Method::POST, Method::GET] {
            let (status, _, body) = answer(request(&hall.served, method.clone(), &hall.token, &params)).await;
            assert_eq!((status, &body["data"]), (200, &shown), "{method} {params} {body}");
            assert!(body["extensions"]["cost"].is_object(), "it is paid for: {body}");
        }
    }
    let mut stream = events(&hall.served, &hall.token, &json!({ "documentId": id_of(WATCH) })).await;
    assert_eq!(stream.next().await["data"], json!({ "messageProgress": { "total": 0 } }));
    let mut socket = hall.owner().await;
    for (n, payload) in [json!({ "documentId": id_of(WATCH) }), apollo(WATCH)].iter().enumerate() {
        socket.say(json!({ "id": n.to_string(), "type": "subscribe", "payload": payload })).await;
        assert_eq!(socket.hear().await["payload"]["data"], json!({ "messageProgress": { "total": 0 } }));
    }
    // A mutation by POST alone, with its variables.
    let params = json!({ "documentId": id_of(MAKE), "variables": { "email": "ada@example.org" } });
    assert_eq!(answer(request(&hall.served, Method::GET, &hall.token, &params)).await.0, 405);
    let (_, body) = ask(&hall.served, &hall.token, &params).await;
    let made = json!({ "contact": { "state": "ACTIVE" }, "userErrors": [] });
    assert_eq!(body["data"]["createContact"], made, "{body}");
    // Its rules are those of any document.
    let (status, body) = ask(&hall.served, &hall.token, &json!({ "documentId": id_of(MAKE) })).await;
    assert_eq!((status, code(&body)), (400, "BAD_REQUEST"), "{body}");
    hall.served.stop().await;
}

#[actix_web::test]
async fn an_id_that_is_unknown_forged_or_not_that_of_the_text_runs_nothing() {
    let hall = Box::pin(Hall::new()).await;
    hall.api.register(&[NAME]).await;
    let id = id_of(NAME);
    let forged = [id_of("{ serverTime }"), id.to_uppercase(), bare(NAME), format!("{id}0"), "sha256:".to_owned()];
    for id in forged {
        let codes = refused_everywhere(&hall, &hall.token, &json!({ "documentId": id })).await;
        assert_eq!(codes, ["PERSISTED_DOCUMENT_NOT_FOUND"; 4], "{id}");
    }
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": bare(NAME) } });
    for params in [
        json!({ "documentId": id, "query": "{ serverTime }" }),
        json!({ "query": "{ tenant { id } }", "extensions": extensions }),
        json!({ "documentId": id_of("{ serverTime }"), "extensions": extensions }),
    ] {
        assert_eq!(refused_everywhere(&hall, &hall.token, &params).await, ["BAD_REQUEST"; 4], "{params}");
    }
    // Nobody has no tenant, so no document either; and what is run with its text is not registered by that (Apollo's
    // automatic registration).
    let url = format!("http://{}/graphql", hall.served.address);
    let (status, _, body) = answer(Client::new().post(&url).json(&json!({ "documentId": id }))).await;
    assert_eq!((status, code(&body)), (400, "PERSISTED_DOCUMENT_NOT_FOUND"), "{body}");
    let automatic = json!({ "persistedQuery": { "version": 1, "sha256Hash": bare("{ serverTime }") } });
    let with_text = json!({ "query": "{ serverTime }", "extensions": automatic });
    assert_eq!(ask(&hall.served, &hall.token, &with_text).await.0, 200);
    let (_, body) = ask(&hall.served, &hall.token, &json!({ "extensions": automatic })).await;
    assert_eq!(code(&body), "PERSISTED_DOCUMENT_NOT_FOUND", "{body}");
    // Who takes the older type is told so with 200, as for every document that is not run.
    let old = request(&hall.served, Method::POST, &hall.token, &json!({ "documentId": "x" }));
    assert_eq!(old.header(header::ACCEPT, "application/json").send().await.unwrap().status().as_u16(), 200);
    hall.served.stop().await;
}

#[actix_web::test]
async fn c204_another_tenants_document_is_unknown() {
    let theirs = Api::new().await;
    theirs.register(&[NAME]).await;
    let set = theirs.document_set("App").await;
    theirs.publish(&set, &[NAME]).await;
    let own = Api::within(theirs.world, "eve@example.org").await;
    let served = Served::new(&own).await;
    let token = token(&own, &own.ada).await;
    let params = json!({ "documentId": id_of(NAME) });
    let (_, body) = ask(&served, &token, &params).await;
    assert_eq!(code(&body), "PERSISTED_DOCUMENT_NOT_FOUND", "{body}");
    // Nor is a key held to another's set, and what both have registered is each one's own.
    let create = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { userErrors { code field } } }";
    let input = json!({ "name": "App", "scopes": ["contacts.read"], "role": "VIEWER", "documentSetId": set });
    let answer = own.ask(create, json!({ "input": input })).await;
    let refused = json!([{ "code": "NOT_FOUND", "field": ["documentSetId"] }]);
    assert_eq!(answer["data"]["createApiKey"]["userErrors"], refused, "{answer}");
    own.register(&[NAME]).await;
    assert_eq!(own.world.number("SELECT COUNT(*) AS amount FROM persisted_documents").await, 2);
    assert_eq!(ask(&served, &token, &params).await.1["data"]["tenant"]["name"], "Torten");
    served.stop().await;
}

#[actix_web::test]
async fn a_key_that_is_held_to_a_set_runs_nothing_else() {
    let hall = Box::pin(Hall::new()).await;
    let brands = "{ brands(first: 1) { nodes { id } } }";
    let contacts = "{ contacts(first: 1) { nodes { id } } }";
    hall.api.register(&[NAME, WATCH, brands, contacts]).await;
    let set = hall.api.document_set("App").await;
    let (_, key) = hall.api.key("messaging.read", Some(&set)).await;
    // No version, no document.
    let codes = refused_everywhere(&hall, &key, &json!({ "documentId": id_of(WATCH) })).await;
    assert_eq!(codes, ["PERSISTED_DOCUMENT_NOT_FOUND"; 4]);
    hall.api.publish(&set, &[WATCH, brands]).await;
    for text in [WATCH, "{ serverTime }", "{ __typename }", "{ __schema { queryType { name } } }"] {
        let codes = refused_everywhere(&hall, &key, &json!({ "query": text })).await;
        assert_eq!(codes, ["PERSISTED_DOCUMENT_REQUIRED"; 4], "{text}");
    }
    // Registered is not enough.
    for text in [NAME, contacts] {
        let codes = refused_everywhere(&hall, &key, &json!({ "documentId": id_of(text) })).await;
        assert_eq!(codes, ["PERSISTED_DOCUMENT_NOT_FOUND"; 4], "{text}");
    }
    // Text and id together are the id.
    let mut stream = events(&hall.served, &key, &json!({ "documentId": id_of(WATCH), "query": WATCH })).await;
    assert_eq!(stream.next().await["data"]["messageProgress"]["total"], 0);
    let mut socket = hall.entered(&key).await;
    socket.say(json!({ "id": "1", "type": "subscribe", "payload": { "documentId": id_of(WATCH) } })).await;
    assert_eq!(socket.hear().await["payload"]["data"]["messageProgress"]["total"], 0);
    // What is in the set is not in the scopes for that.
    let (_, body) = ask(&hall.served, &key, &json!({ "documentId": id_of(brands) })).await;
    assert_eq!(code(&body), "FORBIDDEN", "{body}");
    // Whatever brought a question about the schema here, it is not answered.
    let held = Caller::ApiKey(authenticate_key(hall.api.world.ports(), &key).await.unwrap());
    let (_, free) = hall.api.key("messaging.read", None).await;
    let free = Caller::ApiKey(authenticate_key(hall.api.world.ports(), &free).await.unwrap());
    let introspection = "{ __schema { queryType { name } } __type(name: \"Query\") { name } }";
    let told = hall.api.ask_as(&held, introspection, json!({})).await;
    assert!(told["data"]["__schema"].is_null() && told["data"]["__type"].is_null(), "{told}");
    let told = hall.api.ask_as(&free, introspection, json!({})).await;
    assert_eq!(told["data"]["__type"]["name"], "Query", "{told}");
    hall.served.stop().await;
}

#[actix_web::test]
async fn c224_what_is_taken_back_is_believed_for_two_seconds_at_most() {
    let hall = Box::pin(Hall::new()).await;
    let (old, new) = (NAME, "{ tenant { id } }");
    hall.api.register(&[old, new]).await;
    let set = hall.api.document_set("App").await;
    let (_, key) = hall.api.key("tenancy.read", Some(&set)).await;
    hall.api.publish(&set, &[old]).await;
    let runs = async |text: &str| {
        let (_, body) = ask(&hall.served, &key, &json!({ "documentId": id_of(text) })).await;
        assert!(["", "PERSISTED_DOCUMENT_NOT_FOUND"].contains(&code(&body)), "{body}");
        code(&body).is_empty()
    };
    assert!(runs(old).await && !runs(new).await);
    let version = hall.api.publish(&set, &[new]).await;
    assert!(runs(old).await && runs(new).await, "what was looked up a moment ago, and what was not");
    hall.api.world.advance(BELIEVED);
    assert!(!runs(old).await && runs(new).await);
    // The release is taken back.
    let back = json!({ "documentSetId": set, "number": 1, "version": version["version"] });
    hall.api.change("activateDocumentSetVersion", "", back).await;
    hall.api.world.advance(BELIEVED);
    assert!(runs(old).await && !runs(new).await);
    // Nobody runs a retired one, whatever sets it is in, until it is registered again.
    hall.api.change("retireDocuments", "", json!({ "documentIds": [id_of(old)] })).await;
    hall.api.world.advance(BELIEVED);
    assert!(!runs(old).await);
    hall.api.register(&[old]).await;
    assert!(runs(old).await);
    hall.served.stop().await;
}

#[actix_web::test]
async fn c224_what_was_subscribed_to_with_a_document_ends_with_it() {
    let hall = Box::pin(Hall::new()).await;
    hall.api.register(&[WATCH]).await;
    let set = hall.api.document_set("App").await;
    hall.api.publish(&set, &[WATCH]).await;
    let (_, key) = hall.api.key("messaging.read", Some(&set)).await;
    let params = json!({ "documentId": id_of(WATCH) });
    let mut stream = events(&hall.served, &key, &params).await;
    let (mut held, mut owner) = (hall.entered(&key).await, hall.owner().await);
    for socket in [&mut held, &mut owner] {
        socket.say(json!({ "id": "1", "type": "subscribe", "payload": params })).await;
        assert_eq!(socket.hear().await["type"], "next");
    }
    assert_eq!(stream.next().await["data"]["messageProgress"]["total"], 0);
    hall.api.publish(&set, &[]).await;
    hall.api.world.advance(BELIEVED);
    assert_eq!(held.error().await, "PERSISTED_DOCUMENT_NOT_FOUND");
    assert_eq!(code(&stream.next().await), "PERSISTED_DOCUMENT_NOT_FOUND");
    stream.is_complete().await;
    // The socket is as good as before, and whoever may send any text goes on.
    held.say(json!({ "type": "ping" })).await;
    assert_eq!(held.hear().await["type"], "pong");
    hall.api.row(1).await;
    hall.gateway.live.tell();
    let told = owner.hear().await;
    assert_eq!((&told["type"], &told["payload"]["data"]["messageProgress"]["total"]), (&json!("next"), &json!(1)));
    hall.served.stop().await;
}

/// All are due at the same moments, and what they run is looked up once for them all.
#[actix_web::test]
async fn c224_a_document_is_looked_up_once_for_all_who_listen_with_it() {
    const LISTENERS: usize = 24;
    let hall = Box::pin(Hall::new()).await;
    hall.api.register(&[WATCH]).await;
    let set = hall.api.document_set("App").await;
    hall.api.publish(&set, &[WATCH]).await;
    let (_, key) = hall.api.key("messaging.read", Some(&set)).await;
    let params = json!({ "documentId": id_of(WATCH) });
    let mut sockets = Vec::new();
    for _ in 0..LISTENERS {
        let mut socket = hall.entered(&key).await;
        socket.say(json!({ "id": "1", "type": "subscribe", "payload": params })).await;
        assert_eq!(socket.hear().await["type"], "next");
        sockets.push(socket);
    }
    let kept = &hall.gateway.kept;
    let looks = kept.looks();
    hall.api.world.advance(BELIEVED);
    while kept.looks() == looks {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The next look could only be after its answer is believed no more: the clock stands still.
    tokio::time::sleep(hall.gateway.settings.sockets.check_every * 10).await;
    assert_eq!(kept.looks(), looks + 1);
    hall.api.publish(&set, &[]).await;
    hall.api.world.advance(BELIEVED);
    for socket in &mut sockets {
        assert_eq!(socket.error().await, "PERSISTED_DOCUMENT_NOT_FOUND");
    }
    assert_eq!(kept.looks(), looks + 2, "nor does each look for what is not there");
    hall.served.stop().await;
}

#[actix_web::test]
async fn l5_a_call_by_id_costs_no_statement_more_once_it_is_known() {
    let hall = Box::pin(Hall::new()).await;
    hall.api.register(&[NAME]).await;
    let set = hall.api.document_set("App").await;
    hall.api.publish(&set, &[NAME]).await;
    let (_, held) = hall.api.key("tenancy.read", Some(&set)).await;
    let (_, free) = hall.api.key("tenancy.read", None).await;
    let by_id = json!({ "documentId": id_of(NAME) });
    let cost = async |key: &str, params: &Value| {
        let ((status, body), cost) = hall.api.world.statements_of(ask(&hall.served, key, params)).await;
        assert_eq!((status, &body["data"]["tenant"]["name"]), (200, &json!("Torten")), "{body}");
        cost
    };
    // The first use of a key is written down.
    for key in [&held, &free] {
        cost(key, &by_id).await;
    }
    let text = cost(&free, &json!({ "query": NAME })).await;
    assert_eq!([cost(&held, &by_id).await, cost(&free, &by_id).await], [text; 2]);
    hall.api.world.advance(BELIEVED);
    assert!(cost(&held, &by_id).await > text, "it is looked up again");
    assert_eq!(cost(&held, &by_id).await, text);
    hall.served.stop().await;
}

#[actix_web::test]
async fn a_persisted_query_by_get_may_be_kept_and_asked_about() {
    let hall = Box::pin(Hall::new()).await;
    let contacts = "{ contacts { nodes { email } } }";
    let nothing = "{ contact(id: \"x\") { id } suppressions(first: 1) { nodes { id } } }";
    hall.api.register(&[contacts, nothing]).await;
    let by_id = json!({ "documentId": id_of(contacts) });
    let get = |params: &Value| request(&hall.served, Method::GET, &hall.token, params);
    let header = |headers: &HeaderMap, name: header::HeaderName| {
        let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned());
        values.collect::<Vec<_>>().join(", ")
    };
    let (status, headers, first) = answer(get(&by_id)).await;
    let tag = header(&headers, header::ETAG);
    assert!(status == 200 && tag.starts_with("W/\""), "{status} {tag}");
    assert_eq!(header(&headers, header::CACHE_CONTROL), "private, no-cache");
    let vary = header(&headers, header::VARY);
    for by in ["authorization", "accept", "accept-encoding"] {
        assert!(vary.split(", ").any(|name| name == by), "{vary}");
    }
    let (status, headers, body) = answer(get(&by_id).header(header::IF_NONE_MATCH, &tag)).await;
    assert_eq!((status, body, header(&headers, header::ETAG)), (304, Value::Null, tag.clone()));
    assert_eq!(
        (header(&headers, header::CACHE_CONTROL), header(&headers, header::VARY)),
        ("private, no-cache".to_owned(), vary)
    );
    assert!(headers.contains_key("ratelimit"), "it was read, and paid for: {headers:?}");
    // What changed is sent.
    hall.api.change("createContact", "", json!({ "email": "ada@example.org" })).await;
    let (status, headers, second) = answer(get(&by_id).header(header::IF_NONE_MATCH, &tag)).await;
    assert!(status == 200 && header(&headers, header::ETAG) != tag && second["data"] != first["data"], "{second}");
    // Nothing else is: what was POSTed, what was sent as a text, and what went wrong.
    let posted = request(&hall.served, Method::POST, &hall.token, &by_id);
    let unknown = json!({ "documentId": id_of("{ serverTime }") });
    let (_, viewer) = hall.api.key("contacts.read", None).await;
    let forbidden = request(&hall.served, Method::GET, &viewer, &json!({ "documentId": id_of(nothing) }));
    let cases = [posted, get(&json!({ "query": contacts })), get(&unknown), forbidden];
    for (n, request) in cases.into_iter().enumerate() {
        let (status, headers, body) = answer(request.header(header::IF_NONE_MATCH, "*")).await;
        assert_ne!(status, 304, "{n}: {body}");
        assert_eq!(header(&headers, header::CACHE_CONTROL), "no-store", "{n}: {body}");
        assert!(!headers.contains_key(header::ETAG), "{n}: {body}");
    }
    hall.served.stop().await;
}
