//! `crash upgrade`: an operator's day. While intents come and people leave, a migration runs again, a next release's schema is
//! made under the processes of this one, and each process is replaced in turn. Nobody may notice: nothing lost or repeated,
//! no outcome unknown, every request answered, each process gone by itself in time (C-185).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use carillon_migration::{LOCK_TIMEOUT_MS, Standing};
use carillon_tests::database::connect;
use carillon_tests::stage::{Cast, Stage};
use chrono::Months;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::Play;
use super::count::{self, Count};
use super::faults::Faults;
use super::guests::Guests;
use super::load::Load;
use super::processes::{ENGINES, GATEWAYS, Processes};
use super::rush::Rush;
use super::verdict::{self, Run};

const INTENTS: usize = 3_000;
/// For each tenant.
const PEOPLE: usize = 83;
/// Fewer who left prove nothing.
const LEAVERS: usize = 10;
/// So many intents for each tenant come every so often, as long as anything is done.
const WAVE: usize = 8;
const EVERY: Duration = Duration::from_millis(400);
const SEED: u64 = 1;

/// What a next release could add, in the manner of migrations: columns that nobody has to fill, a table, an index that is made
/// beside everything else.
const NEXT: [&str; 9] = [
    "ALTER TABLE messages ADD COLUMN next_note text",
    "ALTER TABLE messages ADD COLUMN next_rank integer NOT NULL DEFAULT 0",
    "ALTER TABLE contacts ADD COLUMN next_note text",
    "ALTER TABLE message_events ADD COLUMN next_note text",
    "CREATE TABLE next_things (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id))",
    "GRANT SELECT, INSERT ON next_things TO carillon_app",
    // Nobody waits behind it, so it may wait as long as it likes.
    "SET lock_timeout = 0",
    "CREATE INDEX CONCURRENTLY next_messages ON messages (tenant_id, next_note)",
    "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_next', 0)",
];

/// How long somebody waits for a table right now.
const WAITING: &str = "SELECT GREATEST(0, MAX(EXTRACT(EPOCH FROM clock_timestamp() - l.waitstart)))::float8 AS seconds \
    FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
    WHERE NOT l.granted AND l.locktype = 'relation' AND d.datname = current_database()";
/// How often it is looked, and how much longer than a migration waits somebody behind it may.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const SLACK: Duration = Duration::from_millis(500);

/// Runs it; true when nobody noticed.
pub async fn run() -> Result<bool> {
    let Play { sink, stage, cast, processes } = Play::prepare(PEOPLE).await?;
    let mut load = Load::start((&processes, &stage), &sink, &cast, INTENTS, SEED).await?;
    let mut faults = Faults::new(StdRng::seed_from_u64(SEED), Arc::clone(&processes), Arc::clone(&sink));
    let waits = Waits::watch(&stage.owner_url).await?;
    meanwhile(&load, migrate(&processes, &stage)).await?;
    let longest = waits.longest();
    let idle = roll(&load, &processes, (&stage, &cast), &mut faults).await?;
    load.all_acknowledged().await?;
    faults.mend().await?;
    let count = Count::take(&stage, &sink).await?;
    let done = load.done();
    let done = done.lock().await;
    let rush = Rush { people: 0, answered: 0, took: Duration::ZERO };
    let run = Run { faults: &faults, idle, leavers: LEAVERS, rush: &rush, seed: SEED };
    let verdict = verdict::reach(&count, &done, &run);
    let failed = processes.failed();
    for what in failed.iter().take(20) {
        eprintln!("crash: failed: {what}");
    }
    eprintln!("crash: the longest wait for a table took {} ms", longest.as_millis());
    let most = Duration::from_millis(LOCK_TIMEOUT_MS.into()) + SLACK;
    processes.stop().await;
    let passed = verdict.holds() && failed.is_empty() && longest <= most;
    if passed {
        stage.strike().await?;
    }
    println!("{verdict} failed={} waited_ms={}", failed.len(), longest.as_millis());
    Ok(passed)
}

/// Intents go on coming while something is done.
async fn meanwhile<T>(load: &Load, what: impl Future<Output = T>) -> T {
    let mut pace = tokio::time::interval(EVERY);
    tokio::pin!(what);
    loop {
        tokio::select! {
            done = &mut what => return done,
            _ = pace.tick() => load.wave(WAVE),
        }
    }
}

/// What this release's migrations have to do, which is nothing, then what a next one's would.
async fn migrate(processes: &Processes, stage: &Stage) -> Result<()> {
    let owner = &stage.owner_url;
    let told = processes.told(&["migrate"], owner).await?;
    ensure!(told.contains(Standing::Same.told()), "migrate said {told}");
    let later = stage.ports.now() + Months::new(2);
    let made = carillon_migration::maintain(owner, later, None).await?.made;
    ensure!(!made.is_empty(), "no partition was made");
    let database = connect(owner).await?;
    database.execute_unprepared(&format!("SET lock_timeout = {LOCK_TIMEOUT_MS}")).await?;
    for ddl in NEXT {
        patiently(&database, ddl).await?;
    }
    database.close().await?;
    let told = processes.told(&["migrate"], owner).await?;
    ensure!(told.contains(Standing::Newer.told()), "migrate said {told}");
    let told = processes.told(&["check", "--for", "recipient"], owner).await?;
    ensure!(told.contains(Standing::Newer.told()), "check said {told}");
    eprintln!("crash: the schema is a next release's");
    Ok(())
}

/// As migrations do: what waits for too long lets the others pass and tries again.
async fn patiently(database: &DatabaseConnection, ddl: &str) -> Result<()> {
    for _ in 0..60 {
        match database.execute_unprepared(ddl).await {
            Ok(_) => return Ok(()),
            Err(error) if error.to_string().contains("lock timeout") => tokio::time::sleep(EVERY).await,
            Err(error) => return Err(error).context(ddl.to_owned()),
        }
    }
    bail!("never came to it: {ddl}")
}

/// Replaces every process in turn; returns how many were replaced while nothing was open.
async fn roll(
    load: &Load,
    processes: &Processes,
    (stage, cast): (&Stage, &[Cast]),
    faults: &mut Faults,
) -> Result<usize> {
    let token = &cast.first().context("a tenant")?.token;
    let mut idle = 0;
    for place in 0..GATEWAYS + ENGINES {
        let guests = if place < GATEWAYS { Some(Guests::seat(&processes.gateway(place), token).await?) } else { None };
        let left = async {
            match guests {
                Some(guests) => guests.leave().await,
                None => Ok(()),
            }
        };
        let open = meanwhile(load, begun(&stage.owner_url)).await?;
        let (replaced, left) = meanwhile(load, async { tokio::join!(processes.replace(place), left) }).await;
        let replaced = replaced?;
        if let Err(error) = left {
            processes.fail(format!("at {}: {error:#}", replaced.name));
        }
        faults.struck += 1;
        faults.unwell += usize::from(!replaced.well);
        idle += usize::from(open == 0);
        eprintln!(
            "crash: {} replaced, gone after {} ms, {open} messages open",
            replaced.name,
            replaced.took.as_millis()
        );
    }
    Ok(idle)
}

/// How many messages are open once the load has set in again; none only if several waves are gone at once.
async fn begun(owner: &str) -> Result<i64> {
    let began = Instant::now();
    loop {
        let open = count::open(owner).await?;
        if open > 0 || began.elapsed() > 10 * EVERY {
            return Ok(open);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks how long anybody waits for a table.
struct Waits {
    longest_ms: Arc<AtomicU64>,
    _looking: AbortOnDropHandle<()>,
}

impl Waits {
    async fn watch(owner: &str) -> Result<Self> {
        let database = connect(owner).await?;
        let longest_ms = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&longest_ms);
        let looking = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                // Who cannot look has seen more than anybody may wait.
                let waited = waited(&database).await.unwrap_or(Duration::MAX);
                seen.fetch_max(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }));
        Ok(Self { longest_ms, _looking: looking })
    }

    /// The longest wait that was seen.
    fn longest(&self) -> Duration {
        Duration::from_millis(self.longest_ms.load(Ordering::Relaxed))
    }
}

async fn waited(database: &DatabaseConnection) -> Result<Duration> {
    let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, WAITING)).await?.context("a row")?;
    Ok(Duration::try_from_secs_f64(row.try_get("", "seconds")?)?)
}
