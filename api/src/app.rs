//! The composition root: a configuration becomes one process.

mod catcher;
mod clock;
pub mod engine;
pub(crate) mod keys;
mod news;
mod schema;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::web;
use carillon_domain::entropy::SystemEntropy;
use carillon_domain::error::Error;
use carillon_domain::keys::Keyring;
use carillon_domain::messaging::{OtherKeys, key_mismatch, reply_class};
use carillon_domain::metrics::Metrics;
use carillon_domain::ports::{Ports, Wall};
use carillon_domain::tenancy::{Doorkeeper, PasswordSettings, bootstrap};
use carillon_domain::time::{Clock, DatabaseClock};
use carillon_entities::wall::{DatabaseSettings, Login, Role, WallError};
use carillon_jobs::engine::Engine;
use carillon_jobs::inbound::{Inbound, InboundSettings};

use crate::catcher::MailCatcher;
use crate::config::{Config, Secret};
use crate::graphql::scope::Process;
use crate::http::{self, Gateway, HttpSettings, Serves};
use engine::Works;

/// How long readiness is off before the doors close, so that nobody is sent here any more (C-185).
const LEAVING: Duration = Duration::from_secs(5);

/// How long a database may take to say what a login may do.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest pause between two tries to reach the database.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why a process does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A file or a socket.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A setting that only shows to be wrong when it is used.
    #[error("{name}: {why}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// The keys on disk cannot be used.
    #[error("the keys under CARILLON_DATA cannot be used: {0}")]
    Keys(carillon_domain::keys::KeyringError),
    /// A login of another role, in another database, or with too many powers.
    #[error("{setting}: {source}")]
    Login {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        source: WallError,
    },
    /// The keys are not those of the database.
    #[error("CARILLON_KEYS: {0}")]
    OtherKeys(#[from] OtherKeys),
    /// The schema could not be made.
    #[error("migration failed: {0}")]
    Migration(String),
    /// The database.
    #[error(transparent)]
    Wall(#[from] WallError),
    /// A rule of the domain.
    #[error(transparent)]
    Domain(#[from] Error),
}

/// One process: everything that its parts share.
#[derive(Debug)]
pub struct App {
    config: Config,
    gateway: web::Data<Gateway>,
    works: Works,
    _clock: clock::Keeper,
    _news: news::Reader,
}

impl App {
    /// Builds a process: opens the pools, measures the database's clock, and in embedded mode makes what is missing.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub async fn build(config: Config) -> Result<Self, AppError> {
        Self::build_serving(config, Serves::Everything).await
    }

    /// Builds a process with some of the routes. One that serves recipients alone needs no Redis to be ready.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub async fn build_serving(config: Config, serves: Serves) -> Result<Self, AppError> {
        // Read here, so that a table that is none keeps a process from starting (C-51).
        let rules = reply_class::rules_version();
        tracing::debug!(rules, "what refusals of mail mean");
        let keys = keys::load(&config)?;
        if config.is_embedded() {
            keys::private_folder(&config.data).map_err(|source| AppError::Io { what: "CARILLON_DATA", source })?;
            migrate(&config).await?;
        }
        refuse_other_logins(&config).await?;
        let wall = Wall::open(&database_settings(&config)).await?;
        refuse_other_keys(&wall, &keys.main).await?;
        let clock = Arc::new(DatabaseClock::new());
        let keeper = clock::Keeper::start(wall.clone(), Arc::clone(&clock)).await;
        let works = Works::open(&config).await?;
        let ports = Ports {
            wall,
            clock: Arc::<DatabaseClock>::clone(&clock),
            entropy: Arc::new(SystemEntropy),
            keys: Arc::new(keys.main),
            settings: Arc::new(config.settings.clone()),
            doorbell: Arc::new(works.signals.clone()),
            versions: Arc::default(),
            metrics: Arc::new(Metrics::new(config.metrics_tenants)),
        };
        ports.metrics.started_at.set(ports.now().timestamp());
        if config.is_embedded() {
            bootstrap(&ports).await?;
        }
        let mut desk = Doorkeeper::new(&ports, &keys.tokens, PasswordSettings::default())?;
        if let Some(limits) = works.limits.clone() {
            desk = desk.sharing(Arc::new(limits), &keys.tokens);
        }
        let mut checks =
            vec![http::database_check(ports.wall.clone()), schema::check(ports.wall.clone()), clock::check(clock)];
        if config.redis_url.is_some() && serves == Serves::Everything {
            checks.push(works.redis_check());
        }
        let mut gateway = Gateway::new(Process { ports, desk, files: works.files.clone() });
        gateway.health = http::Health::new(checks);
        gateway.serves = serves;
        gateway.settings = HttpSettings {
            trusted_proxies: config.trusted_proxies.clone(),
            continues_traces: config.traces.as_ref().is_some_and(|traces| traces.continues_callers),
            ..HttpSettings::default()
        };
        gateway.catcher = works.catcher.clone().map(|catcher| catcher as Arc<dyn MailCatcher>);
        let news = news::Reader::start(&works.signals, gateway.live.clone());
        Ok(Self { config, gateway: web::Data::new(gateway), works, _clock: keeper, _news: news })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What use cases need.
    pub fn ports(&self) -> &Ports {
        &self.gateway.process.ports
    }

    /// What every sign-in passes.
    pub fn desk(&self) -> &Doorkeeper {
        &self.gateway.process.desk
    }

    /// Serves the gateway on a bound listener until the server is stopped through its handle.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn serve_on(&self, listener: TcpListener) -> Result<Server, AppError> {
        let server = http::serve(self.gateway.clone(), listener, self.config.drain);
        server.map_err(|source| AppError::Io { what: "serving", source })
    }

    /// Answers metrics and probes on a bound listener, until the server is stopped through its handle.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn watch_on(&self, listener: TcpListener) -> Result<Server, AppError> {
        let server = http::watch(self.gateway.clone(), listener);
        server.map_err(|source| AppError::Io { what: "CARILLON_METRICS_BIND", source })
    }

    /// Answers metrics and probes where the configuration wants them. They are answered to the end, so that who is
    /// draining is seen to.
    fn watch(&self) -> Result<Option<ServerHandle>, AppError> {
        let Some(bind) = self.config.metrics_bind else { return Ok(None) };
        let unusable = |source| AppError::Io { what: "CARILLON_METRICS_BIND", source };
        let listener = TcpListener::bind(bind).map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let server = self.watch_on(listener)?;
        let handle = server.handle();
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "metrics and probes are no longer answered");
            }
        });
        tracing::info!(%address, "metrics");
        Ok(Some(handle))
    }

    /// Serves the gateway until the process is told to stop, then finishes what runs.
    ///
    /// # Errors
    /// When the address is taken or the server fails.
    pub async fn run(&self) -> Result<(), AppError> {
        let listener = TcpListener::bind(self.config.bind);
        let listener = listener.map_err(|source| AppError::Io { what: "CARILLON_BIND", source })?;
        let address = listener.local_addr().map_err(|source| AppError::Io { what: "CARILLON_BIND", source })?;
        let watch = self.watch()?;
        let server = self.serve_on(listener)?;
        let handle = server.handle();
        tracing::info!(%address, mode = ?self.config.mode, "serving");
        let inbound = if self.config.is_embedded() { self.start_inbound().await? } else { None };
        let engine = if self.config.is_embedded() { self.start_engine() } else { None };
        let mut serving = tokio::spawn(server);
        tokio::select! {
            ended = &mut serving => return ended_by_itself(ended),
            () = stop_signal() => {}
            error = self.bootstrap_and_wait() => return Err(error),
        }
        self.leave().await;
        let stopped = async {
            if let Some(engine) = engine {
                engine.stop(self.config.drain).await;
            }
            if let Some(inbound) = inbound {
                inbound.stop(self.config.drain).await;
            }
        };
        tokio::join!(handle.stop(true), stopped);
        ended_by_itself(serving.await)?;
        end(watch).await;
        self.ports().wall.close().await;
        tracing::info!("stopped");
        Ok(())
    }

    /// Starts the engine in this process; `None` where no relay is set.
    pub fn start_engine(&self) -> Option<Engine> {
        self.works.start(self.ports(), &self.config)
    }

    /// The engine's parts.
    pub fn works(&self) -> &Works {
        &self.works
    }

    /// Runs the engine alone until the process is told to stop, then drains it (C-185).
    ///
    /// # Errors
    /// When no relay is set, or the address of the metrics cannot be used.
    pub async fn work(&self) -> Result<(), AppError> {
        let missing = AppError::Setting { name: "SMTP_URL", why: "the engine needs a relay" };
        let watch = self.watch()?;
        let engine = self.start_engine().ok_or(missing)?;
        tracing::info!(workers = self.config.workers, "working");
        tokio::select! {
            () = stop_signal() => {}
            error = self.bootstrap_and_wait() => return Err(error),
        }
        tracing::info!("draining");
        self.gateway.health.drain();
        engine.stop(self.config.drain).await;
        end(watch).await;
        self.ports().wall.close().await;
        tracing::info!("stopped");
        Ok(())
    }

    /// Takes bounces and complaints until the process is told to stop, then ends behind the mails that are under way (C-185).
    ///
    /// # Errors
    /// When an address is not set or cannot be used.
    pub async fn receive(&self) -> Result<(), AppError> {
        let watch = self.watch()?;
        let missing = AppError::Setting { name: "CARILLON_INBOUND_BIND", why: "give an address to listen on" };
        let inbound = self.start_inbound().await?.ok_or(missing)?;
        tokio::select! {
            () = stop_signal() => {}
            error = self.bootstrap_and_wait() => return Err(error),
        }
        tracing::info!("draining");
        self.gateway.health.drain();
        inbound.stop(self.config.drain).await;
        end(watch).await;
        self.ports().wall.close().await;
        tracing::info!("stopped");
        Ok(())
    }

    /// Listens for bounces and complaints where the configuration wants that.
    async fn start_inbound(&self) -> Result<Option<Inbound>, AppError> {
        let Some(bind) = self.config.inbound_bind else { return Ok(None) };
        let settings = InboundSettings::new(self.config.settings.mail_host());
        let inbound = Inbound::start(bind, self.ports().clone(), settings).await;
        let inbound = inbound.map_err(|source| AppError::Io { what: "CARILLON_INBOUND_BIND", source })?;
        tracing::info!(address = %inbound.addr(), "taking bounces and complaints");
        Ok(Some(inbound))
    }

    /// Makes the system tenant, as soon as the database lets it: in production a process starts while its database is
    /// still away, and is not ready until it comes. Ends only if that database then turns out to have other keys; they are
    /// compared first, so that no row is left under keys that are not the database's.
    async fn bootstrap_and_wait(&self) -> AppError {
        let ports = self.ports();
        let mut pause = Duration::from_secs(1);
        loop {
            let tried = async {
                let other = key_mismatch(&ports.wall, &ports.keys).await?;
                // Who serves recipients alone has no login for it (L1), and its links are of tenants that are there.
                if other.is_none() && self.gateway.serves == Serves::Everything {
                    bootstrap(ports).await?;
                }
                Ok::<_, Error>(other)
            };
            match tried.await {
                Ok(Some(other)) => return other.into(),
                Ok(None) => return std::future::pending().await,
                Err(error) => tracing::warn!(%error, "the system tenant is not made yet"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Readiness off first; requests are still answered while the news spreads. Sockets, which would not end by themselves,
    /// are told to go then.
    async fn leave(&self) {
        self.gateway.health.drain();
        tracing::info!("leaving");
        if !self.config.is_embedded() {
            tokio::time::sleep(LEAVING.min(self.config.drain)).await;
        }
        self.gateway.sockets.drain();
    }
}

/// Ends what answered metrics; nobody is waited for.
async fn end(watch: Option<ServerHandle>) {
    if let Some(watch) = watch {
        watch.stop(false).await;
    }
}

fn ended_by_itself(ended: Result<std::io::Result<()>, tokio::task::JoinError>) -> Result<(), AppError> {
    let ended = ended.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    ended.map_err(|source| AppError::Io { what: "serving", source })
}

/// The wall's part of the configuration.
pub fn database_settings(config: &Config) -> DatabaseSettings {
    let database = &config.database;
    DatabaseSettings {
        url: database.url.reveal().to_owned(),
        identity_url: database.identity_url.as_ref().map(|url| url.reveal().to_owned()),
        dispatch_url: database.dispatch_url.as_ref().map(|url| url.reveal().to_owned()),
        pool: database.pool,
        acquire_timeout: Duration::from_secs(10),
        named_statements: database.named_statements,
        weak_logins: true,
    }
}

/// Who has to stand in which setting, of those that the process has.
pub fn logins(config: &Config) -> Vec<(&'static str, &Secret, Role)> {
    let database = &config.database;
    let roles = [
        ("DATABASE_URL", Some(&database.url), Role::App),
        ("DATABASE_IDENTITY_URL", database.identity_url.as_ref(), Role::Identity),
        ("DATABASE_DISPATCH_URL", database.dispatch_url.as_ref(), Role::Dispatch),
    ];
    roles.into_iter().filter_map(|(setting, url, role)| Some((setting, url?, role))).collect()
}

/// Refuses to start with keys that are not the database's. One that is away is asked again when it comes.
async fn refuse_other_keys(wall: &Wall, keys: &Keyring) -> Result<(), AppError> {
    match tokio::time::timeout(PATIENCE, key_mismatch(wall, keys)).await {
        Ok(Ok(Some(other))) => Err(other.into()),
        Ok(Ok(None)) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the keys cannot be compared with the database yet");
            Ok(())
        }
        Err(_) => {
            tracing::warn!("the keys cannot be compared with the database yet");
            Ok(())
        }
    }
}

/// Refuses to start with a login of another role or in another database, or one that row security does not hold (C-205). A database that is away
/// is no reason not to start: then the pools refuse such a login when it comes, and the process does not become ready.
async fn refuse_other_logins(config: &Config) -> Result<(), AppError> {
    if !config.database.is_postgres() {
        return Ok(());
    }
    let asked = logins(config).into_iter().map(|(setting, url, role)| async move {
        (setting, role, tokio::time::timeout(PATIENCE, Login::of(url.reveal())).await)
    });
    let mut database = None;
    for (setting, role, login) in futures::future::join_all(asked).await {
        match login.unwrap_or(Err(WallError::Unavailable)) {
            Ok(login) => {
                let login = login.is(role).and_then(|login| login.beside(&mut database));
                login.map_err(|source| AppError::Login { setting, source })?;
            }
            Err(error) => tracing::warn!(%error, "a login cannot be looked at yet"),
        }
    }
    Ok(())
}

/// Brings the schema up; the embedded mode does it at every start.
async fn migrate(config: &Config) -> Result<(), AppError> {
    let url = config.database.owner_url.as_ref().unwrap_or(&config.database.url);
    // The database may not be reachable through the wall yet, and the partitions only need the month.
    let now = DatabaseClock::new().now();
    let done = carillon_migration::migrate(url.reveal(), now).await;
    done.map(drop).map_err(|error| AppError::Migration(error.to_string()))
}

/// Ends when the process is told to stop: SIGTERM, or Ctrl-C.
pub async fn stop_signal() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! { () = interrupted => {}, _ = terminated.recv() => {} }
            return;
        }
    }
    interrupted.await;
}
