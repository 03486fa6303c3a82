//! What the benches of mail share: people to write to, a sink, the engine of one process, and the bare loop that builds, signs
//! and hands over the same mail without a database.
//!
//! Both sides have as many connections to the sink: those that the channel has for bulk mail.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::entropy::SystemEntropy;
use carillon_domain::files::Files;
use carillon_domain::messaging::{DkimKey, EmailMessage, Lane, ListHeaders, Mailbox, NewDkimKey};
use carillon_domain::ports::Ports;
use carillon_jobs::catcher::{Catcher, CatcherSettings};
use carillon_jobs::channels::email::bare::{Pool, prepare};
use carillon_jobs::channels::email::{DkimSigners, HandOver, PoolSettings, Relay, TlsTrust, connections};
use carillon_jobs::engine::{Engine, Workers};
use carillon_jobs::queue::{Backend, MemoryQueue, RedisQueue};
use carillon_jobs::redis::Signals;
use carillon_tests::stage::{Cast, Stage, paragraph};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::figure::{Figure, Size};
use super::set::Set;

const WORKERS: usize = 4;

/// Both sides.
pub struct Sides {
    /// What ours stands on.
    pub set: Set,
    /// Who is written to.
    pub cast: Cast,
    mails: u32,
    sink: Sink,
    pool: PoolSettings,
    bare: Arc<Bare>,
    statements: f64,
}

impl Sides {
    /// So many people, and both sides connected to one sink.
    pub async fn build(name: &str, mails: u32, size: Size, figure: &mut Figure) -> Result<Self> {
        let sink = Sink::start(std::env::var_os("SMTP_SINK"), size).await?;
        let pool = PoolSettings::default();
        let connections = connections(pool.max_connections, Lane::Bulk);
        figure.note(&format!("to {}, {WORKERS} workers, {connections} connections", sink.name()));
        let set = Set::build(name).await?;
        let cast = set.stage.cast(name, usize::try_from(mails)?).await?;
        let of_bare = PoolSettings { max_connections: connections, ..pool.clone() };
        let bare = Arc::new(Bare::new(&set.stage, sink.url().parse()?, of_bare)?);
        Ok(Self { set, cast, mails, sink, pool, bare, statements: 0.0 })
    }

    /// Lets an engine work until a statement over `id` selects true; returns the seconds it took. Whoever takes longer than
    /// `longest` has lost something.
    pub async fn ours(&mut self, (is_over, id): (&'static str, Uuid), longest: Duration) -> Result<f64> {
        let (backend, signals) = queue_and_signals(&self.set.stage)?;
        let handlers = self.set.handlers(&Files::open("memory:")?, self.pool.clone(), &self.sink.url(), signals)?;
        let workers = Workers { messages: WORKERS, imports: 1, workflows: 1, webhooks: 1, campaigns: 1 };
        let began = Instant::now();
        let engine = Engine::start(handlers, &backend, workers);
        let owner = &mut self.set.owner;
        let over = async {
            loop {
                let is_over: bool = sqlx::query_scalar(is_over).bind(id).fetch_one(&mut *owner).await?;
                if is_over {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(longest, over).await;
        let seconds = began.elapsed().as_secs_f64();
        engine.stop(Duration::from_secs(10)).await;
        waited.context("mails are still waiting")??;
        Ok(seconds)
    }

    /// Checks that so many of the messages over `id` that a statement counts were sent.
    pub async fn ensure_sent(&mut self, (count, id): (&'static str, Uuid), wanted: u32) -> Result<()> {
        let sent: i64 = sqlx::query_scalar(count).bind(id).fetch_one(&mut self.set.owner).await?;
        ensure!(sent == i64::from(wanted), "{sent} of {wanted} mails were sent");
        Ok(())
    }

    /// Measures the reference beside ours, which took so many seconds and statements.
    pub async fn add(&mut self, figure: &mut Figure, ours: f64, statements: u64) -> Result<()> {
        self.statements = self.statements.max(f64::from(u32::try_from(statements)?) / f64::from(self.mails));
        self.set.settle().await?;
        figure.add(self.mails, ours, self.bare.send(self.mails).await?);
        Ok(())
    }

    /// Ends the figure: no run may have taken more statements per mail.
    pub async fn end(self, mut figure: Figure, statements_per_mail: f64) -> Result<Figure> {
        figure.limit("statements per mail", self.statements, statements_per_mail);
        self.set.strike().await?;
        Ok(figure)
    }
}

/// A queue of its own, in Redis where there is one.
fn queue_and_signals(stage: &Stage) -> Result<(Backend, Signals)> {
    let prefix = format!("bench-{}", stage.ports.new_id::<Uuid>().simple());
    Ok(match std::env::var("REDIS_URL") {
        Ok(url) => {
            let queue = RedisQueue::new(&url, Some(&prefix)).context("REDIS_URL")?;
            (Backend::Redis(queue), Signals::redis(&url, Some(&prefix), &SystemEntropy).context("REDIS_URL")?)
        }
        Err(_) => (Backend::Memory(MemoryQueue::new()), Signals::local()),
    })
}

/// The bare loop: what stays of sending without rows, consent, retries and rendering.
struct Bare {
    ports: Ports,
    mail: EmailMessage,
    signers: DkimSigners,
    pool: Pool,
    connections: usize,
}

impl Bare {
    fn new(stage: &Stage, relay: Relay, pool: PoolSettings) -> Result<Self> {
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
    async fn send(self: &Arc<Self>, mails: u32) -> Result<f64> {
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
enum Sink {
    Postfix(SocketAddr, #[expect(dead_code, reason = "ends with the figure")] Child),
    Catcher(Catcher),
}

impl Sink {
    /// Postfix's smtp-sink where there is one; where not, our own catcher, which cannot be what we are judged by.
    async fn start(binary: Option<OsString>, size: Size) -> Result<Self> {
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

    fn url(&self) -> String {
        let address = match self {
            Self::Postfix(address, _) => *address,
            Self::Catcher(catcher) => catcher.addr(),
        };
        format!("smtp://{address}?tls=none")
    }

    fn name(&self) -> &'static str {
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
