//! The way in for bounces and complaints: a small SMTP and LMTP listener that takes mail for addresses that were signed here and
//! no other (C-54, C-55).
//!
//! It stands behind a mail server that takes the domain's mail from the world, or is its MX. A mail is answered for when what it
//! reports is committed, so whoever sent it keeps it until then. Nothing that a client does takes memory or time without bound,
//! and nobody is answered by mail (C-57).

mod content;
mod seats;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use carillon_domain::ports::Ports;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use seats::Seats;
use session::Session;

/// What a listener may cost.
#[derive(Debug, Clone)]
pub struct InboundSettings {
    /// Connections at the same time; more get 421.
    pub max_connections: usize,
    /// Connections of one client at the same time, so that none keeps all others out; more get 421.
    pub max_per_client: usize,
    /// Octets of a mail; a larger one is refused. Far fewer are kept of each.
    pub max_size: usize,
    /// How long a client may be silent.
    pub silence: Duration,
    /// How long a connection may last.
    pub longest: Duration,
    /// What it calls itself.
    pub name: String,
}

impl InboundSettings {
    /// The usual limits.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            max_connections: 64,
            max_per_client: 32,
            max_size: 25_000_000,
            silence: Duration::from_mins(1),
            longest: Duration::from_mins(15),
            name: name.into(),
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    settings: InboundSettings,
    ports: Ports,
    stop: CancellationToken,
}

/// A running listener; dropping it closes the listener, and connections end behind the mail that they are at.
#[derive(Debug)]
pub struct Inbound {
    addr: SocketAddr,
    stop: CancellationToken,
    slots: Arc<Semaphore>,
    max_connections: u32,
    task: JoinHandle<()>,
}

impl Inbound {
    /// Listens on an address (port 0 for a free one); needs a tokio runtime.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(bind: SocketAddr, ports: Ports, settings: InboundSettings) -> std::io::Result<Self> {
        let listener = TcpListener::bind(bind).await?;
        let addr = listener.local_addr()?;
        let stop = CancellationToken::new();
        let max_connections = u32::try_from(settings.max_connections).unwrap_or(u32::MAX);
        let slots = Arc::new(Semaphore::new(settings.max_connections));
        let shared = Arc::new(Shared { settings, ports, stop: stop.clone() });
        let listening = stop.clone().run_until_cancelled_owned(listen(listener, shared, Arc::clone(&slots)));
        let task = tokio::spawn(async move {
            let _ended: Option<()> = listening.await;
        });
        Ok(Self { addr, stop, slots, max_connections, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes no more connections, and lets each end behind the mail that it is at, for at most `drain` (C-185).
    pub async fn stop(self, drain: Duration) {
        self.stop.cancel();
        let ended = self.slots.acquire_many(self.max_connections);
        if tokio::time::timeout(drain, ended).await.is_err() {
            tracing::warn!("the drain time is over; mails that were not answered for come again");
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>, slots: Arc<Semaphore>) {
    let seats = Seats::new(shared.settings.max_per_client);
    loop {
        let Ok((mut tcp, peer)) = listener.accept().await else {
            // Out of descriptors: let some connections end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let places = (Arc::clone(&slots).try_acquire_owned().ok(), seats.take(peer.ip()));
        let (Some(slot), Some(seat)) = places else {
            let _ = tcp.try_write(b"421 4.3.2 Too many connections\r\n");
            let _ = tcp.shutdown().await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let longest = shared.settings.longest;
            // A client that breaks off is everyday life for a listener; there is nobody to tell.
            let _ = tokio::time::timeout(longest, Session::new(tcp, shared).run()).await;
            drop((seat, slot));
        });
    }
}
