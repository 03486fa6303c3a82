//! `work`: the engine without a gateway.

use anyhow::{Result, bail};

use crate::config::Config;

#[expect(clippy::unused_async, reason = "the engine's loop is async")]
pub async fn run(config: Config) -> Result<()> {
    if config.is_embedded() {
        bail!("in embedded mode `serve` runs the engine as well; a second process would only wait for the same file");
    }
    bail!("the engine is not built yet")
}
