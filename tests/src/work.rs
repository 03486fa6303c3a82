//! A world at work: its files, its mail catcher, and the engine's handlers to do what is due by hand.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use carillon_domain::files::Files;
use carillon_domain::messaging::ContentCache;
use carillon_domain::ports::Ports;
use carillon_domain::webhooks::WebhookReach;
use carillon_jobs::catcher::{Catcher, CatcherSettings};
use carillon_jobs::channels::email::{EmailChannel, PoolSettings, TlsTrust};
use carillon_jobs::channels::webhook::{WebhookChannel, WebhookSettings};
use carillon_jobs::handlers::{Handlers, Pace};
use carillon_jobs::redis::Signals;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::World;

/// Waits for an endpoint no longer than a test does.
pub fn impatient() -> WebhookSettings {
    WebhookSettings { timeout: Duration::from_millis(500), ..WebhookSettings::default() }
}

/// What a world needs to work; made when first asked for.
#[derive(Debug, Default)]
pub(crate) struct Workshop {
    files: OnceLock<(TempDir, Files)>,
    catcher: OnceCell<Arc<Catcher>>,
    signals: OnceLock<Signals>,
}

impl World {
    /// Where its files are.
    pub fn files(&self) -> &Files {
        &self.file_store().1
    }

    /// The folder they are in.
    pub fn files_folder(&self) -> &std::path::Path {
        self.file_store().0.path()
    }

    fn file_store(&self) -> &(TempDir, Files) {
        self.workshop.files.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let files = Files::open(&format!("file:{}", folder.path().display())).unwrap();
            (folder, files)
        })
    }

    /// Gets all mail.
    pub async fn catcher(&self) -> Arc<Catcher> {
        let start = || async {
            let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            Arc::new(Catcher::start(bind, CatcherSettings::default()).await.unwrap())
        };
        Arc::clone(self.workshop.catcher.get_or_init(start).await)
    }

    /// A worker of a name of its own, with a connection pool and a cache of its own: another process, which hears the
    /// signals of the others.
    pub async fn worker(&self, name: &str) -> Arc<Handlers> {
        self.worker_with(name, self.ports().clone()).await
    }

    /// A worker with other ports.
    pub async fn worker_with(&self, name: &str, ports: Ports) -> Arc<Handlers> {
        let webhooks = WebhookChannel::new(WebhookReach::of(ports.settings.embedded), impatient());
        Arc::new(Handlers {
            ports,
            files: self.files().clone(),
            channel: EmailChannel::new(PoolSettings::default(), TlsTrust::public()),
            webhooks,
            relay: format!("smtp://{}?tls=none", self.catcher().await.addr()).parse().unwrap(),
            cache: ContentCache::default(),
            pace: Pace::default(),
            files_away_until: std::sync::atomic::AtomicI64::new(i64::MIN),
            worker: name.to_owned(),
            signals: self.workshop.signals.get_or_init(Signals::local).clone(),
            draining: CancellationToken::new(),
        })
    }

    /// Does what is due until nothing is; returns how many rows that were.
    pub async fn drain(&self) -> usize {
        self.worker("drain").await.run_until_quiet().await.unwrap()
    }
}
