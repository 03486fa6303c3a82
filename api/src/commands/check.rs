//! `check`: what an operator asks before processes start; every line says ok or what is wrong.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use carillon_domain::files::Files;
use carillon_domain::ports::Wall;
use carillon_domain::time::{Clock, DatabaseClock};
use carillon_entities::wall::Login;
use carillon_migration::inspect;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use url::Url;

use crate::app::database_settings;
use crate::config::{Config, Secret};

/// One question may take this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is wrong, in the order it was asked.
#[derive(Debug, Default)]
struct Report {
    wrong: Vec<String>,
}

impl Report {
    async fn ask(&mut self, what: &str, answer: impl Future<Output = Result<String>>) {
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        match answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in {} s", PATIENCE.as_secs()))) {
            Ok(detail) if detail.is_empty() => println!("ok     {what}"),
            Ok(detail) => println!("ok     {what}: {detail}"),
            Err(error) => {
                let wrong = format!("{what}: {error:#}");
                println!("WRONG  {wrong}");
                self.wrong.push(wrong);
            }
        }
    }
}

pub async fn run(config: &Config) -> Result<ExitCode> {
    let Report { wrong } = ask_everything(config).await;
    if wrong.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} of these must be put right", wrong.len());
    Ok(ExitCode::FAILURE)
}

async fn ask_everything(config: &Config) -> Report {
    let mut report = Report::default();
    report.ask("configuration", async { Ok(format!("{:?}", config.mode).to_lowercase()) }).await;
    report.ask("database schema", schema(config)).await;
    report.ask("database clock", clock(config)).await;
    if config.database.is_postgres() {
        let database = &config.database;
        report.ask("application role", role(&database.url)).await;
        report.ask("identity role", role(&database.identity_url)).await;
        report.ask("dispatch role", role(&database.dispatch_url)).await;
    }
    report.ask("files", files(config)).await;
    match &config.redis_url {
        Some(url) => report.ask("Redis", redis(url)).await,
        None => report.ask("Redis", async { Ok("not used".to_owned()) }).await,
    }
    match &config.smtp_url {
        Some(url) => report.ask("relay", smtp(url)).await,
        None => report.ask("relay", async { Ok("the built-in catcher".to_owned()) }).await,
    }
    report
}

async fn schema(config: &Config) -> Result<String> {
    let database = &config.database;
    let missing = inspect::missing_tables(database.url.reveal()).await?;
    if !missing.is_empty() {
        bail!("{} tables are missing; run `carillon migrate`", missing.len());
    }
    let missing = inspect::missing_partitions(database.url.reveal(), DatabaseClock::new().now()).await?;
    if !missing.is_empty() {
        bail!("partitions are missing, {} first; run `carillon migrate --maintain`", missing[0]);
    }
    let Some(owner) = &database.owner_url else { return Ok("every table is there".to_owned()) };
    if carillon_migration::is_current(owner.reveal()).await? {
        return Ok("current".to_owned());
    }
    bail!("migrations are pending; run `carillon migrate`")
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

/// A serving process must not be able to do more than serve (C-205).
async fn role(url: &Secret) -> Result<String> {
    Ok(Login::of(url.reveal()).await?.weak()?.role)
}

async fn files(config: &Config) -> Result<String> {
    Files::open(&config.blobs)?.check().await?;
    Ok(String::new())
}

async fn connect(url: &Url, default_port: u16) -> Result<TcpStream> {
    let Some(host) = url.host_str() else { bail!("the URL names no host") };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(TcpStream::connect((host, url.port().unwrap_or(default_port))).await?)
}

async fn redis(url: &Secret) -> Result<String> {
    let url = Url::parse(url.reveal())?;
    let stream = connect(&url, 6379).await?;
    if url.scheme() == "rediss" {
        return Ok("reachable; TLS is not looked at".to_owned());
    }
    let mut stream = BufReader::new(stream);
    if let Some(password) = url.password() {
        let password = percent_encoding::percent_decode_str(password).decode_utf8()?;
        let user = if url.username().is_empty() { "default" } else { url.username() };
        exchange(&mut stream, &["AUTH", user, &password], "+OK").await?;
    }
    exchange(&mut stream, &["PING"], "+PONG").await?;
    Ok(String::new())
}

/// Sends one command in Redis' protocol and expects one line.
async fn exchange<S>(stream: &mut BufReader<S>, command: &[&str], expected: &str) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let parts = command.iter().map(|part| format!("${}\r\n{part}\r\n", part.len()));
    let text = format!("*{}\r\n{}", command.len(), parts.collect::<String>());
    stream.get_mut().write_all(text.as_bytes()).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    if line.trim_end() != expected {
        // The server's first word is a code; the rest may repeat what was sent.
        bail!("{} was answered with {}", command[0], line.split_whitespace().next().unwrap_or("nothing"));
    }
    Ok(())
}

async fn smtp(url: &Secret) -> Result<String> {
    let url = Url::parse(url.reveal())?;
    let implicit = url.scheme() == "smtps";
    let stream = connect(&url, if implicit { 465 } else { 587 }).await?;
    if implicit {
        return Ok("reachable; TLS is looked at when the first mail is sent".to_owned());
    }
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    if !line.starts_with("220") {
        bail!("the greeting is not 220");
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wrong(folder: &std::path::Path, settings: &[(&str, &str)]) -> Vec<String> {
        let data = [("CARILLON_DATA", folder.to_str().unwrap())];
        let source = crate::config::Source::of(settings.iter().copied().chain(data)).unwrap();
        let wrong = ask_everything(&Config::new(&source).unwrap()).await.wrong;
        wrong.iter().map(|line| line.split_once(": ").unwrap().0.to_owned()).collect()
    }

    #[tokio::test]
    async fn everything_that_is_wrong_is_said_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(wrong(folder.path(), &[]).await, ["database schema"]);
        let database = format!("sqlite:{}", folder.path().join("carillon.db").display());
        carillon_migration::migrate(&database, DatabaseClock::new().now()).await.unwrap();
        assert_eq!(wrong(folder.path(), &[]).await, Vec::<String>::new());
        // Nobody listens on port 1.
        let away = [("REDIS_URL", "redis://127.0.0.1:1"), ("SMTP_URL", "smtp://127.0.0.1:1")];
        assert_eq!(wrong(folder.path(), &away).await, ["Redis", "relay"]);
        std::fs::write(folder.path().join("file"), "").unwrap();
        let blobs = format!("file:{}/file/blobs", folder.path().display());
        assert_eq!(wrong(folder.path(), &[("CARILLON_BLOBS", &blobs)]).await, ["files"]);
    }

    #[tokio::test]
    async fn redis_is_asked_in_its_own_words() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let server = async {
            theirs.write_all(b"+PONG\r\n").await.unwrap();
            let mut asked = [0; 14];
            tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut asked).await.unwrap();
            asked
        };
        let mut client = BufReader::new(ours);
        let (answer, asked) = tokio::join!(exchange(&mut client, &["PING"], "+PONG"), server);
        answer.unwrap();
        assert_eq!(&asked, b"*1\r\n$4\r\nPING\r\n");
    }
}
