//! `serve`: the gateway, and in embedded mode the engine beside it.

use anyhow::Result;
use clap::ValueEnum;

use crate::app::App;
use crate::config::{Config, Duty};
use crate::http::Serves;

#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Serve a part alone.
    #[arg(long)]
    only: Option<Part>,
}

impl Arguments {
    /// What such a process is for.
    pub fn duty(&self) -> Duty {
        match self.only {
            None => Duty::Serve,
            Some(Part::Recipient) => Duty::Recipient,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// One-click and the pages behind the links of mails; production only.
    Recipient,
}

pub async fn run(config: Config, arguments: &Arguments) -> Result<()> {
    let serves = match arguments.only {
        None => Serves::Everything,
        Some(Part::Recipient) if config.is_embedded() => {
            anyhow::bail!("--only recipient: embedded mode is one process, which serves everything");
        }
        Some(Part::Recipient) => Serves::Recipients,
    };
    if config.is_embedded() {
        println!("Carillon is starting on http://{} (embedded mode, data in {})", config.bind, config.data.display());
    }
    let app = App::build_serving(config, serves).await?;
    Ok(app.run().await?)
}
