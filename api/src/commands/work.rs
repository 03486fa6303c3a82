//! `work`: the engine without a gateway, or the way in for bounces and complaints alone.

use anyhow::{Result, bail};

use crate::app::App;
use crate::config::{Config, Duty};
use crate::http::Serves;

#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Take bounces and complaints, over SMTP and LMTP on CARILLON_INBOUND_BIND, instead of running the engine.
    #[arg(long)]
    inbound: bool,
}

impl Arguments {
    /// What such a process is for.
    pub fn duty(&self) -> Duty {
        if self.inbound { Duty::Inbound } else { Duty::Work }
    }
}

pub async fn run(config: Config, arguments: &Arguments) -> Result<()> {
    if config.is_embedded() {
        bail!("in embedded mode `serve` runs the engine as well; a second process would only wait for the same file");
    }
    if arguments.inbound {
        // Of the rest of a deployment it needs the database alone, as the links of mails do.
        let app = App::build_serving(config, Serves::Recipients).await?;
        return Ok(app.receive().await?);
    }
    Ok(App::build(config).await?.work().await?)
}
