//! `check`: what an operator asks before processes start; every line says ok, what is wrong, or what might be better.

mod connections;
mod transport;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use carillon_domain::files::{BucketSettings, Files};
use carillon_domain::messaging::key_mismatch;
use carillon_domain::ports::Wall;
use carillon_domain::time::{Clock, DatabaseClock};
use carillon_entities::wall::{Login, Role};
use carillon_migration::{self as migration, Standing, inspect};

use crate::app::engine::channel;
use crate::app::{database_settings, keys, logins};
use crate::config::{Config, ConfigErrors, Duty, Secret};
use crate::traces::probe;
pub use connections::Replicas;

/// One question may take this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `check` takes.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Ask what this needs, and nothing else; without it, what a whole deployment needs.
    #[arg(long = "for", value_enum, value_name = "COMMAND")]
    whom: Option<Whom>,
    /// Processes there are going to be, such as gateway=3,recipient=2,worker=2x32: has Postgres connections for all? Without
    /// an x each kind has the DATABASE_POOL of this process.
    #[arg(long, value_delimiter = ',')]
    replicas: Vec<Replicas>,
}

/// Whose needs are asked about.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Whom {
    Serve,
    Work,
    /// As in `serve --only recipient`.
    Recipient,
    /// As in `work --inbound`.
    Inbound,
    Migrate,
}

impl Arguments {
    /// Whose settings are read.
    pub fn duty(&self) -> Duty {
        match self.whom {
            None => Duty::Everything,
            Some(Whom::Serve) => Duty::Serve,
            Some(Whom::Work) => Duty::Work,
            Some(Whom::Recipient) => Duty::Recipient,
            Some(Whom::Inbound) => Duty::Inbound,
            Some(Whom::Migrate) => Duty::Migrate,
        }
    }
}

/// What is wrong, in the order it was asked.
#[derive(Debug, Default)]
struct Report {
    wrong: Vec<String>,
}

impl Report {
    /// True when the answer is ok.
    async fn ask(&mut self, what: &str, answer: impl Future<Output = Result<String>>) -> bool {
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        match answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in {} s", PATIENCE.as_secs()))) {
            Ok(detail) if detail.is_empty() => println!("ok     {what}"),
            Ok(detail) => println!("ok     {what}: {detail}"),
            Err(error) => {
                let wrong = format!("{what}: {error:#}");
                println!("WRONG  {wrong}");
                self.wrong.push(wrong);
                return false;
            }
        }
        true
    }

    /// Says what keeps nothing from working.
    fn advise(what: &str) {
        println!("advice {what}");
    }
}

/// Says what is wrong with settings of which no configuration comes.
pub fn unusable(errors: &ConfigErrors) -> ExitCode {
    for error in &errors.0 {
        println!("WRONG  {error}");
    }
    count(errors.0.len())
}

fn count(wrong: usize) -> ExitCode {
    if wrong == 0 {
        return ExitCode::SUCCESS;
    }
    println!("{wrong} of these must be put right");
    ExitCode::FAILURE
}

/// Asks everything; status 1 if anything is wrong.
///
/// # Errors
/// Never: what is wrong is printed.
pub async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode> {
    Ok(count(wrong(config, &arguments.replicas).await.len()))
}

/// Asks what the configuration's process needs, and whether Postgres has connections for these; says what is wrong.
pub async fn wrong(config: &Config, replicas: &[Replicas]) -> Vec<String> {
    let mut report = Report::default();
    report.ask("configuration", async { Ok(format!("{:?}", config.mode).to_lowercase()) }).await;
    for setting in &config.needless {
        Report::advise(&format!("{setting}: such a process has no use for it, and should not have it"));
    }
    for finding in transport::findings(config) {
        Report::advise(&finding);
    }
    if config.duty == Duty::Migrate {
        migrations(config, &mut report).await;
    } else {
        database(config, &mut report).await;
        services(config, &mut report).await;
        collector(config).await;
    }
    if !replicas.is_empty() {
        report.ask("connections", connections(config, replicas)).await;
    }
    report.wrong
}

/// What migrations need: the owner's login. The roles, and what they would log in to, are theirs to make.
async fn migrations(config: &Config, report: &mut Report) {
    if let Some(owner) = &config.database.owner_url {
        let owner = async { Ok(Login::of(owner.reveal()).await?.owning()?.role) };
        report.ask("DATABASE_OWNER_URL", owner).await;
    }
    let url = config.database.owner_url.as_ref().unwrap_or(&config.database.url);
    report.ask("database schema", pending(url)).await;
}

async fn connections(config: &Config, replicas: &[Replicas]) -> Result<String> {
    let database = &config.database;
    if !database.is_postgres() {
        return Ok("SQLite is for one process".to_owned());
    }
    if !database.named_statements {
        return Ok("a pooler's to limit".to_owned());
    }
    let login = if config.duty == Duty::Migrate { database.owner_url.as_ref() } else { None };
    let limit = inspect::connection_limit(login.unwrap_or(&database.url).reveal()).await?;
    connections::left(replicas, database.pool, limit)
}

async fn pending(url: &Secret) -> Result<String> {
    Ok(match migration::standing(url.reveal()).await? {
        Standing::Older => "`carillon migrate` has work to do",
        stands => stands.told(),
    }
    .to_owned())
}

async fn database(config: &Config, report: &mut Report) {
    report.ask("database schema", schema(config)).await;
    let mut is_let_in = true;
    if config.database.is_postgres() {
        let mut database = None;
        for (setting, url, wanted) in logins(config) {
            is_let_in &= report.ask(setting, role(url, wanted, &mut database)).await;
        }
        if let Some(owner) = &config.database.owner_url {
            report.ask("DATABASE_OWNER_URL", owner_role(owner, &mut database)).await;
        }
    }
    // The pools wait for a login that is as it should be: they would only say once more that it is not.
    if is_let_in {
        report.ask("database clock", clock(config)).await;
        report.ask("keys", keys(config)).await;
    }
}

async fn services(config: &Config, report: &mut Report) {
    if let Some(blobs) = &config.blobs {
        report.ask("files", files(blobs, &config.bucket)).await;
    }
    if config.duty.takes("REDIS_URL") {
        report.ask("Redis", redis(config)).await;
    }
    if config.duty.takes("SMTP_URL") {
        report.ask("relay", relay(config)).await;
    }
}

/// Whether spans would be taken. Nothing else depends on it, so that they would not is no more than advice.
async fn collector(config: &Config) {
    if let Some(traces) = &config.traces {
        match tokio::time::timeout(PATIENCE, probe(traces)).await {
            Ok(Ok(())) => println!("ok     traces"),
            Ok(Err(error)) => Report::advise(&format!("OTEL_EXPORTER_OTLP_ENDPOINT: traces are lost: {error}")),
            Err(_) => Report::advise("OTEL_EXPORTER_OTLP_ENDPOINT: traces are lost: no answer"),
        }
    }
}

async fn schema(config: &Config) -> Result<String> {
    let url = config.database.url.reveal();
    let stands = migration::standing(url).await?;
    if stands == Standing::Older {
        bail!(stands.told());
    }
    let missing = inspect::missing_tables(url).await?;
    if !missing.is_empty() {
        bail!("{} tables are missing, {} first", missing.len(), missing[0]);
    }
    let missing = inspect::missing_partitions(url, DatabaseClock::new().now()).await?;
    if !missing.is_empty() {
        bail!("partitions are missing, {} first; run `carillon migrate --maintain`", missing[0]);
    }
    Ok(stands.told().to_owned())
}

async fn clock(config: &Config) -> Result<String> {
    let wall = Wall::open(&database_settings(config)).await?;
    let here = DatabaseClock::new().now();
    let skew = wall.database_now().await? - here;
    wall.close().await;
    if skew.num_milliseconds().abs() > 1_000 {
        bail!("{} ms away from this machine's clock", skew.num_milliseconds());
    }
    Ok(String::new())
}

/// A serving process must not be able to do more than its role serves for (C-205).
async fn role(url: &Secret, wanted: Role, database: &mut Option<String>) -> Result<String> {
    Ok(Login::of(url.reveal()).await?.is(wanted)?.beside(database)?.role)
}

async fn owner_role(url: &Secret, database: &mut Option<String>) -> Result<String> {
    Ok(Login::of(url.reveal()).await?.beside(database)?.role)
}

/// Whether the database was filled with these keys.
async fn keys(config: &Config) -> Result<String> {
    if config.keys.main.is_none() && !keys::are_made(config) {
        return Ok("made at the first start".to_owned());
    }
    let keys = keys::load(config)?;
    let wall = Wall::open(&database_settings(config)).await?;
    let mismatch = key_mismatch(&wall, &keys.main).await;
    wall.close().await;
    match mismatch? {
        Some(other) => Err(other.into()),
        None => Ok(String::new()),
    }
}

async fn files(blobs: &str, bucket: &BucketSettings) -> Result<String> {
    Files::open_with(blobs, bucket)?.check().await?;
    Ok(String::new())
}

/// Does what the engine does before its first mail, with the engine's own channel.
async fn relay(config: &Config) -> Result<String> {
    let channel = channel(config)?;
    let Some(relay) = &config.relay else { return Ok("the built-in catcher".to_owned()) };
    channel.probe(relay).await?;
    Ok(relay.authority())
}

async fn redis(config: &Config) -> Result<String> {
    let Some(url) = &config.redis_url else { return Ok("not used".to_owned()) };
    carillon_jobs::redis::probe(url.reveal()).await?;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use carillon_jobs::catcher::{Catcher, CatcherAuth, CatcherSettings};

    use super::*;

    /// A folder of the embedded mode with the newest schema.
    async fn migrated() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("carillon.db").display());
        migration::migrate(&database, DatabaseClock::new().now()).await.unwrap();
        folder
    }

    async fn wrong_in(folder: &std::path::Path, settings: &[(&str, &str)]) -> Vec<String> {
        let data = [("CARILLON_DATA", folder.to_str().unwrap())];
        let source = crate::config::Source::of(settings.iter().copied().chain(data)).unwrap();
        let wrong = Box::pin(wrong(&Config::new(&source).unwrap(), &[])).await;
        wrong.iter().map(|line| line.split_once(": ").unwrap().0.to_owned()).collect()
    }

    #[tokio::test]
    async fn everything_that_is_wrong_is_said_and_nothing_else() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(wrong_in(empty.path(), &[]).await, ["database schema"]);
        let folder = migrated().await;
        assert_eq!(wrong_in(folder.path(), &[]).await, Vec::<String>::new());
        // Nobody listens on port 1.
        assert_eq!(wrong_in(folder.path(), &[("SMTP_URL", "smtp://127.0.0.1:1")]).await, ["relay"]);
        std::fs::write(folder.path().join("file"), "").unwrap();
        let blobs = format!("file:{}/file/blobs", folder.path().display());
        assert_eq!(wrong_in(folder.path(), &[("CARILLON_BLOBS", &blobs)]).await, ["files"]);
    }

    /// What is wrong with a deployment whose database is there and whose relay is the catcher with these settings.
    async fn wrong_with_relay(catcher: CatcherSettings, url: impl Fn(SocketAddr) -> String) -> Vec<String> {
        let catcher = Catcher::start("127.0.0.1:0".parse().unwrap(), catcher).await.unwrap();
        let folder = migrated().await;
        wrong_in(folder.path(), &[("SMTP_URL", &url(catcher.addr()))]).await
    }

    #[tokio::test]
    async fn the_relay_is_asked_as_the_engine_asks_it() {
        let plain = CatcherSettings::default;
        let auth = CatcherAuth { user: "ada".to_owned(), password: "hush".to_owned(), login_only: false };
        let guarded = || CatcherSettings { auth: Some(auth.clone()), ..plain() };
        let good = Vec::<String>::new();
        assert_eq!(wrong_with_relay(plain(), |addr| format!("smtp://{addr}")).await, good);
        assert_eq!(wrong_with_relay(guarded(), |addr| format!("smtp://ada:hush@{addr}")).await, good);
        assert_eq!(wrong_with_relay(guarded(), |addr| format!("smtp://ada:wrong@{addr}")).await, ["relay"]);
        assert_eq!(wrong_with_relay(plain(), |addr| format!("smtp://{addr}?tls=required")).await, ["relay"]);
        assert_eq!(wrong_with_relay(plain(), |addr| format!("smtps://{addr}")).await, ["relay"]);
    }

    #[tokio::test]
    async fn authorities_that_keep_the_engine_from_starting_are_told() {
        let folder = migrated().await;
        let pem = folder.path().join("ca.pem");
        std::fs::write(&pem, "no certificate").unwrap();
        assert_eq!(wrong_in(folder.path(), &[("SMTP_CA_FILE", pem.to_str().unwrap())]).await, ["relay"]);
    }
}
