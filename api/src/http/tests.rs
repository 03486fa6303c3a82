//! The rules of GraphQL over HTTP, on a real application over an empty SQLite file.

use std::sync::Arc;

use actix_web::http::{Method, StatusCode, header};
use actix_web::test::{TestRequest, init_service};
use actix_web::web;
use carillon_domain::doorbell::NoDoorbell;
use carillon_domain::entropy::SeededEntropy;
use carillon_domain::keys::Keyring;
use carillon_domain::metrics::labels::{self, Route, Status};
use carillon_domain::ports::{Ports, Wall};
use carillon_domain::settings::Settings;
use carillon_domain::tenancy::{Doorkeeper, PasswordSettings};
use carillon_domain::time::ManualClock;
use chrono::DateTime;
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::*;

const QUERY: &str = r#"{"query":"{ serverTime }"}"#;
const JSON: (header::HeaderName, &str) = (header::CONTENT_TYPE, "application/json");
const NEW_JSON: (header::HeaderName, &str) = (header::ACCEPT, "application/graphql-response+json");

async fn gateway(embedded: bool) -> web::Data<Gateway> {
    let entropy = Arc::new(SeededEntropy::new(1));
    let keys = Arc::new(Keyring::generate(entropy.as_ref()));
    let settings = carillon_entities::wall::DatabaseSettings::single("sqlite::memory:");
    let ports = Ports {
        doorbell: Arc::new(NoDoorbell),
        versions: Arc::default(),
        metrics: Arc::default(),
        wall: Wall::open(&settings).await.unwrap(),
        clock: Arc::new(ManualClock::new(DateTime::UNIX_EPOCH)),
        entropy,
        keys: keys.clone(),
        settings: Arc::new(Settings { embedded, ..Settings::new("https://carillon.test") }),
    };
    let desk = Doorkeeper::new(&ports, &keys, PasswordSettings::default()).unwrap();
    let process = Process { ports, desk, files: carillon_domain::files::Files::open("memory:").unwrap() };
    web::Data::new(Gateway { health: Health::default(), ..Gateway::new(process) })
}

async fn send(request: TestRequest) -> (StatusCode, header::HeaderMap, Value) {
    send_to(gateway(false).await, request).await
}

async fn send_to(gateway: web::Data<Gateway>, request: TestRequest) -> (StatusCode, header::HeaderMap, Value) {
    let app = application!(gateway).route("/panic", web::get().to(panics));
    let app = init_service(app).await;
    let service = actix_web::dev::Service::call(&app, request.to_request()).await;
    let response = match service {
        Ok(response) => response.map_into_boxed_body().into_parts().1,
        Err(error) => error.error_response(),
    };
    let (status, headers) = (response.status(), response.headers().clone());
    let body = actix_web::body::to_bytes(response.into_body()).await.unwrap_or_default();
    (status, headers.into_iter().collect(), serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn panics() -> HttpResponse {
    panic!("postgres://secret")
}

fn post(body: impl Into<web::Bytes>) -> TestRequest {
    TestRequest::post().uri("/graphql").insert_header(JSON).set_payload(body)
}

#[actix_web::test]
async fn a_query_is_answered_by_post_and_by_get() {
    let (status, headers, body) = send(post(QUERY)).await;
    assert_eq!((status, &body["data"]["serverTime"]), (StatusCode::OK, &json!("1970-01-01T00:00:00+00:00")));
    assert_eq!(headers.get(header::CONTENT_TYPE).unwrap(), "application/json; charset=utf-8");
    let (status, headers, body) = send(post(QUERY).insert_header(NEW_JSON)).await;
    assert!(status == StatusCode::OK && body["data"]["serverTime"].is_string());
    assert_eq!(headers.get(header::CONTENT_TYPE).unwrap(), "application/graphql-response+json; charset=utf-8");
    let (status, _, body) = send(TestRequest::get().uri("/graphql?query=%7BserverTime%7D&variables=%7B%7D")).await;
    assert!(status == StatusCode::OK && body["data"]["serverTime"].is_string());
}

#[actix_web::test]
async fn a_large_answer_is_compressed_and_a_small_one_is_not() {
    let large = json!({ "query": "{ __schema { types { name description } } }" }).to_string();
    for (body, accept, encoding) in [
        (large.as_str(), "br", Some("br")),
        (&large, "gzip", Some("gzip")),
        (&large, "identity", None),
        (QUERY, "gzip, br", None),
    ] {
        let request = post(body.to_owned()).insert_header((header::ACCEPT_ENCODING, accept));
        let (status, headers, _) = send_to(gateway(true).await, request).await;
        let found = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap());
        assert_eq!((status, found), (StatusCode::OK, encoding), "{accept}");
        assert_eq!(headers.get(header::VARY).unwrap(), "accept-encoding");
    }
}

#[actix_web::test]
async fn c223_only_json_is_read_and_get_changes_nothing() {
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let request = TestRequest::post().uri("/graphql").set_payload(QUERY);
        let (status, _, body) = send(request.insert_header((header::CONTENT_TYPE, content_type))).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        assert_eq!(body["errors"][0]["extensions"]["code"], "UNSUPPORTED_MEDIA_TYPE");
    }
    for encoding in ["gzip", "br", "identity", "gzip, gzip"] {
        let (status, headers, _) = send(post(QUERY).insert_header((header::CONTENT_ENCODING, encoding))).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{encoding}");
        assert_eq!(headers.get(header::ACCEPT_ENCODING).unwrap(), "identity");
    }
    for query in ["mutation%7Bx%7D", "query%20A%7Bx%7Dmutation%20B%7By%7D&operationName=B"] {
        let (status, headers, _) = send(TestRequest::get().uri(&format!("/graphql?query={query}"))).await;
        assert_eq!(
            (status, headers.get(header::ALLOW).unwrap().to_str().unwrap()),
            (StatusCode::METHOD_NOT_ALLOWED, "POST")
        );
    }
    let put = TestRequest::default().method(Method::PUT).uri("/graphql");
    assert_eq!(send(put).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[actix_web::test]
async fn malformed_requests_are_answered_in_json() {
    let bodies = [
        "",
        "{",
        "null",
        "7",
        "{}",
        r#"{"query":7}"#,
        r#"{"query":"{x}","variables":[]}"#,
        r#"{"query":"{x}","operationName":{}}"#,
        r#"{"query":"{x}","extensions":""}"#,
    ];
    for text in bodies {
        let (status, _, body) = send(post(text)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        assert!(body["errors"][0]["message"].is_string() && body.get("data").is_none(), "{text}");
    }
    let (status, _, _) = send(post(QUERY).insert_header((header::ACCEPT, "text/html"))).await;
    assert_eq!(status, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(send(TestRequest::get().uri("/graphql")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(send(TestRequest::get().uri("/graphql?query={x}&variables=[")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(send(TestRequest::get().uri("/nowhere")).await.0, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn c218_batches_are_refused() {
    let (status, _, body) = send(post(format!(" [{QUERY},{QUERY}]"))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["errors"][0]["message"].to_string().contains("batches"));
}

#[actix_web::test]
async fn c221_a_body_has_a_largest_size() {
    let (status, _, body) = send(post(format!("{}{QUERY}", " ".repeat(1_000_000)))).await;
    assert_eq!(
        (status, &body["errors"][0]["extensions"]["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("BODY_TOO_LARGE"))
    );
}

#[actix_web::test]
async fn a_document_that_cannot_run_has_no_data_and_its_status_follows_the_media_type() {
    for query in ["{", "{ nothing }", "query A { serverTime } query B { serverTime }", "{ serverTime(x: 1) }"] {
        let body = json!({ "query": query }).to_string();
        let (status, _, old) = send(post(body.clone())).await;
        assert!(status == StatusCode::OK && old.get("data").is_none(), "{query}");
        let (status, _, new) = send(post(body).insert_header(NEW_JSON)).await;
        assert!(status == StatusCode::BAD_REQUEST && new.get("data").is_none(), "{query}");
        assert_eq!(new["errors"][0]["extensions"]["code"], "BAD_REQUEST");
        assert!(new["errors"][0]["extensions"]["traceId"].as_str().is_some_and(|id| !id.is_empty()));
    }
}

/// GraphQL over HTTP, edition of September 2026, "Status Codes".
#[actix_web::test]
async fn who_prefers_strict_handling_gets_the_status_codes_of_the_newest_edition() {
    let strictly = async |body: String, accept: (header::HeaderName, &'static str)| {
        let (status, headers, body) =
            send(post(body).insert_header(accept).insert_header(("prefer", "handling=strict"))).await;
        let applied = headers.get("preference-applied").map(|value| value.to_str().unwrap().to_owned());
        (status.as_u16(), applied.as_deref() == Some("handling=strict"), body)
    };
    let query = |query: &str| json!({ "query": query }).to_string();
    let wrong_variable = json!({ "query": "query($id: ID!) { node(id: $id) { id } }", "variables": { "id": null } });
    let cases = [
        (query("{ serverTime }"), 200),
        // A stranger has no tenant: the field fails, and the rest is answered.
        (query("{ serverTime contact(id: \"contact_00000000000000000000000000\") { id } }"), 294),
        (query("{ contacts(first: 1) { nodes { id } } }"), 294),
        ("{".to_owned(), 400),
        (query("{"), 400),
        ("{}".to_owned(), 422),
        (format!("[{QUERY}]"), 422),
        (query("{ nothing }"), 422),
        (query("query A { serverTime } query B { serverTime }"), 422),
        (wrong_variable.to_string(), 422),
    ];
    for (body, wanted) in cases {
        let (status, is_applied, answer) = strictly(body.clone(), NEW_JSON).await;
        assert_eq!((status, is_applied), (wanted, true), "{body}: {answer}");
        assert_eq!(answer.get("data").is_some(), wanted < 300, "{body}: {answer}");
        let (status, is_applied, answer) = strictly(body.clone(), (header::ACCEPT, "application/json")).await;
        assert!(status != 294 && status != 422 && !is_applied, "{body}: {answer}");
    }
}

#[actix_web::test]
async fn c222_strangers_learn_no_schema_in_production() {
    let introspect = json!({ "query": "{ __schema { types { name } } __typename }" }).to_string();
    let (_, _, body) = send(post(introspect.clone())).await;
    assert!(!body.to_string().contains("GatewayQuery") && !body.to_string().contains("DateTime"), "{body}");
    let (_, _, body) = send(post(json!({ "query": "{ serverTim }" }).to_string())).await;
    assert!(!body.to_string().contains("serverTime"), "no suggestion: {body}");
    let (_, _, body) = send(post(json!({ "query": "{ __typename }" }).to_string())).await;
    assert_eq!(body["data"]["__typename"], "Query");
    let (_, _, body) = send_to(gateway(true).await, post(introspect)).await;
    assert!(body.to_string().contains("DateTime"), "embedded mode is for trying things");
}

#[actix_web::test]
async fn the_page_to_try_queries_is_there_in_embedded_mode_only() {
    assert_eq!(send(TestRequest::get().uri("/")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(send(TestRequest::get().uri("/graphiql/start.js")).await.0, StatusCode::NOT_FOUND);
    let embedded = gateway(true).await;
    let (status, headers, _) = send_to(embedded.clone(), TestRequest::get().uri("/")).await;
    assert_eq!(status, StatusCode::OK);
    let policy = headers.get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("http"),
        "nothing comes from elsewhere: {policy}"
    );
}

/// Its page shows caught mail to whoever runs scripts on it, and works without a network.
#[actix_web::test]
async fn everything_on_the_page_to_try_queries_comes_from_here() {
    let app = init_service(application!(gateway(true).await)).await;
    let get = async |path: &str| {
        let request = TestRequest::get().uri(path).to_request();
        let response = actix_web::test::call_service(&app, request).await;
        let kind = response.headers().get(header::CONTENT_TYPE).unwrap().to_str().unwrap().to_owned();
        (response.status(), kind, actix_web::test::read_body(response).await)
    };
    let (_, _, page) = get("/").await;
    let page = String::from_utf8(page.to_vec()).unwrap();
    let sources: Vec<_> = [" src=\"", " href=\""].into_iter().flat_map(|mark| page.split(mark).skip(1)).collect();
    assert_eq!((sources.len(), page.contains("//")), (6, false), "{page}");
    for source in sources.iter().filter_map(|rest| rest.split('"').next()).filter(|source| *source != "data:,") {
        let (status, kind, body) = get(&format!("/{source}")).await;
        let expected = if source.contains(".css") { "text/css" } else { "text/javascript" };
        assert!(status == StatusCode::OK && kind.starts_with(expected) && !body.is_empty(), "{source}");
    }
    assert_eq!(get("/graphiql/other.js").await.0, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn c011_recipients_can_be_served_alone() {
    let alone = async || {
        let whole = gateway(false).await.into_inner();
        let whole = Arc::into_inner(whole).expect("nobody else has it");
        web::Data::new(Gateway { serves: Serves::Recipients, ..whole })
    };
    for (path, wanted) in [("/health/live", StatusCode::OK), ("/graphql", StatusCode::NOT_FOUND)] {
        assert_eq!(send_to(alone().await, TestRequest::get().uri(path)).await.0, wanted, "{path}");
    }
    // Both know the link's place, and neither knows this link.
    let link = || TestRequest::post().uri("/u/nobody");
    assert_eq!(send_to(alone().await, link()).await.0, send(link()).await.0);
    assert_eq!(send_to(alone().await, TestRequest::delete().uri("/u/nobody")).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[actix_web::test]
async fn c211_a_credential_that_does_not_verify_fails_the_request() {
    for credential in ["Bearer x", "Basic eDp5", "Bearer", "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer carillon_live_x"]
    {
        let (status, headers, body) = send(post(QUERY).insert_header((header::AUTHORIZATION, credential))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{credential}");
        assert_eq!(headers.get(header::WWW_AUTHENTICATE).unwrap(), "Bearer");
        assert_eq!(body["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    }
}

#[actix_web::test]
async fn request_ids_are_made_or_echoed_unless_they_could_forge_a_log() {
    let id = |headers: &header::HeaderMap| headers.get("x-request-id").unwrap().to_str().unwrap().to_owned();
    let (_, headers, _) = send(post(QUERY).insert_header(("x-request-id", "abc-DEF_1.2"))).await;
    assert_eq!(id(&headers), "abc-DEF_1.2");
    for bad in ["short", "with space in", "{\"level\":\"error\"}", &"x".repeat(65)] {
        let (_, headers, _) = send(post(QUERY).insert_header(("x-request-id", bad))).await;
        assert!(id(&headers) != bad && id(&headers).len() == 32);
    }
}

#[actix_web::test]
async fn c226_a_panic_tells_nothing() {
    let (status, _, body) = send(TestRequest::get().uri("/panic")).await;
    assert_eq!(
        (status, &body["errors"][0]["extensions"]["code"]),
        (StatusCode::INTERNAL_SERVER_ERROR, &json!("INTERNAL"))
    );
    assert!(!body.to_string().contains("secret"));
}

#[actix_web::test]
async fn who_waits_for_no_answer_is_counted_and_probes_are_not() {
    let gateway = gateway(false).await;
    let app = application!(gateway.clone()).route("/never", web::get().to(std::future::pending::<HttpResponse>));
    let app = init_service(app).await;
    let call = |path: &str| actix_web::dev::Service::call(&app, TestRequest::get().uri(path).to_request());
    assert!(call("/never").now_or_never().is_none(), "its client goes away");
    assert!(call("/nowhere").await.is_ok() && call("/health/live").await.is_ok());
    let requests = |status| gateway.process.ports.metrics.requests.get((Route::Other, labels::Method::Get, status));
    let counted = [Status::Dropped, Status::ClientError, Status::Successful].map(requests);
    assert_eq!(counted, [1, 1, 0]);
}

/// The status code and body of a readiness with these checks.
async fn ready(database: Result<(), &'static str>, redis: Result<(), &'static str>) -> (StatusCode, Value) {
    let check = |name, required, answer: Result<(), &'static str>| {
        let answer = answer.map_err(str::to_owned);
        Check { name, required, probe: Arc::new(move || Box::pin(std::future::ready(answer.clone()))) }
    };
    let health = Health::new(vec![check("database", true, database), check("redis", false, redis)]);
    let gateway = gateway(false).await.into_inner();
    let gateway = Arc::into_inner(gateway).expect("nobody else has it");
    let (status, _, body) =
        send_to(web::Data::new(Gateway { health, ..gateway }), TestRequest::get().uri("/health/ready")).await;
    (status, body)
}

#[actix_web::test]
async fn health_is_there_for_everybody_and_says_what_is_missing() {
    let (status, _, body) = send(TestRequest::get().uri("/health/live")).await;
    assert_eq!((status, body), (StatusCode::OK, json!({ "status": "ok" })));
    let (status, body) = ready(Ok(()), Ok(())).await;
    let checks = json!({ "database": "ok", "redis": "ok" });
    assert_eq!((status, body), (StatusCode::OK, json!({ "status": "ok", "checks": checks })));
    let (status, body) = ready(Ok(()), Err("no connection")).await;
    let checks = json!({ "database": "ok", "redis": "no connection" });
    assert_eq!((status, body), (StatusCode::OK, json!({ "status": "degraded", "checks": checks })));
    let (status, body) = ready(Err("away"), Ok(())).await;
    let checks = json!({ "database": "away", "redis": "ok" });
    assert_eq!((status, body), (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "down", "checks": checks })));
}
