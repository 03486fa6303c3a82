//! `send`: marketing mail from queued rows to an SMTP sink, by the engine of one process, against a bare loop that
//! builds, signs and hands over the same mail without a database.
//!
//! Queueing is not timed, but its statements count, as do those of the dispatchers and sweeps that run meanwhile: whatever the
//! process sends the server, BEGIN (with the tenant that is set in the same message) and COMMIT as one each. A call of a
//! function is one, as it is one round trip and one entry of `pg_stat_statements`; what is inside it is not counted again
//! (`Wall::statements`). Both sides have as many connections to the sink: those that the
//! channel has for bulk mail.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::entropy::SystemEntropy;
use carillon_domain::files::Files;
use carillon_domain::messaging::{
    DkimKey, EmailMessage, Intent, Lane, ListHeaders, Mailbox, MessageClass, NewDkimKey, Recipient, send_messages,
};
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::SendMessages;
use carillon_jobs::catcher::{Catcher, CatcherSettings};
use carillon_jobs::channels::email::bare::{Pool, prepare};
use carillon_jobs::channels::email::{DkimSigners, HandOver, PoolSettings, TlsTrust, connections};
use carillon_jobs::engine::{Engine, Workers};
use carillon_jobs::queue::{Backend, MemoryQueue, RedisQueue};
use carillon_jobs::redis::Signals;
use carillon_tests::stage::{Cast, Stage, paragraph};
use sqlx::PgConnection;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::figure::{Figure, Size};
use super::set::Set;

const MAILS: u32 = 50_000;
pub(super) const WORKERS: usize = 4;
const STATEMENTS_PER_MAIL: f64 = 0.3;
/// A run that takes longer has lost something.
const LONGEST: Duration = Duration::from_mins(10);

/// Measures it.
pub async fn run(size: Size) -> Result<Figure> {
    let mails = size.of(MAILS);
    let mut figure = Figure::new("send", "mails/s", 0.4);
    let sink = Sink::start(std::env::var_os("SMTP_SINK"), size).await?;
    let pool = PoolSettings::default();
    let connections = connections(pool.max_connections, Lane::Bulk);
    figure.note(&format!("to {}, {WORKERS} workers, {connections} connections", sink.name()));
    let mut set = Set::build("send").await?;
    let cast = set.stage.cast("send", usize::try_from(mails)?).await?;
    let bare = Arc::new(Bare::new(
        &set.stage,
        sink.url().parse()?,
        PoolSettings { max_connections: connections, ..pool.clone() },
    )?);
    let mut statements: f64 = 0.0;
    for run in 1..=u32::try_from(size.runs())? {
        let before = set.stage.ports.wall.statements();
        queue(&set.stage, &cast, run).await?;
        let queueing = set.stage.ports.wall.statements() - before;
        set.settle().await?;
        let ours = ours(&mut set, &cast, (&sink.url(), pool.clone()), mails * run).await?;
        let all = set.stage.ports.wall.statements() - before;
        figure.note(&format!("{all} statements, {queueing} of them to queue"));
        statements = statements.max(f64::from(u32::try_from(all)?) / f64::from(mails));
        set.settle().await?;
        let reference = bare.send(mails).await?;
        figure.add(mails, ours, reference);
    }
    figure.limit("statements per mail", statements, STATEMENTS_PER_MAIL);
    set.strike().await?;
    Ok(figure)
}

/// Queues one mail to everybody.
async fn queue(stage: &Stage, cast: &Cast, run: u32) -> Result<()> {
    let grant = stage.enter(cast.tenant)?.grant::<SendMessages>()?;
    for (batch, people) in cast.people.chunks(500).enumerate() {
        let intent = |(place, (contact, _)): (usize, &(_, String))| Intent {
            key: format!("{run}-{batch}-{place}"),
            class: MessageClass::Marketing,
            topic: Some(cast.topic),
            sender: cast.sender,
            template_version: cast.version,
            to: Recipient::Contact(*contact),
            variables: serde_json::Map::new(),
            send_at: None,
            expires_at: None,
            is_test: false,
            origin: None,
        };
        let intents: Vec<Intent> = people.iter().enumerate().map(intent).collect();
        let mut tx = grant.begin().await?;
        for accepted in send_messages(&grant, &mut tx, &stage.ports, &intents).await? {
            accepted.map_err(|refusal| anyhow!("refused: {}", refusal.code))?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Lets an engine send all that is queued; returns the seconds it took. `total` counts earlier runs, too.
async fn ours(set: &mut Set, cast: &Cast, (relay, pool): (&str, PoolSettings), total: u32) -> Result<f64> {
    let (backend, signals) = queue_and_signals(&set.stage)?;
    let handlers = set.handlers(&Files::open("memory:")?, pool, relay, signals)?;
    let began = Instant::now();
    let engine = Engine::start(
        handlers,
        &backend,
        Workers { messages: WORKERS, imports: 1, workflows: 1, webhooks: 1, campaigns: 1 },
    );
    let waited = tokio::time::timeout(LONGEST, wait_until_done(&mut set.owner, cast)).await;
    let seconds = began.elapsed().as_secs_f64();
    engine.stop(Duration::from_secs(10)).await;
    waited.context("mails are still waiting")??;
    let arrived: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM messages WHERE tenant_id = $1 AND state = 'sent'")
        .bind(cast.tenant.0)
        .fetch_one(&mut set.owner)
        .await?;
    ensure!(arrived == i64::from(total), "{arrived} of {total} mails were sent");
    Ok(seconds)
}

/// A queue of its own, in Redis where there is one.
pub(super) fn queue_and_signals(stage: &Stage) -> Result<(Backend, Signals)> {
    let prefix = format!("bench-{}", stage.ports.new_id::<uuid::Uuid>().simple());
    Ok(match std::env::var("REDIS_URL") {
        Ok(url) => {
            let queue = RedisQueue::new(&url, Some(&prefix)).context("REDIS_URL")?;
            (Backend::Redis(queue), Signals::redis(&url, Some(&prefix), &SystemEntropy).context("REDIS_URL")?)
        }
        Err(_) => (Backend::Memory(MemoryQueue::new()), Signals::local()),
    })
}

/// Looks along the partial indexes, so that looking costs next to nothing.
async fn wait_until_done(owner: &mut PgConnection, cast: &Cast) -> Result<()> {
    loop {
        let waiting: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM messages WHERE tenant_id = $1 AND state = 'queued') \
             OR EXISTS (SELECT 1 FROM messages WHERE tenant_id = $1 AND state = 'claimed')",
        )
        .bind(cast.tenant.0)
        .fetch_one(&mut *owner)
        .await?;
        if !waiting {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The bare loop: what stays of sending without rows, consent, retries and rendering.
pub(super) struct Bare {
    ports: Ports,
    mail: EmailMessage,
    signers: DkimSigners,
    pool: Pool,
    connections: usize,
}

impl Bare {
    pub(super) fn new(stage: &Stage, relay: carillon_jobs::channels::email::Relay, pool: PoolSettings) -> Result<Self> {
        let key = NewDkimKey::generate_rsa_2048()?;
        let address = |text: &str| EmailAddress::parse(text).map_err(|error| anyhow!("{error}"));
        // As long as those of the product.
        let url = format!("https://bench.carillon.example/u/{}", "a".repeat(86));
        let text = paragraph();
        let mail = EmailMessage {
            message: stage.ports.new_id(),
            attempt: 1,
            envelope_from: address("bounces@send.example")?,
            from: Mailbox { name: "send".to_owned(), address: address("news@send.example")? },
            reply_to: None,
            to: address("p0@send.people.example")?,
            subject: "News for Ada".to_owned(),
            text: format!("Dear Ada,\n\n{text}\n\nUnsubscribe: {url}\n"),
            html: format!(
                "<p>Dear Ada,</p><p>{text}</p><p>1 Stage Street, Example Town</p><p><a href=\"{url}\">Unsubscribe</a></p>"
            ),
            date: stage.ports.now(),
            internet_message_id: String::new(),
            list: Some(ListHeaders {
                one_click_url: url,
                list_id: "topic.brand.bench.carillon.example".to_owned(),
                feedback_id: "a:b:c:d".to_owned(),
            }),
            dkim: DkimKey {
                domain: "send.example".to_owned(),
                selector: "bench".to_owned(),
                private_key_der: key.private_key_der.into(),
            },
        };
        let connections = pool.max_connections;
        let pool = Pool::new(relay, pool, TlsTrust::public());
        Ok(Self { ports: stage.ports.clone(), mail, signers: DkimSigners::default(), pool, connections })
    }

    /// Sends so many; returns the seconds it took.
    pub(super) async fn send(self: &Arc<Self>, mails: u32) -> Result<f64> {
        let next = Arc::new(AtomicU32::new(0));
        let began = Instant::now();
        let tasks: Vec<_> = (0..self.connections)
            .map(|_| {
                let (bare, next) = (Arc::clone(self), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= mails {
                            return anyhow::Ok(());
                        }
                        bare.one(number).await?;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(began.elapsed().as_secs_f64())
    }

    async fn one(&self, number: u32) -> Result<()> {
        let mut mail = self.mail.clone();
        mail.date = self.ports.now();
        mail.to = EmailAddress::parse(&format!("p{number}@send.people.example")).map_err(|error| anyhow!("{error}"))?;
        mail.internet_message_id = format!("{number}@bench.carillon.example");
        let prepared = prepare(&mail, &self.signers)?;
        match self.pool.hand_over(&prepared, |_| Ok(())).await {
            HandOver::Accepted(_) => Ok(()),
            other => bail!("the sink took no mail: {other:?}"),
        }
    }
}

/// Where the mail goes.
pub(super) enum Sink {
    Postfix(SocketAddr, #[expect(dead_code, reason = "ends with the figure")] Child),
    Catcher(Catcher),
}

impl Sink {
    /// Postfix's smtp-sink where there is one; where not, our own catcher, which cannot be what we are judged by.
    pub(super) async fn start(binary: Option<OsString>, size: Size) -> Result<Self> {
        let Some(binary) = binary else {
            ensure!(!size.is_judged(), "smtp-sink is missing (Debian package postfix): a judged run needs it");
            let settings = CatcherSettings { max_mails: 100, ..CatcherSettings::default() };
            return Ok(Self::Catcher(Catcher::start((Ipv4Addr::LOCALHOST, 0).into(), settings).await?));
        };
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(&binary);
        if is_root()? {
            command.args(["-u", "nobody"]);
        }
        let child = command.args([address.to_string().as_str(), "1000"]).kill_on_drop(true).spawn()?;
        for _ in 0..100 {
            if TcpStream::connect(address).await.is_ok() {
                return Ok(Self::Postfix(address, child));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{} does not answer on {address}", binary.display())
    }

    pub(super) fn url(&self) -> String {
        let address = match self {
            Self::Postfix(address, _) => *address,
            Self::Catcher(catcher) => catcher.addr(),
        };
        format!("smtp://{address}?tls=none")
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Postfix(..) => "Postfix's smtp-sink",
            Self::Catcher(_) => "the built-in catcher, for smtp-sink is missing",
        }
    }
}

fn is_root() -> Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self")?) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_judged_run_is_not_judged_by_a_sink_of_our_own() {
        assert!(Sink::start(None, Size::full()).await.is_err());
        assert!(matches!(Sink::start(None, Size::divided(20)).await, Ok(Sink::Catcher(_))));
    }
}
