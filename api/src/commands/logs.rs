//! Logs: JSON lines in production (C-200), text for people in embedded mode.

use anyhow::Result;
use tracing_subscriber::EnvFilter;

use crate::config::Config;

/// Starts logging to standard error, which leaves standard output to commands.
pub fn start(config: &Config) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log)?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started =
        if config.is_embedded() { logs.compact().try_init() } else { logs.json().with_span_list(false).try_init() };
    started.map_err(|error| anyhow::anyhow!("logging: {error}"))?;
    // A panic's message may hold anything; its place is enough to find it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Ok(())
}
