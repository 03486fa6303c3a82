//! An OpenTelemetry collector that keeps what it gets, and may be away.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use carillon::config::Secret;
use carillon::traces::TraceSettings;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// What a collector wants to be shown.
const KEY: (&str, &str) = ("x-collector-key", "let me in");

/// A listening collector.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    kept: Arc<Kept>,
    handle: ServerHandle,
}

#[derive(Debug, Default)]
struct Kept {
    batches: Mutex<Vec<ExportTraceServiceRequest>>,
    hangs: AtomicBool,
}

impl Collector {
    /// Starts one on a port of its own.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, kept) = (listener.local_addr().unwrap(), Arc::<Kept>::default());
        let data = web::Data::from(Arc::clone(&kept));
        let app = move || {
            App::new()
                .app_data(data.clone())
                .app_data(web::PayloadConfig::new(16_000_000))
                .route("/v1/traces", web::post().to(take))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(1);
        let server = server.listen(listener).unwrap().run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { address, kept, handle }
    }

    /// What a process is told that exports to it.
    pub fn settings(&self) -> TraceSettings {
        TraceSettings {
            endpoint: format!("http://{}/v1/traces", self.address),
            headers: vec![(KEY.0.to_owned(), Secret::new(KEY.1.to_owned()))],
            timeout: Duration::from_secs(2),
            service: "carillon-test".to_owned(),
            sampled: 1.0,
            queue: 2_048,
            every: Duration::from_millis(50),
            continues_callers: false,
        }
    }

    /// Everything it got, as it got it.
    pub fn batches(&self) -> Vec<ExportTraceServiceRequest> {
        self.kept.batches.lock().unwrap().clone()
    }

    /// The spans it got.
    pub fn spans(&self) -> Vec<Span> {
        let resources = self.batches().into_iter().flat_map(|batch| batch.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// Waits until it got what is wanted; the spans then.
    pub async fn until(&self, what: &str, wanted: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        for _ in 0..1_000 {
            let spans = self.spans();
            if wanted(&spans) {
                return spans;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never {what}: {:?}", self.spans().iter().map(|span| span.name.clone()).collect::<Vec<_>>());
    }

    /// From now on it takes requests and never answers.
    pub fn hang(&self) {
        self.kept.hangs.store(true, Ordering::SeqCst);
    }

    /// Nobody listens any more.
    pub async fn stop(&self) {
        self.handle.stop(false).await;
    }
}

async fn take(kept: web::Data<Kept>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    if kept.hangs.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    let is =
        |name: &str, value: &str| request.headers().get(name).is_some_and(|given| given.as_bytes() == value.as_bytes());
    if !is(KEY.0, KEY.1) {
        return HttpResponse::Unauthorized().finish();
    }
    if !is(CONTENT_TYPE.as_str(), "application/x-protobuf") {
        return HttpResponse::UnsupportedMediaType().finish();
    }
    match ExportTraceServiceRequest::decode(body) {
        Ok(batch) => {
            kept.batches.lock().unwrap().push(batch);
            HttpResponse::Ok().content_type("application/x-protobuf").finish()
        }
        Err(_) => HttpResponse::BadRequest().finish(),
    }
}

/// What a span tells under a name, as text; empty where it tells nothing.
pub fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => other.map(|value| format!("{value:?}")).unwrap_or_default(),
    }
}
