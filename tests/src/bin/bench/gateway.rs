//! The gateway as it is shipped, in a process of its own and without an engine, and what it takes of memory.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};

use super::set::Set;

/// The longest until it answers.
const START: Duration = Duration::from_mins(1);

/// A running gateway, which ends when this is dropped.
pub struct Gateway {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    _files: tempfile::TempDir,
}

impl Gateway {
    /// Starts one on what is set up, and waits until it is ready.
    pub async fn start(set: &Set) -> Result<Self> {
        let binary = std::env::var_os("CARILLON_BIN").map_or_else(
            || Ok(std::env::current_exe()?.parent().context("a folder")?.join("carillon")),
            |path| Ok::<_, anyhow::Error>(PathBuf::from(path)),
        )?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let files = tempfile::tempdir()?;
        let redis = std::env::var("REDIS_URL").context("REDIS_URL: run this inside tests/services.sh run --durable")?;
        let child = Command::new(&binary)
            .arg("serve")
            .envs(set.stage.environment.iter().map(|(name, value)| (name, value)))
            .env("REDIS_URL", redis)
            .env("CARILLON_BIND", address.to_string())
            .env("CARILLON_BLOBS", format!("file:{}", files.path().display()))
            // All come at once, from few tenants.
            .envs(["TENANT", "KEY", "USER"].map(|whose| (format!("CARILLON_RATE_{whose}"), "1000000000")))
            .env("CARILLON_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let gateway = Self { address, child, _files: files };
        tokio::time::timeout(START, gateway.ready()).await.context("the gateway does not become ready")?;
        Ok(gateway)
    }

    async fn ready(&self) {
        let client = reqwest::Client::new();
        let ready = format!("http://{}/health/ready", self.address);
        while !client.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What it takes now.
    pub fn resident_mib(&self) -> Result<f64> {
        self.mib("VmRSS")
    }

    /// The most that it took since it began, or since the peak was forgotten.
    pub fn peak_mib(&self) -> Result<f64> {
        self.mib("VmHWM")
    }

    /// The peak begins anew at what is taken now.
    pub fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.id()?), "5")?)
    }

    fn mib(&self, what: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?));
        let status = status.context("memory is read from /proc")?;
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        let kib: u32 = line.with_context(|| format!("no {what}"))?.trim().trim_end_matches("kB").trim().parse()?;
        Ok(f64::from(kib) / 1024.0)
    }

    fn id(&self) -> Result<u32> {
        self.child.id().context("the gateway ended")
    }

    /// Ends it.
    pub async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
