//! What goes wrong, chosen by the seed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_jobs::catcher::{Action, Behaviour, Catcher, Moment, Rule, Whom};
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::process::Command;

use super::processes::Processes;
use super::{LEASE_S, PERMIT_S, RECONCILE_S};

/// The faults of a run.
pub struct Faults {
    random: StdRng,
    processes: Arc<Processes>,
    sink: Arc<Catcher>,
    /// Kills and freezes of engines: each may leave a group of attempts unknown.
    pub engine_losses: usize,
    pub struck: usize,
    /// Processes that ended although nobody killed them.
    pub ended: usize,
    /// Engines that did not end well when they were told to end (C-185).
    pub unwell: usize,
}

/// Kinds of faults.
const KINDS: usize = 11;

/// How long the sink takes over each mail, as relays do: so hand-overs are on their way when a fault strikes.
const SINK_MS: u64 = 60;

impl Faults {
    pub fn new(random: StdRng, processes: Arc<Processes>, sink: Arc<Catcher>) -> Self {
        sink.set_behaviour(behaviour(None));
        Self { random, processes, sink, engine_losses: 0, struck: 0, ended: 0, unwell: 0 }
    }

    /// Does one of them and tells which.
    pub async fn strike(&mut self) -> Result<String> {
        self.struck += 1;
        let which = self.random.random_range(0..2);
        // Each kind once before any by chance.
        let kind = if self.struck <= KINDS { self.struck - 1 } else { self.random.random_range(0..KINDS) };
        let told = match kind {
            0 => {
                self.engine_losses += 1;
                self.processes.kill(true, which).await?
            }
            1 => {
                self.engine_losses += 1;
                self.freeze(which, LEASE_S + 2).await?
            }
            // What it had begun is decided meanwhile; then it wakes and says how it ended.
            10 => {
                self.engine_losses += 1;
                self.freeze(which, LEASE_S + RECONCILE_S + 4).await?
            }
            2 => redis("FLUSHALL").await?,
            3 => {
                services("redis-kill").await?;
                tokio::time::sleep(Duration::from_secs(2)).await;
                services("redis-start").await?
            }
            4 => {
                services("pg-stop-immediate").await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
                services("pg-start").await?
            }
            5 => self.sink_drops(true).await,
            6 => self.sink_drops(false).await,
            7 => self.processes.kill(false, which).await?,
            8 => self.sink_stalls().await,
            _ => {
                let (told, well) = self.processes.terminate(which).await?;
                self.unwell += usize::from(!well);
                told
            }
        };
        self.ended += self.processes.revive().await?;
        Ok(told)
    }

    async fn freeze(&self, which: usize, seconds: i64) -> Result<String> {
        self.processes.freeze(which, Duration::from_secs(seconds.unsigned_abs())).await
    }

    /// The sink breaks the connection after the final dot of some mails, having kept them or not.
    async fn sink_drops(&mut self, stored: bool) -> String {
        let share = Whom::Share { of: 10, is: self.random.random_range(0..10) };
        let rule = Rule { whom: share, first: None, action: Action::Drop { stored } };
        self.sink.set_behaviour(behaviour(Some(rule)));
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.sink.set_behaviour(behaviour(None));
        format!("sink dropped after DATA, mails {}", if stored { "kept" } else { "lost" })
    }

    /// The sink takes longer over the recipient of some mails than their permits last (C-62, L3).
    async fn sink_stalls(&mut self) -> String {
        let share = Whom::Share { of: 10, is: self.random.random_range(0..10) };
        let action = Action::Delay { at: Moment::Recipient, millis: PERMIT_S.unsigned_abs() * 1_000 + 1_500 };
        self.sink.set_behaviour(behaviour(Some(Rule { whom: share, first: None, action })));
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.sink.set_behaviour(behaviour(None));
        "sink stalled before DATA".to_owned()
    }

    /// Everything works again.
    pub async fn mend(&mut self) -> Result<()> {
        self.sink.set_behaviour(Behaviour::default());
        self.ended += self.processes.revive().await?;
        Ok(())
    }
}

fn behaviour(rule: Option<Rule>) -> Behaviour {
    let slow = Action::Delay { at: Moment::Content, millis: SINK_MS };
    let slow = Rule { whom: Whom::Everyone, first: None, action: slow };
    Behaviour { rules: std::iter::once(slow).chain(rule).collect() }
}

async fn redis(command: &str) -> Result<String> {
    let client = redis::Client::open(std::env::var("REDIS_URL")?)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd(command).exec_async(&mut connection).await?;
    Ok(format!("redis {command}"))
}

async fn services(what: &str) -> Result<String> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("services.sh");
    let status = Command::new("bash").arg(script).arg(what).status().await?;
    ensure!(status.success(), "services.sh {what}");
    Ok(what.to_owned())
}
