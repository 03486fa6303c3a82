//! `bounce`: takes one mail from standard input, for mail servers that pipe mail into commands.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use carillon_domain::keys::NoLink;
use carillon_domain::messaging::{READ_MAX, receive_report, report_address};

use crate::app::App;
use crate::config::Config;
use crate::http::Serves;

/// What mail servers understand (sysexits): nobody of that name, and try again.
const NO_USER: u8 = 67;
pub(super) const TRY_AGAIN: u8 = 75;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The address that the mail came to; the mail itself is read from standard input.
    #[arg(long)]
    to: String,
}

pub async fn run(config: Config, arguments: &Arguments) -> Result<ExitCode> {
    if config.is_embedded() {
        bail!("embedded mode is one process, which takes bounces on CARILLON_INBOUND_BIND");
    }
    let app = App::build_serving(config, Serves::Recipients).await?;
    let ports = app.ports();
    let address = match report_address(ports, &arguments.to) {
        Ok(address) => address,
        Err(NoLink::Unknown) => {
            eprintln!("carillon: no such address");
            return Ok(ExitCode::from(NO_USER));
        }
        Err(NoLink::OtherKey(_)) => return Ok(ExitCode::from(TRY_AGAIN)),
    };
    let raw = tokio::task::spawn_blocking(beginning).await?.context("standard input")?;
    match Box::pin(receive_report(ports, address, raw)).await {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::warn!(%error, "a report is not taken yet");
            Ok(ExitCode::from(TRY_AGAIN))
        }
    }
}

/// The beginning of the mail; the rest is read, so that whoever writes it gets to the end.
fn beginning() -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut input = std::io::stdin().lock();
    let most = u64::try_from(READ_MAX).unwrap_or(u64::MAX);
    input.by_ref().take(most).read_to_end(&mut kept)?;
    std::io::copy(&mut input, &mut std::io::sink())?;
    Ok(kept)
}
