//! `serve`: the gateway, and in embedded mode the engine beside it.

use anyhow::Result;

use crate::app::App;
use crate::config::Config;

pub async fn run(config: Config) -> Result<()> {
    if config.is_embedded() {
        println!("Carillon is starting on http://{} (embedded mode, data in {})", config.bind, config.data.display());
    }
    let app = App::build(config).await?;
    Ok(app.run().await?)
}
