//! Configuration: read from the environment and one optional file, and judged as a whole.
//!
//! A process starts with a [`Config`] or tells everything that is wrong at once. Combinations that would be dangerous
//! in production are errors, not warnings.

mod needs;
mod read;
mod rules;
mod source;
pub mod table;
mod traces;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use carillon_domain::contacts::EmailAddress;
use carillon_domain::files::BucketSettings;
use carillon_domain::keys::Keyring;
use carillon_domain::messaging::relay::Relay;
use carillon_domain::settings::Settings;

use crate::http::TrustedProxies;
use crate::traces::TraceSettings;
pub use needs::Duty;
pub use source::Source;

/// What kind of deployment this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One process that brings everything along.
    Embedded,
    /// Processes that scale apart over Postgres, Redis and a relay.
    Production,
}

/// A value that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Of a value that no setting gave.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where the database is.
#[derive(Debug, Clone)]
pub struct Database {
    /// Application role, or the SQLite file.
    pub url: Secret,
    /// Identity role; none on SQLite, and where the process has no use for it.
    pub identity_url: Option<Secret>,
    /// Dispatch role; none on SQLite, and where the process has no use for it.
    pub dispatch_url: Option<Secret>,
    /// Owner, where it is known.
    pub owner_url: Option<Secret>,
    /// Connections of the application role.
    pub pool: u32,
    /// False behind a pooler in transaction mode.
    pub named_statements: bool,
}

impl Database {
    /// True for Postgres.
    pub fn is_postgres(&self) -> bool {
        // Migrations may know the owner's login alone.
        let is = |url: &Secret| url.reveal().starts_with("postgres");
        is(&self.url) || self.owner_url.as_ref().is_some_and(is)
    }
}

/// Keys given, or to be made by the embedded mode.
#[derive(Debug, Clone)]
pub struct Keys {
    /// For addresses, links and sealed values.
    pub main: Option<Keyring>,
    /// For access tokens.
    pub tokens: Option<Keyring>,
}

/// The configuration of one process.
#[derive(Debug, Clone)]
pub struct Config {
    /// Kind of deployment.
    pub mode: Mode,
    /// What the process is for.
    pub duty: Duty,
    /// Secrets that were given and that the process has no use for; it did not read them.
    pub needless: Vec<&'static str>,
    /// Where to listen.
    pub bind: SocketAddr,
    /// Where bounces and complaints are taken; nowhere without it.
    pub inbound_bind: Option<SocketAddr>,
    /// Where metrics and probes are answered, besides; nowhere without it.
    pub metrics_bind: Option<SocketAddr>,
    /// Whether messages are counted by tenant as well.
    pub metrics_tenants: bool,
    /// Folder of the embedded mode.
    pub data: PathBuf,
    /// The database.
    pub database: Database,
    /// Redis.
    pub redis_url: Option<Secret>,
    /// The relay; the catcher without one.
    pub relay: Option<Relay>,
    /// Authorities that relays may have besides the public ones, in PEM form.
    pub smtp_authorities: Option<String>,
    /// Connections to the relay.
    pub smtp_pool: u32,
    /// Where uploads lie, `file:` with an absolute path or `s3://`; none where the process has nothing to do with them.
    pub blobs: Option<String>,
    /// How a bucket is reached.
    pub bucket: BucketSettings,
    /// Keyrings.
    pub keys: Keys,
    /// Sender of system mail.
    pub system_from: EmailAddress,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// Tickets worked on at the same time.
    pub workers: usize,
    /// How long to finish after a signal.
    pub drain: Duration,
    /// Log filter.
    pub log: String,
    /// Where traces go; nowhere without it.
    pub traces: Option<TraceSettings>,
    /// Settings of the rules.
    pub settings: Settings,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be used:\n  {}", .0.join("\n  "))]
pub struct ConfigErrors(pub Vec<String>);

impl Config {
    /// Reads the environment of a process.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn from_env(duty: Duty) -> Result<Self, ConfigErrors> {
        let source = Source::read(|name| std::env::var(name).ok()).map_err(ConfigErrors)?;
        Self::for_duty(duty, &source)
    }

    /// Judges settings as a whole, for a process that does everything.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn new(source: &Source) -> Result<Self, ConfigErrors> {
        Self::for_duty(Duty::Everything, source)
    }

    /// Judges those settings as a whole that a process has a use for.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn for_duty(duty: Duty, source: &Source) -> Result<Self, ConfigErrors> {
        let (source, needless) = source.only(duty);
        let (config, mut errors) = read::read(&source);
        let config = config.map(|config| Self { duty, needless, ..config });
        if let Some(config) = &config {
            errors.extend(rules::broken(config, &source));
        }
        match config {
            Some(config) if errors.is_empty() => Ok(config),
            _ => Err(ConfigErrors(errors)),
        }
    }

    /// True in embedded mode.
    pub fn is_embedded(&self) -> bool {
        self.mode == Mode::Embedded
    }
}

#[cfg(test)]
mod tests;
