//! What requests cost, and what becomes of those that nobody can pay for (C-234), through a served listener.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use carillon::http::{Gateway, HttpSettings};
use carillon_domain::settings::Settings;
use carillon_domain::tenancy::{RateSettings, TrackEvents, VerifiedAccess, enter_tenant};
use carillon_entities::ids::TenantId;
use carillon_entities::rows::contacts::contacts;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::served::Served;
use crate::setup::{Api, code};
use crate::socket::Hall;

/// Costs 51.
const PAGE: &str = "{ contacts { nodes { id } } }";
/// Costs 11.
const CREATE: &str = "mutation($input: CreateContactInput!) { createContact(input: $input) { contact { id } } }";
const RATES: RateSettings = RateSettings { tenant: 200, key: 120, user: 150 };

/// A server whose callers have few points.
struct Till {
    api: Api,
    served: Served,
    client: reqwest::Client,
    token: String,
}

/// An answer.
struct Told {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Told {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What is left in a bucket, and after how many seconds it is full.
    fn left(&self, bucket: &str) -> (u32, u32) {
        let item = self.header("ratelimit").split(", ").find(|item| item.starts_with(&format!("\"{bucket}\";")));
        let number = |name: &str| {
            let value = item.and_then(|item| item.split(';').find_map(|part| part.strip_prefix(name)));
            value.unwrap_or_else(|| panic!("{:?}", self.headers)).parse().unwrap()
        };
        (number("r="), number("t="))
    }
}

impl Till {
    async fn new() -> Self {
        Box::pin(Self::with(RATES)).await
    }

    async fn with(rates: RateSettings) -> Self {
        let api = Api::new().await;
        let served = Served::with(&api, poor(&api, rates)).await;
        let token = token(&api, &api.ada, api.tenant).await;
        Self { api, served, client: reqwest::Client::new(), token }
    }

    fn url(&self) -> String {
        format!("http://{}/graphql", self.served.address)
    }

    async fn ask_as(&self, token: &str, query: &str, variables: Value) -> Told {
        let request = self.client.post(self.url()).bearer_auth(token);
        sent(request.json(&json!({ "query": query, "variables": variables }))).await
    }

    async fn ask(&self, query: &str) -> Told {
        self.ask_as(&self.token, query, json!({})).await
    }
}

/// A gateway over an API's world whose callers have so many points.
fn poor(api: &Api, rates: RateSettings) -> web::Data<Gateway> {
    let mut ports = api.world.ports().clone();
    ports.settings = Arc::new(Settings { rates, ..(*ports.settings).clone() });
    carillon_tests::gateway::gateway(ports)
}

async fn token(api: &Api, access: &VerifiedAccess, tenant: TenantId) -> String {
    enter_tenant(api.world.ports(), api.world.desk(), access, tenant).await.unwrap().access_token
}

async fn sent(request: reqwest::RequestBuilder) -> Told {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Told { status, headers, body: response.json().await.unwrap() }
}

#[actix_web::test]
async fn c234_an_answer_tells_what_it_cost_and_what_is_left() {
    let till = Box::pin(Till::new()).await;
    let told = till.ask(PAGE).await;
    let (bucket, max) = ("user", 20_000);
    let cost =
        json!({ "requested": 51, "max": max, "bucket": bucket, "limit": 150, "remaining": 99, "restoreRate": 2.5 });
    assert_eq!((told.status, &told.body["extensions"]["cost"]), (200, &cost), "{}", told.body);
    let policy = r#""tenant";q=200;w=60;qu="cost", "user";q=150;w=60;qu="cost""#;
    assert_eq!(told.header("ratelimit-policy"), policy);
    assert_eq!((told.left("tenant"), told.left("user")), ((149, 16), (99, 21)));

    let told = till.ask("{ contact(id: \"contact_00000000000000000000000000\") { id } }").await;
    assert_eq!(told.body["extensions"]["cost"]["remaining"], 98, "what is not there was looked for: {}", told.body);
    let told = till.ask("{ rateLimit { cost buckets { kind limit remaining resetAt } } }").await;
    let limit = &told.body["data"]["rateLimit"];
    assert_eq!((&limit["cost"], limit["buckets"].as_array().map(Vec::len)), (&json!(0), Some(2)), "{limit}");
    assert_eq!(limit["buckets"][1]["kind"], "USER");
    assert_eq!(limit["buckets"][1]["remaining"], 98, "{limit}");
    let full: DateTime<Utc> = limit["buckets"][1]["resetAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(full - till.api.world.ports().now(), TimeDelta::milliseconds(20_800));

    let nobody = sent(till.client.post(till.url()).json(&json!({ "query": "{ serverTime }" }))).await;
    assert!(nobody.body.get("extensions").is_none() && nobody.header("ratelimit").is_empty());
    till.served.stop().await;
}

#[actix_web::test]
async fn c234_who_has_too_few_points_is_refused_before_anything_runs() {
    let till = Box::pin(Till::new()).await;
    for n in 0..13 {
        let input = json!({ "input": { "email": format!("a{n}@example.org") } });
        let told = till.ask_as(&till.token, CREATE, input).await;
        assert_eq!(told.status, 200, "{}", told.body);
    }
    let input = json!({ "input": { "email": "late@example.org" } });
    let told = till.ask_as(&till.token, CREATE, input.clone()).await;
    assert_eq!(
        (told.status, code(&told.body), told.header("retry-after")),
        (429, "RATE_LIMITED", "2"),
        "{}",
        told.body
    );
    let error = &told.body["errors"][0]["extensions"];
    assert_eq!((&error["bucket"], &error["retryAfter"]), (&json!("user"), &json!(2)), "{error}");
    assert!(told.body.get("data").is_none() && error["traceId"].is_string());
    assert_eq!((told.left("user").0, told.left("tenant").0), (7, 57), "nothing was taken from either");
    let contacts = "SELECT COUNT(*) AS amount FROM contacts";
    assert_eq!(till.api.world.number(contacts).await, 13, "and nothing was done");

    till.api.world.advance(TimeDelta::seconds(2));
    assert_eq!(till.ask_as(&till.token, CREATE, input).await.status, 200, "five points in two seconds");
    assert_eq!(till.api.world.number(contacts).await, 14);
    till.served.stop().await;
}

#[actix_web::test]
async fn c234_tenants_of_an_agency_and_its_keys_do_not_drain_each_other() {
    let till = Box::pin(Till::new()).await;
    let other = till.api.world.new_tenant(&till.api.ada, till.api.account, "Brot").await;
    let elsewhere = token(&till.api, &till.api.ada, other).await;
    let (_, key) = till.api.world.new_key(&till.api.ada, till.api.tenant).await;
    assert_eq!(till.ask(PAGE).await.status, 200);
    assert_eq!(till.ask(PAGE).await.status, 200);
    let told = till.ask(PAGE).await;
    assert_eq!((told.status, told.body["errors"][0]["extensions"]["bucket"].as_str()), (429, Some("user")));

    let told = till.ask_as(&key, PAGE, json!({})).await;
    assert_eq!(
        (told.status, told.left("key").0, told.left("tenant").0),
        (200, 69, 47),
        "a key has a bucket of its own"
    );
    let told = till.ask_as(&key, PAGE, json!({})).await;
    assert_eq!((told.status, told.body["errors"][0]["extensions"]["bucket"].as_str()), (429, Some("tenant")));

    let told = till.ask_as(&elsewhere, PAGE, json!({})).await;
    assert_eq!((told.status, told.left("user").0, told.left("tenant").0), (200, 99, 149), "the same user elsewhere");
    till.served.stop().await;
}

#[actix_web::test]
async fn c234_what_does_not_run_is_free() {
    let till = Box::pin(Till::new()).await;
    for (query, refused) in [
        ("{ contacts { nodes { id } } nothing }", "BAD_REQUEST"),
        ("{ contacts {", "BAD_REQUEST"),
        ("query A { serverTime } query B { contacts { nodes { id } } }", "BAD_REQUEST"),
        ("{ contacts(first: 100) { nodes { messages(first: 100) { nodes { id state } } } } }", "DOCUMENT_TOO_LARGE"),
    ] {
        let told = till.ask(query).await;
        assert_eq!(code(&told.body), refused, "{}", told.body);
        assert!(told.body.get("extensions").is_none(), "{}", told.body);
    }
    let mutation = "mutation { createBrand(input: { name: \"x\" }) { brand { id } } }";
    let url = reqwest::Url::parse_with_params(&till.url(), [("query", mutation)]).unwrap();
    assert_eq!(sent(till.client.get(url).bearer_auth(&till.token)).await.status, 405);
    let left = till.ask("{ __typename }").await;
    assert_eq!((left.left("tenant"), left.left("user")), ((200, 0), (150, 0)));
    till.served.stop().await;
}

#[actix_web::test]
async fn c234_what_is_not_answered_in_time_is_paid_for() {
    let settings = HttpSettings { request_timeout: Duration::from_millis(300), ..HttpSettings::default() };
    let api = Api::new().await;
    let contact = api.change("createContact", "contact { id version }", json!({ "email": "ada@example.org" })).await;
    let gateway = Arc::into_inner(poor(&api, RATES).into_inner()).unwrap();
    let gateway = web::Data::new(Gateway { settings, ..gateway });
    let served = Served::with(&api, gateway.clone()).await;
    let token = token(&api, &api.ada, api.tenant).await;
    let client = reqwest::Client::new();
    let request = client.post(format!("http://{}/graphql", served.address)).bearer_auth(token);
    // Somebody else has the contact for as long as it takes.
    let mut held = api.world.grant::<TrackEvents>(api.tenant).begin().await.unwrap();
    held.select::<contacts::Entity>().for_update().one().await.unwrap();
    let query = "mutation($input: ArchiveContactInput!) { archiveContact(input: $input) { contact { id } } }";
    let told = sent(request.json(&json!({ "query": query, "variables": { "input": contact["contact"] } }))).await;
    held.rollback().await.unwrap();
    assert_eq!((told.status, code(&told.body)), (503, "TIMEOUT"));
    let standings = gateway.process.desk.rates.standings(&api.owner.payers());
    let left: Vec<_> = standings.into_iter().flatten().map(|standing| standing.limit - standing.remaining).collect();
    assert_eq!(left, [11, 11], "it ran for as long as it could");
    served.stop().await;
}

#[actix_web::test]
async fn c221_a_flood_of_aliases_is_paid_for() {
    let till = Box::pin(Till::with(RateSettings { tenant: 5_000, ..RATES })).await;
    let flood =
        (0..20).map(|n| format!("a{n}: contacts(first: 100) {{ nodes {{ id }} }} ")).collect::<Vec<_>>().concat();
    let told = till.ask(&format!("{{ {flood} }}")).await;
    assert_eq!((told.status, &told.body["extensions"]["cost"]["requested"]), (200, &json!(2_020)));
    assert_eq!((told.left("user").0, told.left("tenant").0), (0, 2_980), "dearer than a bucket: all of it");
    assert_eq!(till.ask(&format!("{{ {flood} }}")).await.status, 429);
    till.served.stop().await;
}

/// The library runs what is asked for twice, and merges the answers: so it is paid for twice.
#[actix_web::test]
async fn what_is_asked_for_twice_runs_twice() {
    let api = Api::new().await;
    let page = "contacts(first: 1) { nodes { id } }";
    api.ask(&format!("{{ {page} }}"), json!({})).await;
    let (_, once) = api.world.statements_of(api.ask(&format!("{{ {page} }}"), json!({}))).await;
    let (_, twice) = api.world.statements_of(api.ask(&format!("{{ {page} {page} }}"), json!({}))).await;
    assert!(twice > once, "{twice} statements, {once} for one: fields that merge may count once now");
}

#[actix_web::test]
async fn c234_a_subscription_pays_when_it_starts() {
    const PROGRESS: &str = "subscription { messageProgress { total } }";
    let hall = Box::pin(Hall::poor(RateSettings { tenant: 1_000, key: 1_000, user: 1_000 })).await;
    let mut socket = hall.owner().await;
    socket.subscribe("1", "subscription { nothing }").await;
    assert_eq!(socket.error().await, "BAD_REQUEST");
    for id in ["1", "2"] {
        socket.subscribe(id, PROGRESS).await;
    }
    let mut told = [socket.hear().await, socket.hear().await].map(|heard| (heard["id"].clone(), heard["type"].clone()));
    told.sort_by_key(|(id, _)| id.to_string());
    assert_eq!(told, [(json!("1"), json!("next")), (json!("2"), json!("next"))]);
    socket.subscribe("3", PROGRESS).await;
    let heard = socket.hear().await;
    assert_eq!((&heard["type"], &heard["id"]), (&json!("error"), &json!("3")), "{heard}");
    assert_eq!(heard["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    hall.api.world.advance(TimeDelta::seconds(30));
    socket.subscribe("3", PROGRESS).await;
    assert_eq!(socket.hear().await["type"], "next", "five hundred points in half a minute");
    hall.served.stop().await;
}
