//! The product under demonstration: one embedded process' worth, in this process, with a folder that goes with it.
//!
//! The environment's settings are left alone on purpose: a demonstration never reaches a database, a queue or a relay
//! that somebody uses, and never `./data`. A Postgres is one that was made for it, and says so by its name.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, ensure};
use carillon_domain::entropy::{Entropy as _, SystemEntropy};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use url::Url;

use super::client::{Api, until};
use crate::app::{App, AppError};
use crate::config::{Config, ConfigErrors, Database, Secret, Source};

/// Sender of the deployment's own mail.
pub const SYSTEM_FROM: &str = "carillon@carillon.example";

/// What is set otherwise than in a deployment: nobody wants to watch a queue wait for five minutes, and all the people of
/// the story are on this machine, so it is believed as a proxy is which network each of them comes from.
pub const SETTINGS: [(&str, &str); 5] = [
    ("CARILLON_RETRY_FIRST_SECONDS", "1"),
    ("CARILLON_RETRY_LONGEST_SECONDS", "5"),
    ("CARILLON_SYSTEM_FROM", SYSTEM_FROM),
    ("CARILLON_TRUSTED_PROXIES", "127.0.0.1"),
    ("CARILLON_MODE", "embedded"),
];

/// The running product.
#[derive(Debug)]
pub struct Product {
    /// Where it is reached.
    pub base: String,
    serving: JoinHandle<Result<(), AppError>>,
    folder: TempDir,
}

/// The settings of a demonstration in `folder`, reached on `port`.
pub fn config(folder: &str, port: u16, log: &str) -> Result<Config, ConfigErrors> {
    let (bind, url) = (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
    let own = [
        ("CARILLON_BIND", bind.as_str()),
        ("CARILLON_PUBLIC_URL", url.as_str()),
        ("CARILLON_DATA", folder),
        ("CARILLON_LOG", log),
    ];
    Source::of(SETTINGS.into_iter().chain(own)).map_err(ConfigErrors).and_then(|source| Config::new(&source))
}

/// Makes a folder and settings that nobody else has.
pub fn plan(log: &str) -> Result<(Config, TempDir)> {
    let folder = tempfile::Builder::new().prefix("carillon-demo-").tempdir().context("a temporary folder")?;
    // Taken and given back: the number is needed for links before anybody listens.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let port = port.context("a free port")?.port();
    Ok((config(&folder.path().to_string_lossy(), port, log)?, folder))
}

/// What a database that is made for demonstrations is called.
const DATABASE: &str = "carillon_demo";

/// The three roles' logins to a database of an owner, with a password that nobody else knows.
pub fn on_postgres(owner: &str, like: &Database) -> Result<Database> {
    let owner = Url::parse(owner).context("--postgres")?;
    let is_postgres = matches!(owner.scheme(), "postgres" | "postgresql");
    let is_ours = owner.path().trim_start_matches('/').starts_with(DATABASE);
    ensure!(is_postgres && is_ours, "--postgres: name a database of Postgres that is called {DATABASE}..");
    let mut secret = [0; 16];
    SystemEntropy.fill(&mut secret);
    let password = hex::encode(secret);
    let login = |role: &str| {
        let mut login = owner.clone();
        let is_set = login.set_username(role).and_then(|()| login.set_password(Some(&password)));
        is_set.ok().with_context(|| format!("--postgres: no login of {role} can be made of it"))?;
        anyhow::Ok(Secret::new(login.into()))
    };
    Ok(Database {
        url: login("carillon_app")?,
        identity_url: Some(login("carillon_identity")?),
        dispatch_url: Some(login("carillon_dispatch")?),
        owner_url: Some(Secret::new(owner.to_string())),
        ..like.clone()
    })
}

impl Product {
    /// Starts it and waits until it is ready.
    pub async fn start(config: Config, folder: TempDir) -> Result<Self> {
        let base = config.settings.public_url.clone();
        let app = App::build(config).await?;
        let serving = tokio::spawn(async move { app.run().await });
        let api = Api::new(&base)?;
        until("readiness", async || {
            let answer = api.http().get(format!("{base}/health/ready")).send().await;
            Ok(answer.is_ok_and(|answer| answer.status().is_success()).then_some(()))
        })
        .await?;
        Ok(Self { base, serving, folder })
    }

    /// Waits until it is told to stop.
    pub async fn stay(self) -> Result<()> {
        Ok(self.serving.await??)
    }

    /// Ends it and forgets everything.
    pub fn end(self) -> Result<()> {
        self.serving.abort();
        self.folder.close().context("the temporary folder")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postgres_that_somebody_uses_is_refused() {
        let sqlite = config("/tmp/x", 1234, "error").unwrap().database;
        for url in ["postgres://owner@db/carillon", "postgres://owner@db", "sqlite:/carillon_demo", "carillon_demo"] {
            assert!(on_postgres(url, &sqlite).is_err(), "{url}");
        }
        let made = on_postgres("postgres://owner:secret@db:5433/carillon_demo_1", &sqlite).unwrap();
        assert!(made.url.reveal().starts_with("postgres://carillon_app:") && made.is_postgres());
        assert!(made.dispatch_url.unwrap().reveal().ends_with("@db:5433/carillon_demo_1"));
        assert!(!made.url.reveal().contains("secret"));
    }

    #[test]
    fn settings_are_accepted_and_short() {
        let config = config("/tmp/x", 1234, "error").unwrap();
        assert!(config.is_embedded() && config.relay.is_none());
        assert_eq!(config.settings.public_url, "http://127.0.0.1:1234");
        assert_eq!(config.settings.retry.first_min.num_seconds(), 1);
        assert!(config.database.url.reveal().starts_with("sqlite:/tmp/x/"));
    }
}
