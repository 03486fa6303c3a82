//! Around every request: its id, one log line without addresses or bodies, and a wall that panics do not pass.

use std::panic::AssertUnwindSafe;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{self, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, web};
use carillon_domain::metrics::labels::{Method, Route, Status};
use carillon_domain::time::Monotonic;
use carillon_domain::trace::{self, TraceParent};
use futures::FutureExt;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::{Gateway, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id that logs, errors and the answer's `x-request-id` carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

impl RequestId {
    /// The id of a request; empty only outside [`observed`].
    pub fn of(request: &HttpRequest) -> String {
        request.extensions().get::<Self>().map(|id| id.0.clone()).unwrap_or_default()
    }

    /// The caller's id if it is harmless in a log, or a new one.
    fn new(request: &ServiceRequest) -> Self {
        let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match given.filter(|id| (8..=64).contains(&id.len()) && id.bytes().all(harmless)) {
            Some(id) => Self(id.to_owned()),
            None => Self(request.app_data::<web::Data<Gateway>>().map_or_else(String::new, |gateway| {
                let ports = &gateway.process.ports;
                ports.entropy.uuid_v7(ports.now()).simple().to_string()
            })),
        }
    }
}

/// The spans of a request, for what goes on after its handler returned: those of its log lines and of its trace.
#[derive(Debug, Clone)]
pub struct Spans {
    /// Names the request in log lines.
    pub log: Span,
    /// Its part of the trace; disabled without an exporter.
    pub part: Span,
}

impl Spans {
    /// Those of a request; none only outside [`observed`].
    pub fn of(request: &HttpRequest) -> Self {
        let spans = request.extensions().get::<Self>().cloned();
        spans.unwrap_or_else(|| Self { log: Span::none(), part: Span::none() })
    }

    /// Work that is done in both.
    pub fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.instrument(self.part.clone()).instrument(self.log.clone())
    }
}

/// A request that is counted when it is answered, or when its client goes away before. Probes are not: whoever looks at
/// rates and durations wants to know about people.
struct Counting {
    gateway: web::Data<Gateway>,
    route: Route,
    method: Method,
    since: Monotonic,
    status: Status,
}

impl Counting {
    fn of(request: &ServiceRequest, gateway: &web::Data<Gateway>) -> Option<Self> {
        let route = match request.path().split('/').nth(1)? {
            "health" => return None,
            "graphql" => Route::Graphql,
            "files" => Route::Files,
            "u" | "unsubscribe" => Route::Links,
            "c" | "o" => Route::Tracking,
            _ => Route::Other,
        };
        let method = match *request.method() {
            http::Method::GET | http::Method::HEAD => Method::Get,
            http::Method::POST => Method::Post,
            http::Method::PUT => Method::Put,
            _ => Method::Other,
        };
        let since = gateway.process.ports.clock.monotonic();
        Some(Self { gateway: gateway.clone(), route, method, since, status: Status::Dropped })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let ports = &self.gateway.process.ports;
        ports.metrics.requests.one((self.route, self.method, self.status));
        ports.metrics.request_times.took((self.route,), ports.clock.monotonic().since(self.since));
    }
}

/// Counts a request as answered.
fn answered(counting: Option<Counting>, status: StatusCode) {
    if let Some(mut counting) = counting {
        counting.status = Status::of(status.as_u16());
    }
}

/// The span of a request for traces; disabled without an exporter, and for probes. It tells neither address nor query, and of
/// who calls only what the caller's own trace is called. That is linked to, or gone on with where the operator says so: who
/// may name the trace may also mix it with others, and decide that it is exported.
fn part(request: &ServiceRequest, gateway: Option<&Gateway>, (id, told): (&RequestId, &Span)) -> Span {
    let Some(gateway) = gateway.filter(|_| !request.path().starts_with("/health")) else { return Span::none() };
    let part = tracing::info_span!(
        target: trace::PARTS, "request", otel.kind = "server", otel.status_code = Empty,
        request.id = %id.0, http.request.method = method(request.method()), http.route = Empty,
        http.response.status_code = Empty, "graphql.operation.type" = Empty, "graphql.operation.name" = Empty, cost = Empty,
        outcome = Empty,
    );
    if part.is_disabled() {
        return part;
    }
    let mut given = request.headers().get_all(&TRACEPARENT);
    let caller =
        given.next().filter(|_| given.next().is_none()).and_then(|value| TraceParent::parse(value.to_str().ok()?));
    if gateway.settings.continues_traces {
        trace::adopt(&part, caller);
    }
    if let Some(begun) = trace::of(&part) {
        told.record("trace_id", begun.trace_id());
    }
    if !gateway.settings.continues_traces {
        trace::link(&part, caller);
    }
    part
}

/// The method, if it is one of HTTP's own: others are whatever a client wrote.
fn method(method: &http::Method) -> &str {
    use http::Method;
    let own = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    if own.contains(method) { method.as_str() } else { "_OTHER" }
}

/// Tells a span how its request was answered.
fn end(part: &Span, status: StatusCode) {
    part.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        part.record("otel.status_code", "error");
    }
}

/// The middleware.
pub async fn observed(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let id = RequestId::new(&request);
    let gateway = request.app_data::<web::Data<Gateway>>().cloned();
    let started = gateway.as_ref().map(|gateway| gateway.process.ports.clock.monotonic());
    let span = tracing::info_span!("request", id = %id.0, method = %request.method(), trace_id = Empty);
    let part = part(&request, gateway.as_ref().map(web::Data::get_ref), (&id, &span));
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(Spans { log: span.clone(), part: part.clone() });
    let counting = gateway.as_ref().and_then(|gateway| Counting::of(&request, gateway));
    let run = AssertUnwindSafe(next.call(request)).catch_unwind();
    let run = run.instrument(part.clone()).instrument(span.clone()).await;
    let micros = match (&gateway, started) {
        (Some(gateway), Some(started)) => gateway.process.ports.clock.monotonic().since(started).num_microseconds(),
        _ => None,
    };
    let _entered = span.enter();
    let Ok(result) = run else {
        tracing::error!(micros, "a handler panicked");
        answered(counting, StatusCode::INTERNAL_SERVER_ERROR);
        end(&part, StatusCode::INTERNAL_SERVER_ERROR);
        let response = Problem::Internal.answer("application/json", Some(&id.0));
        return Err(InternalError::from_response("panic", response).into());
    };
    let status = result.as_ref().map_or_else(|error| error.as_response_error().status_code(), ServiceResponse::status);
    answered(counting, status);
    end(&part, status);
    let mut response = result?;
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    // The pattern, never the path: paths carry tokens.
    let route = response.request().match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    part.record("http.route", route.as_str());
    trace::rename(&part, || format!("{} {route}", method(response.request().method())));
    let status = status.as_u16();
    if route.starts_with("/health") {
        tracing::debug!(route, status, micros, "answered");
    } else {
        tracing::info!(route, status, micros, "answered");
    }
    Ok(response)
}
