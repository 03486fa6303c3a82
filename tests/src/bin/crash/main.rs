//! `make crash`: two gateways and two engines on Postgres and Redis, seeded faults, people who unsubscribe, and the count.
//!
//! Last line: `lost=0 repeated=0 after_unsubscribe=0 unknown=N unknown_at_sink=N intents=N faults=N seed=N`; status 0
//! only if the first three are zero and `unknown` is at most sixteen per worker and kill, plus what the sink hid.

mod faults;
mod load;
mod processes;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use carillon_domain::settings::Settings;
use carillon_jobs::catcher::{Catcher, CatcherSettings};
use carillon_tests::stage::Stage;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use faults::Faults;
use load::Load;
use processes::Processes;

/// Settings of the run: leases and permits are short, so that what a fault leaves behind comes back within the run.
pub const LEASE_S: i64 = 6;
pub const PERMIT_S: i64 = 3;
pub const RECONCILE_S: i64 = 5;
pub const WORKERS: usize = 2;

/// The size of a run.
struct Size {
    intents: usize,
    people: usize,
    faults: usize,
    pause: Duration,
}

#[tokio::main]
async fn main() -> Result<()> {
    let seed = number("CRASH_SEED").unwrap_or(1);
    let short = number("CRASH_SECONDS").is_some();
    let size = if short {
        Size { intents: 1_500, people: 200, faults: 8, pause: Duration::from_secs(4) }
    } else {
        Size { intents: 20_000, people: 2_500, faults: 30, pause: Duration::from_secs(5) }
    };
    let sink =
        Catcher::start("127.0.0.1:0".parse()?, CatcherSettings { max_mails: 200_000, ..CatcherSettings::default() });
    let sink = Arc::new(sink.await.context("the sink")?);
    let mut stage = Stage::build(&format!("crash_{}", std::process::id()), settings()).await?;
    stage.environment.extend(environment(&sink)?);
    let mut cast = Vec::new();
    for name in ["ash", "birch", "cedar"] {
        cast.push(stage.cast(name, size.people).await?);
    }
    eprintln!("crash: {} intents, {} faults, seed {seed}", size.intents, size.faults);
    let processes = Arc::new(Processes::start(&stage.environment).await?);
    let over = CancellationToken::new();
    let load = Load::start(&processes, &sink, &cast, size.intents, seed, over.clone());
    let mut faults = Faults::new(StdRng::seed_from_u64(seed), Arc::clone(&processes), Arc::clone(&sink));
    for number in 1..=size.faults {
        tokio::time::sleep(size.pause).await;
        let what = faults.strike().await?;
        eprintln!("crash: fault {number}/{}: {what}", size.faults);
    }
    faults.mend().await?;
    let done = load.finish(over).await?;
    let verdict = verdict::reach(&stage, &sink, &cast, &done, &faults, seed).await;
    processes.stop().await;
    let passed = match &verdict {
        Ok(verdict) => verdict.holds(),
        Err(_) => false,
    };
    if passed {
        stage.strike().await?;
    }
    println!("{}", verdict?);
    if passed { Ok(()) } else { std::process::exit(1) }
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
        ("CARILLON_DRAIN_SECONDS", "5".to_owned()),
        ("CARILLON_LOG", std::env::var("CARILLON_LOG").unwrap_or_else(|_| "warn".to_owned())),
        ("DATABASE_POOL", "8".to_owned()),
    ];
    Ok(values.map(|(name, value)| (name.to_owned(), value)).to_vec())
}
