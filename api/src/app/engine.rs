//! The engine's parts of a process: queue, signals, files, catcher, channel.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use carillon_domain::entropy::SystemEntropy;
use carillon_domain::files::Files;
use carillon_domain::messaging::ContentCache;
use carillon_domain::ports::Ports;
use carillon_domain::webhooks::WebhookReach;
use carillon_jobs::catcher::{Catcher, CatcherSettings};
use carillon_jobs::channels::email::{EmailChannel, PoolSettings, Relay, TlsTrust};
use carillon_jobs::channels::webhook::{WebhookChannel, WebhookSettings};
use carillon_jobs::engine::{Engine, Workers};
use carillon_jobs::handlers::{Handlers, Pace};
use carillon_jobs::queue::{Backend, MemoryQueue, RedisQueue};
use carillon_jobs::redis::{Limits, Signals};
use tokio_util::sync::CancellationToken;

use super::AppError;
use crate::config::Config;
use crate::http::{Check, Probe};

/// What the engine of a process works with; the gateway shares the signals, the files and the catcher.
#[derive(Debug)]
pub struct Works {
    /// Between processes; also the doorbell.
    pub signals: Signals,
    /// What is counted for all processes; none without Redis.
    pub limits: Option<Limits>,
    /// Uploaded files.
    pub files: Files,
    /// The built-in catcher, where there is no relay.
    pub catcher: Option<Arc<Catcher>>,
    backend: Backend,
    relay: Option<Relay>,
    trust: TlsTrust,
}

impl Works {
    /// Opens what the configuration names. A Redis that is away is no reason not to start.
    pub async fn open(config: &Config) -> Result<Self, AppError> {
        let (signals, limits, backend) = match &config.redis_url {
            None => (Signals::local(), None, Backend::Memory(MemoryQueue::new())),
            Some(url) => {
                let bad = |_| AppError::Setting { name: "REDIS_URL", why: "it is no Redis URL" };
                let signals = Signals::redis(url.reveal(), None, &SystemEntropy).map_err(bad)?;
                let limits = Limits::redis(url.reveal(), None).map_err(bad)?;
                (signals, Some(limits), Backend::Redis(RedisQueue::new(url.reveal(), None).map_err(bad)?))
            }
        };
        // Who has no place for files has no routes that ask for them either.
        let files = Files::open_with(config.blobs.as_deref().unwrap_or("memory:"), &config.bucket)
            .map_err(|_| AppError::Setting { name: "CARILLON_BLOBS", why: "the files' place cannot be opened" })?;
        let (relay, catcher) = match &config.relay {
            Some(relay) => (Some(relay.clone()), None),
            None if config.is_embedded() => {
                let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let catcher = Catcher::start(bind, CatcherSettings::default()).await;
                let catcher = catcher.map_err(|source| AppError::Io { what: "the mail catcher", source })?;
                let relay = format!("smtp://{}?tls=none", catcher.addr()).parse();
                let relay = relay.expect("an address of this machine is a relay's");
                (Some(relay), Some(Arc::new(catcher)))
            }
            None => (None, None),
        };
        Ok(Self { signals, limits, files, catcher, backend, relay, trust: trust(config)? })
    }

    /// Redis answers. Without it everything goes on, slower: due work is found by polling (L4).
    pub fn redis_check(&self) -> Check {
        let signals = self.signals.clone();
        let probe: Probe = Arc::new(move || {
            let answer = if signals.is_connected() { Ok(()) } else { Err("no connection".to_owned()) };
            Box::pin(std::future::ready(answer))
        });
        Check { name: "redis", required: false, probe }
    }

    /// Starts the engine; `None` where no relay is set, which only a gateway's process may be without.
    pub fn start(&self, ports: &Ports, config: &Config) -> Option<Engine> {
        let handlers = Handlers {
            ports: ports.clone(),
            files: self.files.clone(),
            channel: EmailChannel::new(pool(config), self.trust.clone()),
            webhooks: WebhookChannel::new(WebhookReach::of(config.is_embedded()), WebhookSettings::default()),
            relay: self.relay.clone()?,
            cache: ContentCache::default(),
            pace: Pace::default(),
            files_away_until: std::sync::atomic::AtomicI64::new(i64::MIN),
            worker: format!("{}-{}", std::process::id(), ports.new_id::<uuid::Uuid>().simple()),
            signals: self.signals.clone(),
            draining: CancellationToken::new(),
        };
        let each = config.workers;
        let workers = Workers { messages: each, imports: each, workflows: each, webhooks: each, campaigns: each };
        Some(Engine::start(Arc::new(handlers), &self.backend, workers))
    }
}

/// The mail channel of a process, without connections yet.
///
/// # Errors
/// When `SMTP_CA_FILE` holds no certificates.
pub fn channel(config: &Config) -> Result<EmailChannel, AppError> {
    Ok(EmailChannel::new(pool(config), trust(config)?))
}

fn pool(config: &Config) -> PoolSettings {
    PoolSettings {
        max_connections: usize::try_from(config.smtp_pool).unwrap_or(16),
        hello: config.settings.mail_host(),
        ..PoolSettings::default()
    }
}

fn trust(config: &Config) -> Result<TlsTrust, AppError> {
    let Some(pem) = &config.smtp_authorities else { return Ok(TlsTrust::public()) };
    let bad = |_| AppError::Setting { name: "SMTP_CA_FILE", why: "it holds no certificates in PEM form" };
    TlsTrust::with_authorities(pem.as_bytes()).map_err(bad)
}
