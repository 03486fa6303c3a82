//! Exports traces, as OTLP over HTTP, where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector; what a trace is made of says
//! [`carillon_domain::trace`].
//!
//! Whoever ends a span puts it into a queue with a bound, or drops it: nobody waits. A thread of its own sends what is there,
//! a batch at a time and each for so long and no longer, and gives up a batch that the collector does not take. What became of
//! spans is counted ([`count`]); when the process ends, what waits has a few seconds to go.

mod client;
mod queue;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carillon_domain::metrics::labels::SpanEnd;
use carillon_domain::trace::PARTS;
use opentelemetry::trace::{Link, SpanKind, TraceId, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample};
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::Layer;

use crate::config::Secret;
pub use client::probe;
use client::{Client, ClientError};
use queue::Queue;

/// How long what waits has to go when the process ends.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// What became of the spans of this process: as the subscriber, it belongs to the process.
static ENDS: [AtomicU64; SpanEnd::ALL.len()] = [const { AtomicU64::new(0) }; SpanEnd::ALL.len()];

/// How many spans became of this since the process began.
pub fn count(end: SpanEnd) -> u64 {
    ENDS[end as usize].load(Ordering::Relaxed)
}

/// This became of so many more.
fn add(end: SpanEnd, spans: usize) {
    ENDS[end as usize].fetch_add(u64::try_from(spans).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Where traces go, and how many.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// The whole address that batches are posted to.
    pub endpoint: String,
    /// What the collector is shown.
    pub headers: Vec<(String, Secret)>,
    /// How long one batch may take, with everything that is tried.
    pub timeout: Duration,
    /// What traces call the process.
    pub service: String,
    /// The part of all traces that is exported, from 0 to 1.
    pub sampled: f64,
    /// How many spans may wait.
    pub queue: usize,
    /// How long they are gathered.
    pub every: Duration,
    /// Whether a caller's trace is gone on with.
    pub continues_callers: bool,
}

/// Why nothing can be exported: a setting that only shows to be wrong when it is used.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// No client.
    #[error("traces have no client")]
    Client(#[from] ClientError),
    /// No exporter.
    #[error("traces have no exporter")]
    Exporter(#[from] ExporterBuildError),
}

/// A running export.
#[derive(Debug)]
pub struct Export(SdkTracerProvider);

impl Export {
    /// Starts the thread that sends, on a runtime that must outlive it.
    ///
    /// # Errors
    /// When the settings make no exporter. Whether there is a collector is not asked.
    pub fn start(settings: &TraceSettings, runtime: &Handle) -> Result<Self, ExportError> {
        let headers: HashMap<_, _> =
            settings.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(settings.timeout, runtime.clone())?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&settings.endpoint)
            .with_timeout(settings.timeout)
            .with_headers(headers)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(settings.service.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let sampler = Sampling(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sampled))));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(sampler)
            .with_span_processor(Queue::new(exporter, settings))
            .build();
        Ok(Self(provider))
    }

    /// What makes spans of the target [`PARTS`] into spans for traces, and looks at nothing else: neither at events, which
    /// are for the log, nor at what libraries tell.
    pub fn layer(&self) -> impl Layer<Registry> + Send + Sync + use<> {
        let parts = FilterFn::new(|metadata| metadata.is_span() && metadata.target() == PARTS);
        tracing_opentelemetry::layer::<Registry>()
            .with_tracer(self.0.tracer("carillon"))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(parts.with_max_level_hint(LevelFilter::INFO))
    }

    /// Sends what waits, and waits for it a few seconds; false if not all went. Not for a thread that the runtime needs.
    pub fn flush(&self) -> bool {
        self.0.force_flush().is_ok()
    }

    /// Sends what waits for the last time.
    pub fn end(&self) {
        if self.0.shutdown_with_timeout(LAST_WAIT).is_err() {
            tracing::warn!("spans that waited for the collector are lost");
        }
    }
}

/// A part of all traces, each whole: who is begun decides for all that follows. A span that links to an exported one is
/// exported whatever its own trace drew, for it is that one's other end; callers of ours are linked to later, and decide nothing.
#[derive(Debug, Clone)]
struct Sampling(Sampler);

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        span_kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let usual = self.0.should_sample(parent_context, trace_id, name, span_kind, attributes, links);
        if links.iter().any(|link| link.span_context.is_sampled()) {
            return SamplingResult { decision: SamplingDecision::RecordAndSample, ..usual };
        }
        usual
    }
}

#[cfg(test)]
mod tests {
    use carillon_domain::trace::TraceParent;

    use super::*;

    #[test]
    fn a_batch_of_an_exported_request_is_exported_whatever_its_ticket_drew() {
        let sampling = Sampling(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(0.0))));
        let decide = |links: &[Link]| {
            let trace = TraceId::from_bytes([1; 16]);
            sampling.should_sample(None, trace, "deliver", &SpanKind::Internal, &[], links).decision
        };
        let link = |flags: &str| {
            let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
            Link::with_context(TraceParent::parse(&parent).unwrap().into())
        };
        assert_eq!(decide(&[]), SamplingDecision::Drop);
        assert_eq!(decide(&[link("00")]), SamplingDecision::Drop);
        assert_eq!(decide(&[link("00"), link("01")]), SamplingDecision::RecordAndSample);
    }
}
