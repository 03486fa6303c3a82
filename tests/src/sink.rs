//! Where webhooks go in tests and benches: an HTTP server on loopback that keeps what it gets and answers as it is told.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carillon_domain::tenancy::{Role, TenantContext};
use carillon_domain::webhooks::{self, CreateEndpoint, MadeEndpoint, WebhookEventType};
use carillon_entities::ids::TenantId;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::World;
use crate::post::member;

/// What the sink does with a request that it has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Answers with a status and nothing else.
    Status(u16),
    /// Answers with a status line's rest, headers and all.
    Head(&'static str),
    /// Says nothing for longer than anybody waits.
    Silence,
    /// Closes the connection.
    Close,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What was signed.
    pub body: Vec<u8>,
}

impl Received {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The `webhook-id`.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// The body, read.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// True when one of its signatures was made with the secret (C-228), by an implementation of our own: npm's is asked in
    /// `tests/clients`.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let head = format!("{}.{}.", self.id(), self.header("webhook-timestamp"));
        let signed = [head.as_bytes(), &self.body].concat();
        let expected = format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed)));
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

#[derive(Debug, Default)]
struct Kept {
    received: Mutex<Vec<Received>>,
    /// What to do next; with nothing left it takes everything.
    replies: Mutex<VecDeque<Reply>>,
    /// What to do when nothing is left.
    otherwise: Mutex<Option<Reply>>,
    count: AtomicUsize,
    only_counts: bool,
}

/// A sink; it goes when it is dropped.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    kept: Arc<Kept>,
    _serving: AbortOnDropHandle<()>,
}

impl Sink {
    /// Keeps what it gets.
    pub async fn start() -> Self {
        Self::with(Kept::default()).await
    }

    /// Counts what it gets.
    pub async fn counting() -> Self {
        Self::with(Kept { only_counts: true, ..Kept::default() }).await
    }

    async fn with(kept: Kept) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, kept) = (listener.local_addr().unwrap(), Arc::new(kept));
        let shared = Arc::clone(&kept);
        let serving = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let _ = stream.set_nodelay(true);
                // Whoever breaks a connection off is the business of that connection.
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, kept, _serving: AbortOnDropHandle::new(serving) }
    }

    /// An address on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Answers so to the next requests, in this order.
    pub fn then(&self, replies: impl IntoIterator<Item = Reply>) {
        self.kept.replies.lock().unwrap().extend(replies);
    }

    /// Answers so whenever it was told nothing else.
    pub fn always(&self, reply: Reply) {
        *self.kept.otherwise.lock().unwrap() = Some(reply);
    }

    /// What it got.
    pub fn received(&self) -> Vec<Received> {
        self.kept.received.lock().unwrap().clone()
    }

    /// The types of what it got, in the order of the alphabet: there is no other.
    pub fn types(&self) -> Vec<String> {
        let mut types: Vec<_> =
            self.received().iter().map(|one| one.json()["type"].as_str().unwrap().to_owned()).collect();
        types.sort_unstable();
        types
    }

    /// How many requests it got.
    pub fn count(&self) -> usize {
        self.kept.count.load(Ordering::SeqCst)
    }
}

/// Takes the requests of a connection one after the other.
async fn serve(mut stream: TcpStream, kept: Arc<Kept>) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(8192);
    loop {
        let Some(received) = next(&mut stream, &mut buffer, kept.only_counts).await? else { return Ok(()) };
        kept.count.fetch_add(1, Ordering::SeqCst);
        if !kept.only_counts {
            kept.received.lock().unwrap().push(received);
        }
        let told = kept.replies.lock().unwrap().pop_front();
        let reply = told.or_else(|| kept.otherwise.lock().unwrap().clone()).unwrap_or(Reply::Status(204));
        match reply {
            Reply::Status(204) => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?,
            Reply::Status(status) => {
                let answer = format!("HTTP/1.1 {status} So\r\nContent-Length: 2\r\n\r\nso");
                stream.write_all(answer.as_bytes()).await?;
            }
            Reply::Head(head) => {
                stream.write_all(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await?;
            }
            Reply::Silence => tokio::time::sleep(Duration::from_hours(1)).await,
            Reply::Close => return Ok(()),
        }
    }
}

/// Reads one request; none at the end of the connection. Of one that is only counted the headers are not read.
async fn next(stream: &mut TcpStream, buffer: &mut Vec<u8>, only_counts: bool) -> std::io::Result<Option<Received>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let lower = head.to_ascii_lowercase();
            let length = lower.split_once("content-length: ").map_or("0", |(_, rest)| rest);
            let whole = end + 4 + length.split("\r\n").next().unwrap().parse::<usize>().unwrap();
            if buffer.len() >= whole {
                let body = buffer[end + 4..whole].to_vec();
                buffer.drain(..whole);
                let lines = head.split("\r\n").skip(1).filter(|_| !only_counts);
                let fields = lines.filter_map(|line| line.split_once(": "));
                let headers = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
                return Ok(Some(Received { headers, body }));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Makes an endpoint, as a tenant's admin.
pub async fn listen(world: &World, tenant: TenantId, url: &str, event_types: &[WebhookEventType]) -> MadeEndpoint {
    let admin: TenantContext = member(world, tenant, Role::Admin).await;
    let grant = admin.grant().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let (url, description) = (url.to_owned(), String::new());
    let command = CreateEndpoint { url, description, event_types: event_types.to_vec() };
    let made = webhooks::create_endpoint(&grant, &mut tx, world.ports(), &command).await.unwrap();
    tx.commit().await.unwrap();
    made
}
