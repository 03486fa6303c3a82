//! Logs: JSON lines in production (C-200), text for people in embedded mode.

use anyhow::Result;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::Config;

/// Starts logging to standard error, which leaves standard output to commands.
pub fn start(config: &Config) -> Result<()> {
    start_on(&config.log, config.is_embedded(), std::io::stderr)
}

/// Starts logging to a writer: what passes the filter, as text for people or as JSON lines.
///
/// # Errors
/// When the filter is none, or logging has been started before.
pub fn start_on<W>(filter: &str, for_people: bool, writer: W) -> Result<()>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let logs = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(filter)?).with_writer(writer);
    let started = if for_people { logs.compact().try_init() } else { logs.json().with_span_list(false).try_init() };
    started.map_err(|error| anyhow::anyhow!("logging: {error}"))?;
    // A panic's message may hold anything; its place is enough to find it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Ok(())
}
