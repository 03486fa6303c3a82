//! The processes under test: started, killed, stopped, started again and replaced.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::DRAIN_S;

pub const GATEWAYS: usize = 2;
pub const ENGINES: usize = 2;
/// So long after it was told to go, a gateway is still sent requests: balancers hear of it late.
const NEWS: Duration = Duration::from_secs(1);
/// After this it would be killed, in the chart's deployments.
const GRACE: Duration = Duration::from_secs(DRAIN_S + 15);

/// One process and how to start it again.
struct Process {
    name: String,
    role: &'static str,
    bind: SocketAddr,
    child: Child,
}

/// Two gateways and two engines.
pub struct Processes {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    all: Mutex<Vec<Process>>,
    gateways: std::sync::Mutex<Vec<SocketAddr>>,
    /// Requests that were not answered as they should be.
    failed: std::sync::Mutex<Vec<String>>,
}

/// How a process went when another took its place.
pub struct Replaced {
    pub name: String,
    /// By itself, in time, with status 0.
    pub well: bool,
    pub took: Duration,
}

impl Processes {
    /// Starts them.
    pub async fn start(environment: &[(String, String)]) -> Result<Self> {
        let binary = std::env::var_os("CARILLON_BIN").map_or_else(
            || Ok(std::env::current_exe()?.parent().context("a folder")?.join("carillon")),
            |path| Ok::<_, anyhow::Error>(PathBuf::from(path)),
        )?;
        let gateways = (0..GATEWAYS).map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        let processes = Self {
            binary,
            environment: environment.to_vec(),
            all: Mutex::default(),
            gateways: std::sync::Mutex::new(gateways.clone()),
            failed: std::sync::Mutex::default(),
        };
        for (number, bind) in gateways.into_iter().enumerate() {
            processes.add(format!("gateway {number}"), "serve", bind).await?;
        }
        let binds = processes.gateways.lock().expect("nobody panicked with it").clone();
        for bind in binds {
            is_ready(bind).await?;
        }
        for number in 0..ENGINES {
            processes.add(format!("engine {number}"), "work", free_port()?).await?;
        }
        Ok(processes)
    }

    async fn add(&self, name: String, role: &'static str, bind: SocketAddr) -> Result<()> {
        let child = self.spawn(role, bind)?;
        self.all.lock().await.push(Process { name, role, bind, child });
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    fn spawn(&self, role: &str, bind: SocketAddr) -> Result<Child> {
        // An engine serves nobody: it says how it is where its metrics are.
        let address = if role == "work" { "CARILLON_METRICS_BIND" } else { "CARILLON_BIND" };
        self.command(&[role])
            .env(address, bind.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))
    }

    /// Runs a command with the owner's login, too; what it says, if it ends well.
    pub async fn told(&self, arguments: &[&str], owner: &str) -> Result<String> {
        let done = self.command(arguments).env("DATABASE_OWNER_URL", owner).output().await?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        ensure!(done.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&done.stderr));
        Ok(said)
    }

    /// The base URL of a gateway.
    pub fn gateway(&self, number: usize) -> String {
        let gateways = self.gateways.lock().expect("nobody panicked with it");
        format!("http://{}", gateways[number % gateways.len()])
    }

    /// Notes that a request was not answered as it should be.
    pub fn fail(&self, what: String) {
        self.failed.lock().expect("nobody panicked with it").push(what);
    }

    /// All that was noted.
    pub fn failed(&self) -> Vec<String> {
        self.failed.lock().expect("nobody panicked with it").clone()
    }

    /// Replaces one as a rollout does: its successor is ready before it is told to go, and it is still sent requests until
    /// the news has spread (C-185).
    pub async fn replace(&self, place: usize) -> Result<Replaced> {
        let mut all = self.all.lock().await;
        let process = all.get_mut(place).context("a process")?;
        let bind = free_port()?;
        let successor = self.spawn(process.role, bind)?;
        is_ready(bind).await.with_context(|| format!("after {}", process.name))?;
        let began = Instant::now();
        signal(process.child.id().context("a running process")?, "TERM").await?;
        tokio::time::sleep(NEWS).await;
        self.readdress(process.bind, bind);
        let ended = tokio::time::timeout(GRACE, process.child.wait()).await;
        let took = began.elapsed();
        let well = matches!(ended, Ok(Ok(status)) if status.success());
        process.child.kill().await.ok();
        (process.child, process.bind) = (successor, bind);
        Ok(Replaced { name: process.name.clone(), well, took })
    }

    fn readdress(&self, from: SocketAddr, to: SocketAddr) {
        let mut gateways = self.gateways.lock().expect("nobody panicked with it");
        for gateway in gateways.iter_mut().filter(|gateway| **gateway == from) {
            *gateway = to;
        }
    }

    /// Kills one with SIGKILL and starts it again.
    pub async fn kill(&self, engine: bool, which: usize) -> Result<String> {
        let mut all = self.all.lock().await;
        let process = pick(&mut all, engine, which);
        process.child.kill().await?;
        process.child = self.spawn(process.role, process.bind)?;
        Ok(format!("kill -9 {}", process.name))
    }

    /// Stops an engine with SIGSTOP for longer than its lease, then lets it go on.
    pub async fn freeze(&self, which: usize, pause: Duration) -> Result<String> {
        let (id, name) = {
            let mut all = self.all.lock().await;
            let process = pick(&mut all, true, which);
            (process.child.id().context("a running process")?, process.name.clone())
        };
        signal(id, "STOP").await?;
        tokio::time::sleep(pause).await;
        signal(id, "CONT").await?;
        Ok(format!("SIGSTOP {name} for {} s, SIGCONT", pause.as_secs()))
    }

    /// Tells an engine to end, waits until it has, and starts it again; false when it ended badly or not at all.
    ///
    /// It drains, so nothing becomes unknown by it.
    pub async fn terminate(&self, which: usize) -> Result<(String, bool)> {
        let mut all = self.all.lock().await;
        let process = pick(&mut all, true, which);
        signal(process.child.id().context("a running process")?, "TERM").await?;
        let ended = tokio::time::timeout(Duration::from_mins(1), process.child.wait()).await;
        let well = matches!(ended, Ok(Ok(status)) if status.success());
        process.child.kill().await.ok();
        process.child = self.spawn(process.role, process.bind)?;
        Ok((format!("SIGTERM {}", process.name), well))
    }

    /// Starts whatever ended by itself; returns how many those were.
    pub async fn revive(&self) -> Result<usize> {
        let mut all = self.all.lock().await;
        let mut revived = 0;
        for process in all.iter_mut() {
            if process.child.try_wait()?.is_some() {
                eprintln!("crash: {} had ended", process.name);
                process.child = self.spawn(process.role, process.bind)?;
                revived += 1;
            }
        }
        Ok(revived)
    }

    /// Ends them all.
    pub async fn stop(&self) {
        for process in self.all.lock().await.iter_mut() {
            let _ = process.child.kill().await;
        }
    }
}

fn pick(all: &mut [Process], engine: bool, which: usize) -> &mut Process {
    let wanted: Vec<usize> = all
        .iter()
        .enumerate()
        .filter(|(_, process)| (process.role == "work") == engine)
        .map(|(place, _)| place)
        .collect();
    &mut all[wanted[which % wanted.len()]]
}

/// Waits until a process says that it is.
async fn is_ready(bind: SocketAddr) -> Result<()> {
    let client = super::load::client();
    for _ in 0..600 {
        let answer = client.get(format!("http://{bind}/health/ready")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("a process did not become ready in a minute")
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The standard library has no way to send a signal without `unsafe`.
async fn signal(id: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status().await?;
    ensure!(status.success(), "kill -{name}");
    Ok(())
}
