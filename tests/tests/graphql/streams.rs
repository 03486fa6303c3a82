//! Subscriptions as server-sent events: what is told, who may, how long, how many, and how a stream ends before its time.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use carillon_domain::tenancy::{AccessTokens, RateSettings};
use futures::{Stream, StreamExt as _};
use reqwest::{Client, Method, RequestBuilder, Response, Url, header};
use serde_json::{Value, json};

use crate::socket::Hall;
use crate::subscriptions::{MESSAGES, SHORT, workflow};

/// What never comes fails by this.
const PATIENCE: Duration = Duration::from_mins(1);
const EVENTS: &str = "text/event-stream";

impl Hall {
    /// A request of somebody's for events.
    pub fn request(&self, method: Method, token: Option<&str>, query: &str) -> RequestBuilder {
        let mut url = Url::parse(&format!("http://{}/graphql", self.served.address)).unwrap();
        let is_get = method == Method::GET;
        if is_get {
            url.query_pairs_mut().append_pair("query", query);
        }
        let request = Client::new().request(method, url).header(header::ACCEPT, EVENTS);
        let request = if is_get { request } else { request.json(&json!({ "query": query })) };
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn events_of(&self, token: &str, query: &str) -> Events {
        Events::of(self.request(Method::POST, Some(token), query).send().await.unwrap())
    }

    /// A stream of the owner's.
    async fn events(&self, query: &str) -> Events {
        self.events_of(&self.token, query).await
    }

    /// The status and code with which a request for events is refused.
    async fn no_events(&self, token: Option<&str>) -> (u16, Value) {
        let response = self.request(Method::POST, token, MESSAGES).send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        (status, body["errors"][0]["extensions"]["code"].clone())
    }
}

/// What comes, cut at its empty lines.
pub struct Events {
    chunks: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>>>>,
    text: String,
    /// The id of the last event that had one, as clients keep it.
    pub last_id: Option<String>,
}

impl Events {
    pub fn of(response: Response) -> Self {
        let kind = response.headers().get(header::CONTENT_TYPE).unwrap().to_str().unwrap().to_owned();
        assert_eq!((response.status().as_u16(), kind.as_str()), (200, "text/event-stream; charset=utf-8"));
        Self { chunks: Box::pin(response.bytes_stream()), text: String::new(), last_id: None }
    }

    /// The next block; none after the last.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                let rest = rest.to_owned();
                self.text = rest;
                return Some(block);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.chunks.next()).await.expect("in time")?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    /// The next event, past the comments; none after the last.
    async fn event(&mut self) -> Option<(String, String)> {
        loop {
            let block = self.block().await?;
            let event = match block.strip_prefix("id: ").and_then(|rest| rest.split_once('\n')) {
                Some((id, event)) => {
                    self.last_id = Some(id.to_owned());
                    event
                }
                None => block.as_str(),
            };
            if let Some(rest) = event.strip_prefix("event: ") {
                let (name, data) = rest.split_once("\ndata:").unwrap();
                return Some((name.to_owned(), data.trim_start().to_owned()));
            }
            assert!(block.starts_with(':'), "{block}");
        }
    }

    /// What is told next.
    pub async fn next(&mut self) -> Value {
        match self.event().await {
            Some((name, data)) if name == "next" => serde_json::from_str(&data).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// It is complete, and nothing comes after.
    pub async fn is_complete(&mut self) {
        assert_eq!(self.event().await, Some(("complete".to_owned(), String::new())));
        assert_eq!(self.block().await, None);
    }

    /// The last comment of a stream that ended before its time.
    async fn reason(&mut self) -> String {
        let ending = async {
            let mut last = String::new();
            while let Some(block) = self.block().await {
                assert!(!block.contains("complete"), "{block}");
                last = block;
            }
            last
        };
        // Heartbeats go on for ever.
        tokio::time::timeout(PATIENCE, ending).await.expect("it ends in time")
    }
}

#[actix_web::test]
async fn what_changes_is_told_as_events_until_it_is_over() {
    let hall = Box::pin(Hall::new()).await;
    let id = hall.api.row(1).await.workflow;
    let mut events = hall.events(&workflow(&id)).await;
    let told = |answer: Value| answer["data"]["workflowProgress"]["state"].clone();
    assert_eq!(told(events.next().await), "LIVE");
    for (name, state) in [("pauseWorkflow", "PAUSED"), ("archiveWorkflow", "ARCHIVED")] {
        hall.api.change(name, "workflow { id }", json!({ "id": id })).await;
        hall.gateway.live.tell();
        assert_eq!(told(events.next().await), state, "{name}");
    }
    events.is_complete().await;
    hall.is_left().await;
    // It changes nothing, so it may be asked for by GET as well.
    let response = hall.request(Method::GET, Some(&hall.token), MESSAGES).send().await.unwrap();
    assert_eq!(Events::of(response).next().await["data"]["messageProgress"]["total"], 1);
    hall.served.stop().await;
}

#[actix_web::test]
async fn documents_are_judged_as_everywhere_and_faults_are_events() {
    let hall = Box::pin(Hall::new()).await;
    let aliases = (0..40).map(|n| format!("a{n}: total")).collect::<Vec<_>>().join(" ");
    let cases = [
        ("subscription {", "BAD_REQUEST"),
        ("subscription { nothing }", "BAD_REQUEST"),
        ("subscription { messageProgress { total } b: messageProgress { total } }", "BAD_REQUEST"),
        (&format!("subscription {{ messageProgress {{ {aliases} }} }}"), "DOCUMENT_TOO_LARGE"),
    ];
    for (query, code) in cases {
        let mut events = hall.events(query).await;
        let told = events.next().await;
        assert_eq!(told["errors"][0]["extensions"]["code"], code, "{query}: {told}");
        assert!(told.get("data").is_none() && told["errors"][0]["extensions"]["traceId"].is_string(), "{told}");
        events.is_complete().await;
    }
    // A query is one event and its end.
    let mut events = hall.events("{ tenant { name } }").await;
    assert_eq!(events.next().await["data"], json!({ "tenant": { "name": "Torten" } }));
    events.is_complete().await;
    // Who takes JSON as well gets events for a subscription alone, and who takes nothing else no subscription.
    let accept = async |accept: &'static str, query: &'static str| {
        let mut request = hall.request(Method::POST, Some(&hall.token), query).build().unwrap();
        request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static(accept));
        let response = Client::new().execute(request).await.unwrap();
        response.headers().get(header::CONTENT_TYPE).unwrap().to_str().unwrap().to_owned()
    };
    let both = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed";
    assert!(accept(both, MESSAGES).await.starts_with(EVENTS));
    assert!(accept(both, "{ serverTime }").await.starts_with("application/graphql-response+json"));
    assert!(accept("application/json", MESSAGES).await.starts_with("application/json"));
    hall.served.stop().await;
}

#[actix_web::test]
async fn c234_a_stream_that_does_not_run_is_free() {
    let hall = Box::pin(Hall::poor(RateSettings { tenant: 1_000, key: 1_000, user: 1_000 })).await;
    // Each costs five hundred.
    for _ in 0..3 {
        let mut events = hall.events("subscription { messageProgress { nothing } }").await;
        assert_eq!(events.next().await["errors"][0]["extensions"]["code"], "BAD_REQUEST");
        events.is_complete().await;
    }
    let standings = hall.gateway.process.desk.rates.standings(&hall.api.owner.payers());
    assert!(standings.into_iter().flatten().all(|standing| standing.remaining == standing.limit), "{standings:?}");
    hall.served.stop().await;
}

#[actix_web::test]
async fn c223_a_mutation_is_no_get_whatever_is_accepted() {
    let hall = Box::pin(Hall::new()).await;
    let mutation = "mutation { signOut(input: {}) { userErrors { code } } }";
    let response = hall.request(Method::GET, Some(&hall.token), mutation).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 405);
    let mut form = hall.request(Method::POST, Some(&hall.token), MESSAGES).build().unwrap();
    form.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    assert_eq!(Client::new().execute(form).await.unwrap().status().as_u16(), 415);
    hall.served.stop().await;
}

#[actix_web::test]
async fn c224_a_stream_is_for_who_has_a_credential_and_ends_with_it() {
    let hall = Box::pin(Hall::new()).await;
    let unauthenticated = (401, json!("UNAUTHENTICATED"));
    assert_eq!(hall.no_events(None).await, unauthenticated);
    assert_eq!(hall.no_events(Some("x")).await, unauthenticated);
    let mut events = hall.events(MESSAGES).await;
    assert_eq!(events.next().await["data"]["messageProgress"]["total"], 0);
    hall.api.world.advance(AccessTokens::LIFETIME);
    let reason = events.reason().await;
    assert!(reason.starts_with(": ") && reason.contains("ended"), "{reason}");
    assert_eq!(hall.no_events(Some(&hall.token)).await, unauthenticated);
    hall.served.stop().await;
}

#[actix_web::test]
async fn c224_streams_are_counted_with_sockets() {
    let hall = Box::pin(Hall::with(|sockets| (sockets.process_max, sockets.tenant_max) = (3, 2))).await;
    let _socket = hall.owner().await;
    let mut events = hall.events(MESSAGES).await;
    assert_eq!(events.next().await["data"]["messageProgress"]["total"], 0);
    assert_eq!(hall.no_events(Some(&hall.token)).await, (429, json!("TOO_MANY")));
    let _other = hall.open().await;
    assert_eq!(hall.no_events(Some(&hall.token)).await, (503, json!("UNAVAILABLE")));
    hall.served.lives().await;
    hall.served.stop().await;
}

#[actix_web::test]
async fn c185_streams_end_before_the_process_does() {
    let hall = Box::pin(Hall::new()).await;
    let mut events = hall.events(MESSAGES).await;
    assert_eq!(events.next().await["data"]["messageProgress"]["total"], 0);
    hall.gateway.sockets.drain();
    assert!(events.reason().await.contains("going away"));
    assert_eq!(hall.no_events(Some(&hall.token)).await, (503, json!("UNAVAILABLE")));
    hall.served.stop().await;
}

#[actix_web::test]
async fn a_stream_has_heartbeats_and_leaves_nothing_behind() {
    let hall = Box::pin(Hall::with(|sockets| sockets.heartbeat = SHORT)).await;
    let mut events = hall.events(MESSAGES).await;
    let mut beats = 0;
    while beats < 4 {
        beats += usize::from(events.block().await.unwrap() == ":");
    }
    assert_eq!(hall.gateway.sockets.count(), 1);
    drop(events);
    hall.is_left().await;
    hall.served.stop().await;
}
