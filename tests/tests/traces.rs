//! Traces, as a collector gets them: a request, and the ticket and the batch that come of it, hang together; so do a socket and
//! what runs over it; a caller decides nothing of ours, nobody is told of, and a collector that is away changes nothing.
//!
//! A binary of its own, with one test: who listens to spans belongs to the process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::web;
use carillon::commands::logs;
use carillon::http::{self, Gateway};
use carillon::traces::{self, Export};
use carillon_domain::metrics::labels::SpanEnd;
use carillon_domain::tenancy::Role;
use carillon_domain::trace::PARTS;
use carillon_entities::ids::ContactId;
use carillon_jobs::engine::{Engine, Workers};
use carillon_jobs::queue::{Backend, MemoryQueue};
use carillon_tests::collector::{Collector, attribute};
use carillon_tests::gateway::gateway;
use carillon_tests::post::{self, Post};
use futures::{SinkExt as _, StreamExt as _};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// What a caller calls its own trace and span.
const CALLER: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
const SENT: &str = "SELECT COUNT(*) AS amount FROM messages WHERE state = 'sent'";
const QUERY: &str = "mutation Spring($input: SendMessagesInput!) { \
                     sendMessages(input: $input) { results { userErrors { code } } userErrors { code } } }";

/// Where the log goes.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Captured {
    /// Lines that say this, of a span with this value.
    fn lines(&self, message: &str, name: &str, value: &str) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["fields"]["message"] == message && line["span"][name] == value).count()
    }
}

/// A gateway that listens.
struct Served {
    url: String,
    token: String,
}

impl Served {
    async fn by(post: &Post, gateway: web::Data<Gateway>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/graphql", listener.local_addr().unwrap());
        tokio::spawn(http::serve(gateway, listener, Duration::from_secs(1)).unwrap());
        Self { url, token: post::token(post, post.tenant, Role::Marketer).await }
    }

    /// An operation with these headers, which must be answered.
    async fn ask(&self, query: &str, variables: Value, headers: &[(&str, &str)]) -> Value {
        let request = reqwest::Client::new().post(&self.url).bearer_auth(&self.token);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.json(&json!({ "query": query, "variables": variables })).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }
}

fn intent(post: &Post, key: &str, contact: ContactId) -> Value {
    json!({ "messages": [{
        "idempotencyKey": key, "class": "MARKETING", "topicId": post.topic.topic.to_string(),
        "senderId": post.sender.to_string(), "templateVersionId": post.marketing.to_string(),
        "to": { "contactId": contact.to_string() }, "variables": { "who": "Quexalot" },
    }] })
}

fn named<'a>(spans: &'a [Span], name: &str) -> Option<&'a Span> {
    spans.iter().find(|span| span.name == name)
}

/// The span that another is a part of.
fn parent<'a>(spans: &'a [Span], of: &Span) -> &'a Span {
    let parent = spans.iter().find(|span| span.span_id == of.parent_span_id && span.trace_id == of.trace_id);
    parent.unwrap_or_else(|| panic!("{} has no parent", of.name))
}

fn is_parent(spans: &[Span], of: &Span, name: &str, kind: SpanKind) {
    let parent = parent(spans, of);
    assert_eq!((parent.name.as_str(), parent.kind), (name, kind as i32), "of {}", of.name);
}

/// One message over the API, sent by the engine: the request, the ticket and the batch are found, and find each other.
async fn connected(post: &Post, collector: &Collector, log: &Captured) {
    let served = Served::by(post, gateway(post.ports().clone())).await;
    let contact = post.person("quexalot@example.org").await;
    let traceparent = format!("00-{}-{}-01", CALLER.0, CALLER.1);
    let headers =
        [("traceparent", traceparent.as_str()), ("x-request-id", "asked-by-us-1"), ("baggage", "who=quexalot")];
    let answer = served.ask(QUERY, json!({ "input": intent(post, "one", contact) }), &headers).await;
    assert_eq!(answer["data"]["sendMessages"]["results"], json!([{ "userErrors": [] }]), "{answer}");
    post.until(SENT, 1).await;
    let ended = |spans: &[Span]| {
        named(spans, "deliver").is_some_and(|batch| spans.iter().any(|span| span.span_id == batch.parent_span_id))
    };
    let spans = collector.until("a batch in its ticket", ended).await;

    let request = named(&spans, "POST /graphql").unwrap();
    let told = ["http.request.method", "http.route", "http.response.status_code", "graphql.operation.type"];
    assert_eq!(told.map(|name| attribute(request, name)), ["POST", "/graphql", "200", "mutation"]);
    assert_eq!(attribute(request, "graphql.operation.name"), "Spring");
    let cost = answer["extensions"]["cost"]["requested"].to_string();
    assert_eq!([attribute(request, "cost"), attribute(request, "outcome")], [cost, "ok".to_owned()]);
    assert_eq!(attribute(request, "request.id"), "asked-by-us-1");
    assert_eq!((request.kind, request.parent_span_id.len()), (SpanKind::Server as i32, 0));
    let caller: Vec<_> =
        request.links.iter().map(|link| (hex::encode(&link.trace_id), hex::encode(&link.span_id))).collect();
    assert_eq!(caller, [(CALLER.0.to_owned(), CALLER.1.to_owned())], "the caller is a link");
    assert_ne!(hex::encode(&request.trace_id), CALLER.0, "and names no trace of ours");

    let transaction = named(&spans, "transaction").unwrap();
    is_parent(&spans, transaction, "POST /graphql", SpanKind::Server);
    assert_eq!(attribute(transaction, "operation"), "sendMessages");
    let batch = named(&spans, "deliver").unwrap();
    let links: Vec<_> = batch.links.iter().map(|link| (&link.trace_id, &link.span_id)).collect();
    assert_eq!(links, [(&transaction.trace_id, &transaction.span_id)], "a batch links to what queued its messages");
    assert_ne!(batch.trace_id, request.trace_id, "and is nobody's child but its ticket's");
    assert_eq!([attribute(batch, "lane"), attribute(batch, "messages")], ["bulk", "1"]);
    for step in ["gate", "hand_over"] {
        is_parent(&spans, named(&spans, step).unwrap(), "deliver", SpanKind::Internal);
    }
    is_parent(&spans, batch, "ticket", SpanKind::Consumer);
    let ticket = parent(&spans, batch);
    is_parent(&spans, ticket, "dispatch", SpanKind::Producer);
    assert_eq!([attribute(ticket, "outcome"), attribute(ticket, "tenant.id")], ["worked", &post.tenant.to_string()]);

    assert_eq!(log.lines("answered", "id", "asked-by-us-1"), 1);
    assert_eq!(log.lines("answered", "trace_id", &hex::encode(&request.trace_id)), 1, "a line finds its trace");
    let batches = collector.batches();
    assert!(format!("{batches:?}").contains("carillon-test"), "the service has its name");
    let shown = format!("{batches:?}").to_lowercase();
    assert!(!shown.contains("quexalot"), "C-199: {shown}");
}

/// A caller is believed only where the operator says so, and only what is well-formed.
async fn callers(post: &Post, collector: &Collector) {
    let mut believing = Arc::into_inner(gateway(post.ports().clone()).into_inner()).unwrap();
    believing.settings.continues_traces = true;
    let served = Served::by(post, web::Data::new(believing)).await;
    let (traced, untraced) = (format!("00-{}-{}-01", CALLER.0, CALLER.1), format!("00-{}-{}-00", CALLER.0, CALLER.1));
    let long = format!("{traced}-{}", "0".repeat(2_000));
    let query = "query Asked { serverTime }";
    served.ask(query, json!({}), &[("x-request-id", "not-to-be-exported"), ("traceparent", &untraced)]).await;
    for hostile in ["00-quexalot-quexalot-01", "", &long, &traced.to_uppercase()] {
        served.ask(query, json!({}), &[("x-request-id", "hostile-caller"), ("traceparent", hostile)]).await;
    }
    served
        .ask(
            query,
            json!({}),
            &[("x-request-id", "hostile-caller"), ("traceparent", &traced), ("traceparent", &traced)],
        )
        .await;
    served.ask(query, json!({}), &[("x-request-id", "believed-caller"), ("traceparent", &traced)]).await;

    let of = |spans: &[Span], id: &str| -> Vec<Span> {
        spans.iter().filter(|span| attribute(span, "request.id") == id).cloned().collect()
    };
    let spans = collector.until("a believed caller", |spans| !of(spans, "believed-caller").is_empty()).await;
    let believed = of(&spans, "believed-caller").remove(0);
    assert_eq!(
        (hex::encode(&believed.trace_id), hex::encode(&believed.parent_span_id)),
        (CALLER.0.to_owned(), CALLER.1.to_owned())
    );
    assert!(believed.links.is_empty(), "a parent, and no link");
    assert!(of(&spans, "not-to-be-exported").is_empty(), "who is gone on with decides that nothing is exported");
    let hostile = of(&spans, "hostile-caller");
    assert_eq!(hostile.len(), 5);
    for span in hostile {
        assert!(
            hex::encode(&span.trace_id) != CALLER.0 && span.parent_span_id.is_empty() && span.links.is_empty(),
            "{span:?}"
        );
    }
}

/// A socket that was opened by a request of this id, and one who came in.
async fn opened(served: &Served, id: &'static str) -> WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>> {
    let mut request = served.url.replace("http", "ws").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
    request.headers_mut().insert("x-request-id", HeaderValue::from_static(id));
    let mut socket = connect_async(request).await.unwrap().0;
    let init = json!({ "type": "connection_init", "payload": { "authorization": format!("Bearer {}", served.token) } });
    socket.send(Message::text(init.to_string())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), r#"{"type":"connection_ack"}"#);
    socket
}

/// What runs over a socket is a trace each, with a link to the socket's, and is told as soon as it is over.
async fn sockets(post: &Post, collector: &Collector, log: &Captured) {
    let served = Served::by(post, gateway(post.ports().clone())).await;
    let mut socket = opened(&served, "socket-of-ours-1").await;
    for (id, query) in
        [("wrong", "subscription Wrong { nothing }"), ("right", "subscription Watching { messageProgress { total } }")]
    {
        let asked = json!({ "id": id, "type": "subscribe", "payload": { "query": query } });
        socket.send(Message::text(asked.to_string())).await.unwrap();
        // Of either an answer: an error, and what is.
        let told: Value = serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
        assert_eq!(told["id"], id, "{told}");
    }
    socket.send(Message::text(json!({ "id": "right", "type": "complete" }).to_string())).await.unwrap();
    let of = |spans: &[Span], name: &str| -> Vec<Span> {
        let is_of = |span: &&Span| span.name == name && attribute(span, "request.id") == "socket-of-ours-1";
        spans.iter().filter(is_of).cloned().collect()
    };
    let spans = collector.until("two subscriptions", |spans| of(spans, "subscription").len() == 2).await;
    assert!(of(&spans, "GET /graphql").is_empty(), "the socket is still open");
    let told = ["graphql.operation.type", "graphql.operation.name", "cost", "outcome"];
    let running = of(&spans, "subscription");
    let running = running.iter().find(|span| attribute(span, "outcome") == "ok").unwrap();
    assert_eq!(told.map(|name| attribute(running, name)), ["subscription", "Watching", "500", "ok"]);
    assert!(
        spans.iter().any(|span| span.name == "begin" && span.parent_span_id == running.span_id),
        "a look is its part"
    );

    socket.close(None).await.unwrap();
    let spans = collector.until("a socket", |spans| !of(spans, "GET /graphql").is_empty()).await;
    let socket = of(&spans, "GET /graphql").remove(0);
    assert_eq!(attribute(&socket, "http.response.status_code"), "101");
    let subscriptions = of(&spans, "subscription");
    assert!(subscriptions.iter().any(|span| attribute(span, "outcome") == "bad_request"), "{subscriptions:?}");
    for span in subscriptions {
        let links: Vec<_> = span.links.iter().map(|link| (&link.trace_id, &link.span_id)).collect();
        assert_eq!(links, [(&socket.trace_id, &socket.span_id)]);
        assert_eq!((span.kind, span.parent_span_id.len()), (SpanKind::Server as i32, 0));
        assert_ne!(span.trace_id, socket.trace_id, "a trace of its own");
    }
    // The line is written before the last span of the socket ends.
    assert_eq!(log.lines("a socket ended", "id", "socket-of-ours-1"), 1, "and its lines have the id of its request");
}

/// A fault of ours is one in the trace as well, without its words.
async fn faults(post: &Post, collector: &Collector) {
    let served = Served::by(post, gateway(post.ports().clone())).await;
    let answer = reqwest::get(served.url.replace("/graphql", "/nowhere/quexalot")).await.unwrap();
    assert_eq!(answer.status(), 404);
    let spans = collector.until("a request for nothing", |spans| named(spans, "GET unmatched").is_some()).await;
    let missing = named(&spans, "GET unmatched").unwrap();
    assert_eq!(attribute(missing, "http.response.status_code"), "404");
    assert!(missing.status.as_ref().is_none_or(|status| status.code() == StatusCode::Unset), "the client's fault");
    assert!(!format!("{spans:?}").contains("quexalot"), "C-199: the path is not told");
}

/// Whether the collector never answers or is not there: mail goes, requests are answered, and what is lost is counted.
async fn away(post: &Post, collector: &Collector, export: Arc<Export>) {
    let served = Served::by(post, gateway(post.ports().clone())).await;
    let contact = post.person("bob@example.org").await;
    collector.hang();
    // More than may wait, and than may be on its way.
    for _ in 0..6_000 {
        let _span = tracing::info_span!(target: PARTS, "burst");
    }
    assert!(traces::count(SpanEnd::Dropped) >= 3_000, "{} dropped", traces::count(SpanEnd::Dropped));
    let answer = served.ask(QUERY, json!({ "input": intent(post, "two", contact) }), &[]).await;
    assert_eq!(answer["data"]["sendMessages"]["results"], json!([{ "userErrors": [] }]), "{answer}");
    post.until(SENT, 2).await;

    collector.stop().await;
    let answer = served.ask(QUERY, json!({ "input": intent(post, "three", contact) }), &[]).await;
    assert_eq!(answer["data"]["sendMessages"]["results"], json!([{ "userErrors": [] }]), "{answer}");
    post.until(SENT, 3).await;
    let ended = tokio::task::spawn_blocking(move || {
        let since = Instant::now();
        export.end();
        since.elapsed()
    });
    let took = ended.await.unwrap();
    assert!(took < Duration::from_secs(8), "the process waited for {took:?}");
    assert!(traces::count(SpanEnd::Failed) > 0 && traces::count(SpanEnd::Exported) > 0);
    assert_eq!(post.catcher.totals().stored, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_followed_from_its_request_to_its_batch_and_a_collector_that_is_away_changes_nothing() {
    let (collector, log) = (Collector::start(), Captured::default());
    let export = Arc::new(Export::start(&collector.settings(), &tokio::runtime::Handle::current()).unwrap());
    let writer = log.clone();
    logs::start_on("info", false, move || writer.clone(), Some(&export)).unwrap();
    let post = Post::new().await;
    let backend = Backend::Memory(MemoryQueue::new());
    let workers = Workers { messages: 2, imports: 1, workflows: 1, webhooks: 1, campaigns: 1 };
    let engine = Engine::start(post.worker("one").await, &backend, workers);
    connected(&post, &collector, &log).await;
    callers(&post, &collector).await;
    Box::pin(sockets(&post, &collector, &log)).await;
    faults(&post, &collector).await;
    away(&post, &collector, export).await;
    engine.stop(Duration::from_secs(20)).await;
}
