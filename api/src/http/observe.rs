//! Around every request: its id, one log line without addresses or bodies, and a wall that panics do not pass.

use std::panic::AssertUnwindSafe;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, web};
use futures::FutureExt;
use tracing::Instrument;

use super::{Gateway, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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

/// The middleware.
pub async fn observed(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let id = RequestId::new(&request);
    let gateway = request.app_data::<web::Data<Gateway>>().cloned();
    let started = gateway.as_ref().map(|gateway| gateway.process.ports.clock.monotonic());
    let span = tracing::info_span!("request", id = %id.0, method = %request.method());
    request.extensions_mut().insert(id.clone());
    let run = AssertUnwindSafe(next.call(request)).catch_unwind().instrument(span.clone()).await;
    let micros = match (&gateway, started) {
        (Some(gateway), Some(started)) => gateway.process.ports.clock.monotonic().since(started).num_microseconds(),
        _ => None,
    };
    let _entered = span.enter();
    let Ok(result) = run else {
        tracing::error!(micros, "a handler panicked");
        let response = Problem::Internal.answer("application/json", Some(&id.0));
        return Err(InternalError::from_response("panic", response).into());
    };
    let mut response = result?;
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    // The pattern, never the path: paths carry tokens.
    let route = response.request().match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let status = response.status().as_u16();
    if route.starts_with("/health") {
        tracing::debug!(route, status, micros, "answered");
    } else {
        tracing::info!(route, status, micros, "answered");
    }
    Ok(response)
}
