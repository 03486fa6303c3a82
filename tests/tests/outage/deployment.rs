//! A gateway and an engine as production has them, in this process, over services that come and go.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use carillon::app::App;
use carillon::config::{Config, Source};
use carillon_domain::settings::Settings;
use carillon_jobs::catcher::{Action, Behaviour, Catcher, CatcherSettings, Moment, Rule, Whom};
use carillon_jobs::engine::Engine;
use carillon_tests::database::connect;
use carillon_tests::stage::{Cast, Stage};
use carillon_tests::{Backend, WorldOptions};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use serde_json::{Value as Json, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::task::AbortOnDropHandle;

use super::eventually;
use super::server::Server;

const SEND: &str =
    "mutation ($input: SendMessagesInput!) { sendMessages(input: $input) { results { message { id } } } }";

static TURN: Mutex<()> = Mutex::const_new(());

/// Everything that runs.
pub struct Deployment {
    pub stage: Stage,
    pub cast: Cast,
    pub sink: Catcher,
    pub redis: Server,
    pub app: App,
    url: String,
    client: reqwest::Client,
    _gateway: AbortOnDropHandle<()>,
    _files: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// The status and body of an answer.
pub type Answer = (u16, String);

impl Deployment {
    /// Starts all but the engine; nothing where there is no Postgres and Redis to test with.
    pub async fn start(name: &str, people: usize) -> Option<Self> {
        if WorldOptions::default().backend != Backend::Postgres {
            return None;
        }
        let turn = TURN.lock().await;
        let redis = Server::start().await?;
        let sink = Catcher::start("127.0.0.1:0".parse().unwrap(), CatcherSettings::default()).await.unwrap();
        let settings = Settings::new("https://outage.carillon.example");
        let stage = Stage::build(&format!("outage_{name}_{}", std::process::id()), settings).await.unwrap();
        let files = tempfile::tempdir().unwrap();
        let cast = stage.cast(name, people).await.unwrap();
        let app = App::build(config(&stage, &sink, &redis, files.path())).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = app.serve_on(listener).unwrap();
        let gateway = AbortOnDropHandle::new(tokio::spawn(async move { server.await.unwrap() }));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(40)).build().unwrap();
        Some(Self { stage, cast, sink, redis, app, url, client, _gateway: gateway, _files: files, _turn: turn })
    }

    pub fn engine(&self) -> Engine {
        self.app.start_engine().unwrap()
    }

    /// How long the sink takes over each mail.
    pub fn slow_sink(&self, millis: u64) {
        let action = Action::Delay { at: Moment::Content, millis };
        self.sink.set_behaviour(Behaviour { rules: vec![Rule { whom: Whom::Everyone, first: None, action }] });
    }

    /// The sink does not answer mail to somebody.
    pub fn stall(&self, person: usize) {
        let whom = Whom::Address { address: self.cast.people[person].1.clone() };
        let action = Action::Delay { at: Moment::Content, millis: 600_000 };
        self.sink.set_behaviour(Behaviour { rules: vec![Rule { whom, first: None, action }] });
    }

    /// What readiness says.
    pub async fn ready(&self) -> (u16, Json) {
        let answer = self.client.get(format!("{}/health/ready", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Waits until readiness says so.
    pub async fn is(&self, code: u16, status: &str) {
        eventually(status, async || {
            let (answered, report) = self.ready().await;
            (answered == code && report["status"] == status).then_some(())
        })
        .await;
    }

    /// Queues a mail to each of these people; the answer is GraphQL's.
    pub async fn send(&self, key: &str, people: std::ops::Range<usize>) -> Json {
        let intent = |number: usize| {
            json!({
                "idempotencyKey": format!("{key}-{number}"),
                "class": "MARKETING",
                "topicId": self.cast.topic.to_string(),
                "senderId": self.cast.sender.to_string(),
                "templateVersionId": self.cast.version.to_string(),
                "to": { "contactId": self.cast.people[number].0.to_string() },
            })
        };
        let messages: Vec<Json> = people.map(intent).collect();
        let body = json!({ "query": SEND, "variables": { "input": { "messages": messages } } });
        let token = self.stage.token(self.cast.tenant).unwrap();
        let post = self.client.post(format!("{}/graphql", self.url)).bearer_auth(token).json(&body);
        post.send().await.unwrap().json().await.unwrap()
    }

    /// The same, and it must be accepted.
    pub async fn accepted(&self, key: &str, people: std::ops::Range<usize>) {
        let answer = self.send(key, people.clone()).await;
        let results = answer["data"]["sendMessages"]["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        let accepted = results.iter().filter(|result| result["message"]["id"].is_string()).count();
        assert_eq!(accepted, people.len(), "{answer}");
    }

    /// Waits until the sink has so many mails.
    pub async fn arrived(&self, mails: u64) {
        let all = self.sink.stored_at_least(mails);
        let all = tokio::time::timeout(Duration::from_mins(1), all).await;
        assert!(all.is_ok(), "{} of {mails} mails arrived", self.sink.totals().stored);
    }

    /// Every message came to this state, and none is being worked on.
    pub async fn all(&self, state: &str, amount: i64) {
        let sql = format!("SELECT COUNT(*) AS amount FROM messages WHERE state = '{state}'");
        eventually(&format!("{amount} {state}"), async || (self.number(&sql).await == amount).then_some(())).await;
        assert_eq!(
            self.number("SELECT COUNT(*) AS amount FROM attempts WHERE state IN ('cleared', 'started')").await,
            0
        );
        assert_eq!(self.sink.totals().repeated, 0);
    }

    /// A number that the owner reads.
    pub async fn number(&self, sql: &str) -> i64 {
        let owner = connect(&self.stage.owner_url).await.unwrap();
        let row = owner.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap().unwrap();
        owner.close().await.unwrap();
        row.try_get("", "amount").unwrap()
    }

    /// A POST to the one-click link of the newest mail to somebody.
    pub async fn one_click(&self, person: usize) -> Answer {
        let mail = self.sink.latest(None, Some(&self.cast.people[person].1), 1).pop().expect("a mail to them");
        let parsed = mail_parser::MessageParser::default().parse(&mail.raw[..]).unwrap();
        let header = parsed.header_raw("List-Unsubscribe").unwrap().replace(char::is_whitespace, "");
        let path = header.split_once("/u/").unwrap().1.split('>').next().unwrap();
        let url = format!("{}/u/{path}", self.url);
        let answer = self.client.post(url).body("List-Unsubscribe=One-Click").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Puts everything away.
    pub async fn end(self, engine: Engine) {
        engine.stop(Duration::from_secs(20)).await;
        self.app.ports().wall.close().await;
        self.stage.strike().await.unwrap();
    }
}

fn config(stage: &Stage, sink: &Catcher, redis: &Server, files: &std::path::Path) -> Config {
    let own = [
        ("REDIS_URL", redis.url()),
        ("SMTP_URL", format!("smtp://{}?tls=none", sink.addr())),
        ("CARILLON_BLOBS", format!("file:{}", files.display())),
        ("CARILLON_WORKERS", "2".to_owned()),
        ("DATABASE_POOL", "8".to_owned()),
    ];
    let given = stage.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    Config::new(&Source::of(given.chain(own)).unwrap()).unwrap()
}

/// Runs a sub-command of the script that started the services; false where it did not start this Postgres.
pub fn services(what: &str) -> bool {
    if std::env::var("CARILLON_TEST_PG_DATA").is_err() {
        eprintln!("skipped: this Postgres is not ours to stop");
        return false;
    }
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("services.sh");
    let status = Command::new("bash").arg(script).arg(what).stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "services.sh {what}");
    true
}
