//! What Redis carries besides tickets: signals between processes and the limits they share, with twins within the process.
//!
//! Nothing waits for Redis here and nothing is lost with it: listeners of the same process always hear a signal, other
//! processes hear it when Redis is there, and whoever hears nothing looks for work each second (L4).

pub(crate) mod connect;
mod limits;
mod relay;
mod signal;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use carillon_domain::doorbell::Doorbell;
use carillon_domain::entropy::Entropy;
use carillon_domain::ids::TenantId;
use carillon_domain::messaging::Lane;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub use self::connect::{InvalidRedisUrl, RedisObstacle, probe};
pub use self::limits::Limits;
pub use self::signal::Signal;

/// Signals a slow listener may be behind by before it misses some.
const BEHIND_MAX: usize = 1_024;
/// Signals that may wait for Redis; more are not sent to other processes.
const OUTGOING_MAX: usize = 1_024;

/// Signals between the listeners of all processes; cloning is cheap and shares them.
#[derive(Debug, Clone)]
pub struct Signals {
    local: broadcast::Sender<Signal>,
    remote: Option<Arc<Remote>>,
}

/// The way to other processes. Its tasks end with the last clone.
#[derive(Debug)]
struct Remote {
    outgoing: mpsc::Sender<Signal>,
    connected: Arc<AtomicBool>,
    _end: DropGuard,
}

impl Signals {
    /// Signals within this process.
    pub fn local() -> Self {
        Self { local: broadcast::Sender::new(BEHIND_MAX), remote: None }
    }

    /// Signals through a Redis, which need not be there now or later: it is connected to in the background, again and
    /// again. A prefix keeps deployments and tests that share a Redis apart.
    ///
    /// Must be called within the async runtime.
    pub fn redis(url: &str, prefix: Option<&str>, entropy: &dyn Entropy) -> Result<Self, InvalidRedisUrl> {
        let client = connect::client(url)?;
        let connection = connect::manager(&client)?;
        let local = broadcast::Sender::new(BEHIND_MAX);
        let (outgoing, waiting) = mpsc::channel(OUTGOING_MAX);
        let connected = Arc::new(AtomicBool::new(false));
        let end = CancellationToken::new();
        let wire = relay::Wire { channel: channel(prefix), process: process_id(entropy) };
        tokio::spawn(end.clone().run_until_cancelled_owned(relay::publish(connection, wire.clone(), waiting)));
        let listening = relay::Listening { client, wire, local: local.clone(), connected: Arc::clone(&connected) };
        tokio::spawn(end.clone().run_until_cancelled_owned(listening.keep_on()));
        let remote = Remote { outgoing, connected, _end: end.drop_guard() };
        Ok(Self { local, remote: Some(Arc::new(remote)) })
    }

    /// Tells everybody. Never blocks and never fails: without Redis only this process hears it.
    pub fn send(&self, signal: Signal) {
        // No listener is no error, and a full way out means that Redis is down or slow: both may lose a hint.
        let _ = self.local.send(signal);
        if let Some(remote) = &self.remote {
            let _ = remote.outgoing.try_send(signal);
        }
    }

    /// Hears every signal from now on. A listener that lags misses the oldest and is told so.
    pub fn listen(&self) -> broadcast::Receiver<Signal> {
        self.local.subscribe()
    }

    /// False while signals of other processes cannot be heard.
    pub fn is_connected(&self) -> bool {
        self.remote.as_ref().is_none_or(|remote| remote.connected.load(Ordering::Relaxed))
    }
}

impl Doorbell for Signals {
    fn ring(&self, lane: Lane) {
        self.send(Signal::Ring(lane));
    }

    fn ring_imports(&self) {
        self.send(Signal::RingImports);
    }

    fn ring_workflows(&self) {
        self.send(Signal::RingWorkflows);
    }

    fn ring_webhooks(&self) {
        self.send(Signal::RingWebhooks);
    }

    fn ring_campaigns(&self) {
        self.send(Signal::RingCampaigns);
    }

    fn changed(&self, tenant: TenantId) {
        self.send(Signal::Changed(tenant));
    }
}

fn channel(prefix: Option<&str>) -> String {
    prefix.map_or_else(|| "carillon:signals".to_owned(), |prefix| format!("carillon:{prefix}:signals"))
}

fn process_id(entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 16];
    entropy.fill(&mut random);
    uuid::Builder::from_random_bytes(random).into_uuid()
}
