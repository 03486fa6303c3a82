//! `serve`: the gateway, and in embedded mode the engine beside it.

use anyhow::Result;

use crate::app::App;
use crate::config::Config;

pub async fn run(config: Config) -> Result<()> {
    if config.is_embedded() {
        if !config.bind.ip().is_loopback() {
            tracing::warn!(
                "the embedded mode shows caught mails to whoever reaches it; it is not for the open network"
            );
        }
        println!("Carillon is starting on http://{} (embedded mode, data in {})", config.bind, config.data.display());
    }
    let app = App::build(config).await?;
    Ok(app.run().await?)
}
