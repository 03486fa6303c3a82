//! What operators see: a real server is asked real things, and its metrics tell them, and nothing about anybody.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web;
use carillon::app::{App, AppError};
use carillon::config::{Config, Source};
use carillon::http::{self, Check, Health, Probe};
use carillon_domain::dispatch::due_in;
use carillon_domain::metrics::labels::Work;
use carillon_domain::metrics::{Due, Metrics};
use carillon_jobs::catcher::{Action, Behaviour, Rule, Whom};
use carillon_tests::gateway::gateway;
use carillon_tests::post::Post;
use chrono::TimeDelta;
use reqwest::{Client, StatusCode};
use tokio_util::task::AbortOnDropHandle;

/// A server on a port of its own, until it is dropped.
struct Served {
    url: String,
    _task: AbortOnDropHandle<()>,
}

impl Served {
    fn by(serve: impl FnOnce(TcpListener) -> Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = serve(listener);
        Self { url, _task: AbortOnDropHandle::new(tokio::spawn(async move { server.await.unwrap() })) }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = Client::new().get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// A scrape: its text, and the value of each series.
    async fn scrape(&self) -> (String, BTreeMap<String, f64>) {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, StatusCode::OK);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let series = samples.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        let series = series.collect();
        (text, series)
    }
}

/// A deferral, a mailbox that is not there, what the gate refuses because of that, and mail that arrives.
async fn send(post: &Post) {
    let (ada, bob) = (post.person("ada@example.org").await, post.person("bob@example.org").await);
    post.catcher.set_behaviour(rule(Action::Defer, Some(1)));
    post.send(&[post.intent("hello", ada)]).await;
    post.settle().await;
    post.catcher.set_behaviour(rule(Action::Reject, None));
    post.send(&[post.intent("one", bob)]).await;
    post.settle().await;
    post.catcher.set_behaviour(Behaviour::default());
    post.send(&[post.intent("two", bob), post.intent("again", ada)]).await;
    post.settle().await;
}

fn rule(action: Action, first: Option<u32>) -> Behaviour {
    Behaviour { rules: vec![Rule { whom: Whom::Everyone, first, action }] }
}

/// Questions that are answered, refused, and not counted at all.
async fn ask(public: &Served) {
    let graphql = || Client::new().post(format!("{}/graphql", public.url));
    let query = r#"{"query":"{ __typename }"}"#;
    let json = ("content-type", "application/json");
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(graphql().header(json.0, json.1).body(query)).await, 200);
    assert_eq!(status(graphql().header(json.0, json.1).header("accept", "text/html").body(query)).await, 406);
    assert_eq!(status(graphql().header("content-type", "text/plain").body(query)).await, 415);
    assert_eq!(public.get("/u/quexalot").await.0.as_u16() / 100, 4);
    assert_eq!(public.get("/health/ready").await.0, StatusCode::OK);
    assert_eq!(public.get("/metrics").await.0, StatusCode::NOT_FOUND, "the public port has no metrics");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_tells_what_happened_and_nothing_about_anybody() {
    let post = Post::new().await;
    send(&post).await;
    let gateway = gateway(post.ports().clone());
    let public = Served::by(|listener| http::serve(gateway.clone(), listener, Duration::from_secs(1)).unwrap());
    let watched = Served::by(|listener| http::watch(gateway.clone(), listener).unwrap());
    ask(&public).await;
    let (text, series) = watched.scrape().await;

    let expected = [
        (r#"carillon_http_requests_total{method="post",route="graphql",status="2xx"}"#, 1.0),
        (r#"carillon_http_requests_total{method="post",route="graphql",status="4xx"}"#, 2.0),
        (r#"carillon_http_requests_total{method="get",route="links",status="4xx"}"#, 1.0),
        (r#"carillon_http_request_seconds_count{route="graphql"}"#, 3.0),
        (r#"carillon_graphql_operations_total{kind="query",outcome="ok"}"#, 1.0),
        (r#"carillon_graphql_operations_total{kind="unknown",outcome="not_acceptable"}"#, 1.0),
        (r#"carillon_graphql_operations_total{kind="unknown",outcome="unsupported_media_type"}"#, 1.0),
        (r#"carillon_graphql_operations_total{kind="query",outcome="internal"}"#, 0.0),
        (r#"carillon_messages_total{lane="bulk",outcome="sent"}"#, 2.0),
        (r#"carillon_messages_total{lane="bulk",outcome="queued"}"#, 1.0),
        (r#"carillon_messages_total{lane="bulk",outcome="bounced"}"#, 1.0),
        (r#"carillon_messages_total{lane="bulk",outcome="refused"}"#, 1.0),
        (r#"carillon_gate_decisions_total{verdict="deny"}"#, 1.0),
        (r#"carillon_relay_attempts_total{lane="bulk",outcome="accepted"}"#, 2.0),
        (r#"carillon_relay_attempts_total{lane="bulk",outcome="deferred"}"#, 1.0),
        (r#"carillon_relay_attempts_total{lane="bulk",outcome="rejected"}"#, 1.0),
        (r#"carillon_relay_seconds_count{lane="bulk"}"#, 4.0),
        (r#"carillon_check_ok{check="database"}"#, 1.0),
        (r#"carillon_tickets_total{lane="imports",outcome="failed"}"#, 0.0),
        ("carillon_sockets", 0.0),
    ];
    for (name, value) in expected {
        assert_eq!(series.get(name), Some(&value), "{name} in\n{text}");
    }
    let of =
        |start: &'static str| series.iter().filter(move |(name, _)| name.starts_with(start)).map(|(_, value)| *value);
    let sum = |start: &'static str| of(start).sum::<f64>();
    // What was asked of the public port, without the probe: three operations, a link, and metrics that are not there.
    assert!((sum("carillon_http_requests_total{") - 5.0).abs() < 0.5, "{text}");
    assert!((sum("carillon_gate_refusals_total{") - 1.0).abs() < 0.5, "{text}");
    assert!(sum("carillon_database_connections{") >= 1.0 && sum("process_resident_memory_bytes") > 1e6, "{text}");
    assert!(!text.contains("carillon_due{"), "nothing is handed out here");
    assert!(series.len() < 1_000, "{} series", series.len());

    let tenant = post.tenant.to_string();
    let id = tenant.rsplit('_').next().unwrap().to_owned();
    let uuid = post.tenant.0.to_string();
    for personal in ["ada", "bob", "example", "quexalot", "127.0.0.1", "tenant=", &tenant, &id, &uuid] {
        assert!(!text.contains(personal), "{personal} is in\n{text}");
    }
    assert_eq!(watched.get("/graphql?query=%7B__typename%7D").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_due_is_measured_by_lane() {
    let post = Post::new().await;
    let ada = post.person("ada@example.org").await;
    let due = async |lane| due_in(post.ports(), lane).await.unwrap();
    assert_eq!(due(Work::Bulk).await, Due::default());
    let intents: Vec<_> = (0..3).map(|n| post.intent(&format!("hello-{n}"), ada)).collect();
    post.send(&intents).await;
    post.advance(TimeDelta::seconds(30));
    let before = post.ports().wall.statements();
    let three = due(Work::Bulk).await;
    let cost = post.ports().wall.statements() - before;
    assert_eq!(three.rows, 3);
    assert!((30..31).contains(&three.oldest.num_seconds()), "{three:?}");
    for lane in [Work::Transactional, Work::Workflows, Work::Imports] {
        assert_eq!(due(lane).await, Due::default(), "{lane}");
    }
    let beside = post.beside("Torten").await;
    let bob = beside.person("bob@example.org").await;
    let intents: Vec<_> = (0..40).map(|n| beside.intent(&format!("hello-{n}"), bob)).collect();
    beside.send(&intents).await;
    let before = post.ports().wall.statements();
    assert_eq!(due(Work::Bulk).await.rows, 43, "of all tenants");
    assert_eq!(post.ports().wall.statements() - before, cost, "L5");
    post.execute("UPDATE tenants SET suspended_at = created_at WHERE name = 'Torten'").await;
    assert_eq!(due(Work::Bulk).await.rows, 3, "a suspended tenant's wait for its resumption");
    post.execute("UPDATE tenants SET suspended_at = NULL WHERE name = 'Torten'").await;
    post.settle().await;
    assert_eq!(due(Work::Bulk).await, Due::default());
}

/// An embedded process that answers metrics where `metrics` says.
async fn embedded(folder: &tempfile::TempDir, metrics: SocketAddr) -> App {
    let (data, metrics) = (folder.path().to_str().unwrap(), metrics.to_string());
    let settings = [
        ("CARILLON_DATA", data),
        ("CARILLON_BIND", "127.0.0.1:0"),
        ("CARILLON_METRICS_BIND", &metrics),
        ("CARILLON_METRICS_TENANTS", "true"),
    ];
    App::build(Config::new(&Source::of(settings).unwrap()).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_is_an_error_at_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (folder, address) = (tempfile::tempdir().unwrap(), taken.local_addr().unwrap());
    let app = embedded(&folder, address).await;
    for ended in [app.run().await, app.work().await] {
        let error = ended.unwrap_err();
        assert!(matches!(error, AppError::Io { what: "CARILLON_METRICS_BIND", .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_answers_probes_where_its_metrics_are() {
    let (folder, any) = (tempfile::tempdir().unwrap(), "127.0.0.1:0".parse().unwrap());
    let app = embedded(&folder, any).await;
    let watched = Served::by(|listener| app.watch_on(listener).unwrap());
    assert_eq!(watched.get("/health/live").await, (StatusCode::OK, r#"{"status":"ok"}"#.to_owned()));
    let (status, body) = watched.get("/health/ready").await;
    assert_eq!(status, StatusCode::OK);
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&told["status"], &told["checks"]["database"]), (&"ok".into(), &"ok".into()), "{body}");
    let (_, series) = watched.scrape().await;
    assert!(series["process_start_time_seconds"] > 1.7e9);

    let away: Probe = Arc::new(|| Box::pin(std::future::ready(Err("away".to_owned()))));
    let check = |name, required| Check { name, required, probe: Arc::clone(&away) };
    let mut other = Arc::into_inner(gateway(app.ports().clone()).into_inner()).unwrap();
    other.health = Health::new(vec![check("database", true), check("redis", false)]);
    let gateway = web::Data::new(other);
    let watched = Served::by(|listener| http::watch(gateway.clone(), listener).unwrap());
    assert_eq!(watched.get("/health/live").await.0, StatusCode::OK, "a restart would help nobody");
    let (status, body) = watched.get("/health/ready").await;
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && body.contains("away"), "{body}");
    let (_, series) = watched.scrape().await;
    assert_eq!(series.get(r#"carillon_check_ok{check="redis"}"#), Some(&0.0));
}

/// The words of a text that may be metrics of ours.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("carillon_") || word.starts_with("process_"))
}

#[test]
fn alerts_and_panels_name_metrics_that_are_there_and_each_alert_has_its_heading() {
    let chart = |name: &str| std::fs::read_to_string(format!("{}/../helm/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (alerts, dashboard, runbook) = (chart("files/alerts.yaml"), chart("files/dashboard.json"), chart("RUNBOOK.md"));
    let metrics = Metrics::default();
    let mut found = 0;
    for word in named(&alerts).chain(named(&dashboard)) {
        let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        let is_there = [Some(word), bare].into_iter().flatten().any(|name| metrics.names().contains(&name));
        assert!(is_there, "{word} is no metric");
        found += 1;
    }
    assert!(found > 30, "only {found} were found");
    serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();

    let headings: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 8, "{names:?}");
    assert_eq!(names, headings, "the runbook has a paragraph of each alert, in their order");
    for name in names {
        let link = format!("runbook_url: $RUNBOOK#{}", name.to_lowercase());
        assert!(alerts.contains(&link), "{name} does not say {link}");
    }
}
