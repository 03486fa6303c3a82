//! Logs: JSON lines in production (C-200), text for people in embedded mode.

use anyhow::Result;
use carillon_domain::trace;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, registry};

use crate::config::Config;
use crate::traces::Export;

/// Starts logging to standard error, which leaves standard output to commands, and traces where they are exported.
pub fn start(config: &Config, export: Option<&Export>) -> Result<()> {
    start_on(&config.log, config.is_embedded(), std::io::stderr, export)
}

/// Starts logging to a writer: what passes the filter, as text for people or as JSON lines. Spans that are for traces alone
/// are no concern of the log's, whatever the filter says; without an export nobody else looks, so that they are off.
///
/// # Errors
/// When the filter is none, or logging has been started before.
pub fn start_on<W>(filter: &str, for_people: bool, writer: W, export: Option<&Export>) -> Result<()>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter)?.add_directive(format!("{}=off", trace::PARTS).parse()?);
    let started = if let Some(export) = export {
        let lines = lines(for_people, writer).with_filter(filter);
        registry().with(export.layer()).with(lines).try_init().map_err(Into::into)
    } else {
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
        if for_people { logs.compact().try_init() } else { logs.json().with_span_list(false).try_init() }
    };
    started.map_err(|error| anyhow::anyhow!("logging: {error}"))?;
    // A panic's message may hold anything; its place is enough to find it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Ok(())
}

/// What writes the lines, where others look at spans as well.
fn lines<S, W>(for_people: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    if for_people { lines.compact().boxed() } else { lines.json().with_span_list(false).boxed() }
}
