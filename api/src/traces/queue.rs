//! Spans that wait for the collector. The bound is ours, so that what is dropped is counted: the library keeps that to itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use carillon_domain::metrics::labels::SpanEnd;
use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};

use super::{TraceSettings, add};

/// Takes spans as they end, and drops those that have no room.
#[derive(Debug)]
pub(super) struct Queue {
    next: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    most: usize,
}

impl Queue {
    pub(super) fn new(exporter: opentelemetry_otlp::SpanExporter, settings: &TraceSettings) -> Self {
        let (waiting, most) = (Arc::<AtomicUsize>::default(), settings.queue);
        let sender = Sender { next: exporter, waiting: Arc::clone(&waiting), is_away: AtomicBool::default() };
        let config = BatchConfigBuilder::default().with_max_queue_size(most).with_scheduled_delay(settings.every);
        let next = BatchSpanProcessor::builder(sender).with_batch_config(config.build()).build();
        Self { next, waiting, most }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        self.next.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < self.most {
            self.next.on_end(span);
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            add(SpanEnd::Dropped, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// Sends batches, and counts what became of them.
#[derive(Debug)]
struct Sender {
    next: opentelemetry_otlp::SpanExporter,
    waiting: Arc<AtomicUsize>,
    /// As the log has it: it is told once that the collector is away, and once that it is back.
    is_away: AtomicBool,
}

impl SpanExporter for Sender {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let result = self.next.export(batch).await;
        add(if result.is_ok() { SpanEnd::Exported } else { SpanEnd::Failed }, spans);
        match &result {
            Ok(()) if self.is_away.swap(false, Ordering::Relaxed) => tracing::info!("the collector takes spans again"),
            Err(error) if !self.is_away.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "the collector takes no spans; they are lost until it does");
            }
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}
