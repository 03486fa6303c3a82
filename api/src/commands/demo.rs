//! `demo`: everything at work on one machine.

use anyhow::{Result, bail};

use crate::config::Config;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// End when the demonstration is over instead of serving on.
    #[arg(long)]
    exit: bool,
}

#[expect(clippy::unused_async, reason = "the demonstration is async")]
pub async fn run(_config: Config, _arguments: &Arguments) -> Result<()> {
    bail!("the demonstration is not built yet")
}
