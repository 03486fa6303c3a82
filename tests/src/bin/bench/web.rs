//! The client of the web figures, and their reference: a bare actix handler over sqlx.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context as _, Result, ensure};
use carillon_domain::ids::ContactId;
use serde::Serialize;
use sqlx::PgPool;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

const CONNECTIONS: usize = 32;

/// One kept connection; it knows as much of HTTP as two servers of ours need, so that the client costs little.
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request and reads the body of its answer, which must be 200.
    pub async fn ask(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.ask_for(request, 200).await
    }

    /// Sends a request and reads the body of its answer, which must be this.
    pub async fn ask_for(&mut self, request: &[u8], status: u16) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let head = loop {
            self.read().await?;
            if let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.answer[..head])?;
        let answered = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
        ensure!(answered == Some(status), "the answer is {}", text.lines().next().unwrap_or_default());
        let length = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .context("an answer without its length")?
            .1;
        let end = head + length.trim().parse::<usize>()?;
        while self.answer.len() < end {
            self.read().await?;
        }
        Ok(&self.answer[head..end])
    }

    async fn read(&mut self) -> Result<()> {
        ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the server closed the connection");
        Ok(())
    }
}

/// Asks `count` times over all connections, through the requests in turn; returns the seconds it took.
pub async fn load(address: SocketAddr, requests: &Arc<Vec<Vec<u8>>>, count: u32) -> Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(address).await?);
    }
    let count = usize::try_from(count)?;
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let (requests, next) = (Arc::clone(requests), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return anyhow::Ok(());
                    }
                    let body = connection.ask(&requests[number % requests.len()]).await?;
                    // An answer without anybody in it would be fast and worth nothing.
                    ensure!(body.len() > 100, "an empty answer: {}", String::from_utf8_lossy(body));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// What the bare handlers share.
#[derive(Clone)]
pub struct Bare {
    /// Past row security.
    pub pool: PgPool,
    /// Whose contacts.
    pub tenant: Uuid,
}

#[derive(Serialize)]
struct Data<T> {
    data: T,
}

#[derive(Serialize)]
struct One {
    contact: Option<Row>,
}

#[derive(Serialize)]
struct Page {
    contacts: Nodes,
}

#[derive(Serialize)]
struct Nodes {
    nodes: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    state: String,
}

type Columns = (Uuid, Option<String>, Option<String>, Option<String>, String);

impl From<Columns> for Row {
    fn from((id, email, first_name, last_name, state): Columns) -> Self {
        let id = ContactId(id).to_string();
        Self { id, email, first_name, last_name, state: state.to_ascii_uppercase() }
    }
}

/// Serves the two handlers.
pub fn serve(bare: Bare, listener: TcpListener) -> Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(bare.clone()))
            .route("/contacts/{id}", web::get().to(by_id))
            .route("/behind/{id}", web::get().to(page))
    });
    Ok(server.disable_signals().keep_alive(Duration::from_secs(75)).shutdown_timeout(1).listen(listener)?.run())
}

async fn by_id(bare: web::Data<Bare>, id: web::Path<String>) -> HttpResponse {
    let Ok(id) = id.parse::<ContactId>() else { return HttpResponse::BadRequest().finish() };
    let sql = "SELECT id, email, first_name, last_name, state FROM contacts WHERE tenant_id = $1 AND id = $2";
    let row = sqlx::query_as::<_, Columns>(sql).bind(bare.tenant).bind(id.0).fetch_optional(&bare.pool).await;
    match row {
        Ok(row) => HttpResponse::Ok().json(Data { data: One { contact: row.map(Row::from) } }),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

async fn page(bare: web::Data<Bare>, id: web::Path<String>) -> HttpResponse {
    let Ok(id) = id.parse::<ContactId>() else { return HttpResponse::BadRequest().finish() };
    let sql = "SELECT id, email, first_name, last_name, state FROM contacts \
               WHERE tenant_id = $1 AND id > $2 AND state <> 'deleted' ORDER BY id LIMIT 50";
    let rows = sqlx::query_as::<_, Columns>(sql).bind(bare.tenant).bind(id.0).fetch_all(&bare.pool).await;
    match rows {
        Ok(rows) => {
            let nodes = rows.into_iter().map(Row::from).collect();
            HttpResponse::Ok().json(Data { data: Page { contacts: Nodes { nodes } } })
        }
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
