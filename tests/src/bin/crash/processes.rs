//! The processes under test: started, killed, stopped and started again.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

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
    gateways: Vec<SocketAddr>,
}

impl Processes {
    /// Starts them.
    pub async fn start(environment: &[(String, String)]) -> Result<Self> {
        let binary = std::env::var_os("CARILLON_BIN").map_or_else(
            || Ok(std::env::current_exe()?.parent().context("a folder")?.join("carillon")),
            |path| Ok::<_, anyhow::Error>(PathBuf::from(path)),
        )?;
        let gateways = vec![free_port()?, free_port()?];
        let processes =
            Self { binary, environment: environment.to_vec(), all: Mutex::default(), gateways: gateways.clone() };
        for (number, bind) in gateways.into_iter().enumerate() {
            processes.add(format!("gateway {number}"), "serve", bind).await?;
        }
        for number in 0..2 {
            processes.add(format!("engine {number}"), "work", free_port()?).await?;
        }
        Ok(processes)
    }

    async fn add(&self, name: String, role: &'static str, bind: SocketAddr) -> Result<()> {
        let child = self.spawn(role, bind)?;
        self.all.lock().await.push(Process { name, role, bind, child });
        Ok(())
    }

    fn spawn(&self, role: &str, bind: SocketAddr) -> Result<Child> {
        Command::new(&self.binary)
            .arg(role)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("CARILLON_BIND", bind.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))
    }

    /// The base URL of a gateway.
    pub fn gateway(&self, number: usize) -> String {
        format!("http://{}", self.gateways[number % self.gateways.len()])
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

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The standard library has no way to send a signal without `unsafe`.
async fn signal(id: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status().await?;
    anyhow::ensure!(status.success(), "kill -{name}");
    Ok(())
}
