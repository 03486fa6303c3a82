//! `admin`: what an operator does that no API does.

use anyhow::{Result, bail};

use crate::config::Config;

#[derive(Debug, clap::Args)]
pub struct Arguments {}

#[expect(clippy::unused_async, reason = "use cases are async")]
pub async fn run(_config: Config, _arguments: Arguments) -> Result<()> {
    bail!("the operator's commands are not built yet")
}
