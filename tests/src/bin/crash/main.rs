//! `make crash`: two gateways and two engines on Postgres and Redis, seeded faults, people who go through a workflow and
//! people who unsubscribe, and the count.
//!
//! Last line: `lost=0 repeated=0 after_unsubscribe=0 after_goal=0 unknown=N unknown_at_sink=N intents=N enrolled=N faults=N
//! seed=N`; status 0 only if the first four are zero, `unknown` (of both classes) is at most sixteen per worker slot and
//! kill, plus what the sink hid, and the run was one that could have shown otherwise: most faults struck a system at work,
//! enough people left, and of the ways through the workflow enough came to its end and enough to its goal.
//!
//! `crash upgrade` is the run without faults: what an operator does, of which nobody may notice anything.

mod count;
mod faults;
mod guests;
mod journeys;
mod links;
mod load;
mod processes;
mod rush;
mod upgrade;
mod verdict;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carillon_domain::settings::Settings;
use carillon_jobs::catcher::{Catcher, CatcherSettings};
use carillon_tests::stage::{Cast, Stage};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use count::Count;
use faults::Faults;
use load::Load;
use processes::Processes;

/// Settings of the run: leases and permits are short, so that what a fault leaves behind comes back within the run.
pub const LEASE_S: i64 = 6;
pub const PERMIT_S: i64 = 3;
pub const RECONCILE_S: i64 = 5;
/// `CARILLON_DRAIN_SECONDS`.
pub const DRAIN_S: u64 = 5;
/// `CARILLON_WORKERS`: tickets of one lane that a process works on at the same time.
const WORKERS: usize = 2;
/// What a killed engine may have been working on: both lanes have workers of their own.
pub const SLOTS: usize = 2 * WORKERS;

/// The size of a run.
struct Size {
    intents: usize,
    /// For each tenant.
    people: usize,
    faults: usize,
    /// Between two faults.
    pause: Duration,
    /// Fewer who left, or fewer intents to somebody who had left, prove nothing.
    leavers: usize,
    /// Who leave all at once in the end (C-10, C-12).
    rush: usize,
}

const FULL: Size =
    Size { intents: 20_000, people: 1_009, faults: 30, pause: Duration::from_secs(4), leavers: 100, rush: 10_000 };
const SHORT: Size =
    Size { intents: 1_500, people: 83, faults: 11, pause: Duration::from_millis(1_500), leavers: 10, rush: 300 };

#[tokio::main]
async fn main() -> Result<()> {
    let holds = match std::env::args().nth(1).as_deref() {
        None => Box::pin(crash()).await?,
        Some("upgrade") => Box::pin(upgrade::run()).await?,
        Some(other) => anyhow::bail!("there is no run called {other}"),
    };
    if holds { Ok(()) } else { std::process::exit(1) }
}

/// What every run begins with: tenants with people, a sink for their mail, and processes at work.
pub struct Play {
    pub sink: Arc<Catcher>,
    pub stage: Stage,
    pub cast: Vec<Cast>,
    pub processes: Arc<Processes>,
}

impl Play {
    /// With so many people in each tenant.
    pub async fn prepare(people: usize) -> Result<Self> {
        let settings = CatcherSettings { max_mails: 200_000, ..CatcherSettings::default() };
        let sink = Arc::new(Catcher::start("127.0.0.1:0".parse()?, settings).await.context("the sink")?);
        let mut stage = Stage::build(&format!("crash_{}", std::process::id()), self::settings()).await?;
        stage.environment.extend(environment(&sink)?);
        let mut cast = Vec::new();
        for name in ["ash", "birch", "cedar"] {
            cast.push(stage.cast(name, people).await?);
        }
        let processes = Arc::new(Processes::start(&stage.environment).await?);
        Ok(Self { sink, stage, cast, processes })
    }
}

async fn crash() -> Result<bool> {
    let seed = number("CRASH_SEED").unwrap_or(1);
    let size = if number("CRASH_SECONDS").is_some() { SHORT } else { FULL };
    let Play { sink, stage, cast, processes } = Play::prepare(size.people).await?;
    eprintln!("crash: {} intents, {} faults, seed {seed}", size.intents, size.faults);
    let crowd = stage.cast("crowd", size.rush).await?;
    let mut load = Load::start((&processes, &stage), &sink, &cast, size.intents, seed).await?;
    let mut faults = Faults::new(StdRng::seed_from_u64(seed), Arc::clone(&processes), Arc::clone(&sink));
    let (idle, waves) = strike(&size, seed, &load, &mut faults, &stage).await?;
    load.all_acknowledged().await?;
    faults.mend().await?;
    let rush = rush::run(&processes, &stage, &crowd, &load).await?;
    let count = Count::take(&stage, &sink).await?;
    let done = load.done();
    let done = done.lock().await;
    let run = verdict::Run { faults: &faults, idle, leavers: size.leavers, rush: &rush, seed };
    let verdict = verdict::reach(&count, &done, &run);
    eprintln!("crash: the waves took {} s, the rush of {} {:?}", waves.as_secs(), rush.people, rush.took);
    processes.stop().await;
    let passed = verdict.holds();
    if passed {
        stage.strike().await?;
    }
    println!("{verdict}");
    Ok(passed)
}

/// A wave of intents, and in the middle of it a fault, again and again; returns how many faults struck an idle system.
async fn strike(size: &Size, seed: u64, load: &Load, faults: &mut Faults, stage: &Stage) -> Result<(usize, Duration)> {
    let (began, mut random, mut idle) = (Instant::now(), StdRng::seed_from_u64(!seed), 0);
    // One wave before the first fault: whoever is to unsubscribe must have got a mail. Each is for three tenants.
    let wave = size.intents.div_ceil(3 * (size.faults + 1));
    load.wave(wave);
    for number in 1..=size.faults {
        tokio::time::sleep(size.pause).await;
        load.wave(wave);
        tokio::time::sleep(Duration::from_millis(random.random_range(100..1_200))).await;
        let open = count::open(&stage.owner_url).await?;
        idle += usize::from(open == 0);
        let what = faults.strike().await?;
        eprintln!("crash: fault {number}/{}: {what}, {open} messages open", size.faults);
    }
    Ok((idle, began.elapsed()))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn settings() -> Settings {
    let mut settings = Settings::new("https://crash.carillon.example");
    settings.lease = chrono::TimeDelta::seconds(LEASE_S);
    settings.permit_life = chrono::TimeDelta::seconds(PERMIT_S);
    settings
}

fn environment(sink: &Catcher) -> Result<Vec<(String, String)>> {
    let redis = std::env::var("REDIS_URL").context("REDIS_URL")?;
    let blobs = std::env::temp_dir().join(format!("carillon-crash-{}", std::process::id()));
    let values = [
        ("REDIS_URL", redis),
        ("SMTP_URL", format!("smtp://{}?tls=none", sink.addr())),
        ("CARILLON_BLOBS", format!("file:{}", blobs.display())),
        ("CARILLON_WORKERS", WORKERS.to_string()),
        ("CARILLON_LEASE_SECONDS", LEASE_S.to_string()),
        ("CARILLON_PERMIT_SECONDS", PERMIT_S.to_string()),
        ("CARILLON_RECONCILE_SECONDS", RECONCILE_S.to_string()),
        ("CARILLON_RETRY_FIRST_SECONDS", "1".to_owned()),
        ("CARILLON_RETRY_LONGEST_SECONDS", "5".to_owned()),
        ("CARILLON_DRAIN_SECONDS", DRAIN_S.to_string()),
        ("CARILLON_LOG", std::env::var("CARILLON_LOG").unwrap_or_else(|_| "error,apalis_core=off".to_owned())),
        ("DATABASE_POOL", "8".to_owned()),
    ];
    Ok(values.map(|(name, value)| (name.to_owned(), value)).to_vec())
}
