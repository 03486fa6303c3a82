//! `idle_subscriptions`: the resident memory of the real executable while 10,000 subscriptions idle in it, over real sockets on
//! loopback; the reference is what it may be.
//!
//! A socket holds as many subscriptions as one may, so there are hundreds of sockets; a few tenants share them. What idles
//! must cost the database next to nothing, so its transactions are counted meanwhile, too.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::task::AbortOnDropHandle;

use super::figure::{Figure, Size};
use super::gateway::Gateway;
use super::set::Set;

const SUBSCRIPTIONS: u32 = 10_000;
/// What a socket may have.
const EACH: u32 = 20;
const TENANTS: u32 = 10;
const MOST_MIB: f64 = 300.0;
/// Everybody waits so long until nothing is looked at more often than need be, and so long again while it is counted: a
/// heartbeat and two looks of each thing that is watched.
const IDLE: Duration = Duration::from_secs(30);
/// Where nothing is judged.
const IDLE_BRIEFLY: Duration = Duration::from_secs(3);
/// Of each tenant two things are looked at in a quarter of a minute, and the credentials of all every three seconds.
const TRANSACTIONS: f64 = 10.0;
/// The longest until all are told something.
const SUBSCRIBE: Duration = Duration::from_mins(5);

const WATCHED: [&str; 2] = [
    "subscription { messageEvents { cursor events { id kind at messageId reason } } }",
    "subscription { messageProgress { total byState { state messages } } }",
];

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// Measures it.
pub async fn run(size: Size) -> Result<Figure> {
    let mut set = Set::build("idle").await?;
    let mut tokens = Vec::new();
    for n in 0..TENANTS {
        let cast = set.stage.cast(&format!("idle{n}"), 0).await?;
        tokens.push(cast.token);
    }
    set.settle().await?;
    let mut figure = Figure::at_most("idle_subscriptions", "MiB", 1.0);
    let sockets = size.of(SUBSCRIPTIONS / EACH);
    let idle = if size.is_judged() { IDLE } else { IDLE_BRIEFLY };
    for _ in 0..size.runs() {
        let server = Gateway::start(&set).await?;
        let empty = server.resident_mib()?;
        let began = Instant::now();
        let listening = tokio::time::timeout(SUBSCRIBE, all(server.address, sockets, &tokens)).await;
        let listening = listening.context("not everybody was told something")??;
        let took = began.elapsed().as_secs_f64();
        tokio::time::sleep(idle).await;
        let before = transactions(&mut set).await?;
        tokio::time::sleep(idle).await;
        let a_second = (transactions(&mut set).await? - before) / idle.as_secs_f64();
        ensure!(listening.iter().all(|socket| !socket.is_finished()), "a socket ended");
        let resident = server.resident_mib()?;
        let count = sockets * EACH;
        figure.note(&format!(
            "{count} subscriptions over {sockets} sockets within {took:.1} s: {empty:.0} MiB before, {resident:.0} MiB idle"
        ));
        figure.limit("transactions a second while nothing happens", a_second, TRANSACTIONS);
        figure.measured(resident, MOST_MIB);
        drop(listening);
        server.stop().await?;
    }
    set.strike().await?;
    Ok(figure)
}

/// Transactions of this database so far, by whomever.
async fn transactions(set: &mut Set) -> Result<f64> {
    // A session tells what it did a second after at the latest, if it goes on.
    let count = "SELECT (xact_commit + xact_rollback)::float8 FROM pg_stat_database WHERE datname = current_database()";
    sqlx::raw_sql("SELECT pg_stat_clear_snapshot()").execute(&mut set.owner).await?;
    Ok(sqlx::query_scalar(count).fetch_one(&mut set.owner).await?)
}

/// Opens so many sockets for tenants in turn, each with all the subscriptions it may have; returns when each was told something.
async fn all(address: SocketAddr, sockets: u32, tokens: &[String]) -> Result<Vec<AbortOnDropHandle<()>>> {
    let opening = tokens.iter().cycle().take(usize::try_from(sockets)?);
    let listening = futures::stream::iter(opening).map(|token| listen(address, token)).buffered(16);
    listening.collect::<Vec<_>>().await.into_iter().collect()
}

/// A socket that goes on answering pings until what is returned is dropped.
async fn listen(address: SocketAddr, token: &str) -> Result<AbortOnDropHandle<()>> {
    let mut request = format!("ws://{address}/graphql").into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
    let mut socket = connect_async(request).await?.0;
    let init = json!({ "type": "connection_init", "payload": { "authorization": format!("Bearer {token}") } });
    say(&mut socket, &init).await?;
    ensure!(hear(&mut socket).await?["type"] == "connection_ack", "not let in");
    for (n, query) in (0..EACH).zip(WATCHED.iter().cycle()) {
        say(&mut socket, &json!({ "id": n.to_string(), "type": "subscribe", "payload": { "query": query } })).await?;
    }
    for _ in 0..EACH {
        let heard = hear(&mut socket).await?;
        ensure!(heard["type"] == "next" && heard["payload"]["errors"].is_null(), "{heard}");
    }
    Ok(AbortOnDropHandle::new(tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} })))
}

async fn say(socket: &mut Socket, message: &Json) -> Result<()> {
    Ok(socket.send(Message::text(message.to_string())).await?)
}

async fn hear(socket: &mut Socket) -> Result<Json> {
    loop {
        match socket.next().await.context("the socket was closed")?? {
            Message::Text(text) => return Ok(serde_json::from_str(&text)?),
            Message::Ping(_) | Message::Pong(_) => {}
            other => anyhow::bail!("{other:?}"),
        }
    }
}
