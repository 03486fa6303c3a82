//! `graphql_by_id` and `graphql_page`: the whole gateway in this process, against a bare actix handler over sqlx that
//! answers the same JSON from the same database.
//!
//! Both have as many threads and as many connections to the database, and the same client asks both.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::web::Data;
use anyhow::{Context as _, Result, ensure};
use carillon::graphql::scope::Process;
use carillon::http::Gateway;
use carillon_domain::files::Files;
use carillon_tests::stage::Cast;
use serde_json::{Value as Json, json};
use sqlx::postgres::PgPoolOptions;

use super::figure::{Figure, Size};
use super::set::Set;
use super::web::{self, Bare, Connection, load};

const PEOPLE: u32 = 10_000;
const BY_ID: &str = "query ($id: ID!) { contact(id: $id) { id email firstName lastName state } }";
const PAGE: &str =
    "query ($after: String) { contacts(first: 50, after: $after) { nodes { id email firstName lastName state } } }";
const WALK: &str =
    "query ($after: String) { contacts(first: 50, after: $after) { nodes { id } pageInfo { endCursor } } }";
/// Requests of one run.
const LOOK_UPS: u32 = 20_000;
const PAGES: u32 = 4_000;

/// Measures those that are asked for.
pub async fn run(size: Size, asked: &[&str]) -> Result<Vec<Figure>> {
    let mut set = Set::build("graphql").await?;
    let people = usize::try_from(size.of(PEOPLE).max(200))?;
    let cast = set.stage.cast("web", people).await?;
    set.settle().await?;
    let servers = Servers::start(&set, &cast).await?;
    let mut figures = Vec::new();
    for name in asked {
        let (requests, figure) = match *name {
            "graphql_by_id" => (by_id(&set, &cast)?, (Figure::new("graphql_by_id", "requests/s", 0.33), LOOK_UPS)),
            _ => (servers.pages(&set, &cast).await?, (Figure::new("graphql_page", "requests/s", 0.4), PAGES)),
        };
        let (figure, count) = figure;
        figures.push(servers.measure(figure, &requests, size, size.of(count)).await?);
    }
    servers.stop().await;
    set.strike().await?;
    Ok(figures)
}

/// The same questions to both, one by one.
struct Requests {
    ours: Arc<Vec<Vec<u8>>>,
    reference: Arc<Vec<Vec<u8>>>,
}

/// Both servers.
struct Servers {
    ours: (SocketAddr, ServerHandle),
    reference: (SocketAddr, ServerHandle),
    pool: sqlx::PgPool,
}

impl Servers {
    async fn start(set: &Set, cast: &Cast) -> Result<Self> {
        let process =
            Process { ports: set.stage.ports.clone(), desk: set.stage.desk()?, files: Files::open("memory:")? };
        let gateway = Data::new(Gateway::new(process));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let at = listener.local_addr()?;
        let ours = (at, spawned(carillon::http::serve(gateway, listener, Duration::from_secs(1))?));
        let pool = PgPoolOptions::new().max_connections(16).test_before_acquire(false);
        let pool = pool.connect(&set.stage.owner_url).await?;
        let bare = Bare { pool: pool.clone(), tenant: cast.tenant.0 };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let at = listener.local_addr()?;
        let reference = (at, spawned(web::serve(bare, listener)?));
        Ok(Self { ours, reference, pool })
    }

    async fn stop(self) {
        tokio::join!(self.ours.1.stop(false), self.reference.1.stop(false), self.pool.close());
    }

    /// A request per page; the cursors are those the gateway gives.
    async fn pages(&self, set: &Set, cast: &Cast) -> Result<Requests> {
        let token = set.stage.token(cast.tenant)?;
        let (mut ours, mut reference) = (Vec::new(), Vec::new());
        let mut connection = Connection::open(self.ours.0).await?;
        let mut after = Json::Null;
        let mut seen = 0;
        loop {
            let answer = connection.ask(&post(&token, WALK, &json!({ "after": after }))).await?;
            let answer: Json = serde_json::from_slice(answer)?;
            let page = &answer["data"]["contacts"];
            let nodes = page["nodes"].as_array().with_context(|| format!("no page: {answer}"))?;
            seen += nodes.len();
            if seen >= cast.people.len() || nodes.is_empty() {
                break;
            }
            let last = nodes.last().and_then(|node| node["id"].as_str()).context("a contact without id")?;
            after = page["pageInfo"]["endCursor"].clone();
            ours.push(post(&token, PAGE, &json!({ "after": after })));
            reference.push(get(&format!("/behind/{last}")));
        }
        Ok(Requests { ours: Arc::new(ours), reference: Arc::new(reference) })
    }

    async fn measure(&self, mut figure: Figure, requests: &Requests, size: Size, count: u32) -> Result<Figure> {
        self.compare(requests).await?;
        // Plans, pools and caches are warm on both sides.
        let warm = (count / 10).max(32);
        load(self.ours.0, &requests.ours, warm).await?;
        load(self.reference.0, &requests.reference, warm).await?;
        for _ in 0..size.runs() {
            let ours = load(self.ours.0, &requests.ours, count).await?;
            let reference = load(self.reference.0, &requests.reference, count).await?;
            figure.add(count, ours, reference);
        }
        Ok(figure)
    }

    /// Both answer the same, or the figure would compare nothing.
    async fn compare(&self, requests: &Requests) -> Result<()> {
        let mut ours = Connection::open(self.ours.0).await?;
        let mut reference = Connection::open(self.reference.0).await?;
        for (left, right) in requests.ours.iter().zip(requests.reference.iter()).take(3) {
            let left: Json = serde_json::from_slice(ours.ask(left).await?)?;
            let right: Json = serde_json::from_slice(reference.ask(right).await?)?;
            // Ours tells beside it what it cost.
            ensure!(left["data"] == right["data"], "ours is {left}, the reference {right}");
        }
        Ok(())
    }
}

/// A request per person.
fn by_id(set: &Set, cast: &Cast) -> Result<Requests> {
    let token = set.stage.token(cast.tenant)?;
    let ids: Vec<String> = cast.people.iter().map(|(id, _)| id.to_string()).collect();
    let ours = ids.iter().map(|id| post(&token, BY_ID, &json!({ "id": id }))).collect();
    let reference = ids.iter().map(|id| get(&format!("/contacts/{id}"))).collect();
    Ok(Requests { ours: Arc::new(ours), reference: Arc::new(reference) })
}

fn spawned(server: Server) -> ServerHandle {
    let handle = server.handle();
    tokio::spawn(server);
    handle
}

/// A document and its variables as a request of somebody's.
pub fn post(token: &str, query: &str, variables: &Json) -> Vec<u8> {
    let body = json!({ "query": query, "variables": variables }).to_string();
    format!(
        "POST /graphql HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes()
}
