//! `work`: the engine without a gateway.

use anyhow::{Result, bail};

use crate::app::App;
use crate::config::Config;

pub async fn run(config: Config) -> Result<()> {
    if config.is_embedded() {
        bail!("in embedded mode `serve` runs the engine as well; a second process would only wait for the same file");
    }
    Ok(App::build(config).await?.work().await?)
}
