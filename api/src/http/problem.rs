//! Answers of the edge to requests that never reach the schema: GraphQL's error shape, whatever was asked for.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use carillon_domain::codes::is_retryable;
use serde_json::{Value, json};

/// Why a request is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Not a GraphQL request over HTTP; says which rule it broke.
    Malformed(&'static str),
    /// It can be read, and asks for nothing that could be run; says which rule it broke.
    IllFormed(&'static str),
    /// A credential that does not verify.
    Unauthenticated,
    /// A page of another origin asks (C-223).
    ForeignOrigin,
    /// No such route.
    NotFound,
    /// The route knows other methods; says which.
    MethodNotAllowed(&'static str),
    /// None of the media types that are accepted can be given.
    NotAcceptable,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The body is of a type that is not read.
    UnsupportedMediaType,
    /// A tenant has as many sockets and streams as it may.
    TooManyListeners,
    /// The request took too long.
    Timeout,
    /// Something is down; try again.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl Problem {
    /// Status, code and message.
    pub(super) fn parts(self) -> (StatusCode, &'static str, String) {
        let (status, code, message) = match self {
            Self::Malformed(rule) | Self::IllFormed(rule) => (StatusCode::BAD_REQUEST, "BAD_REQUEST", rule),
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "Sign in, or send a valid credential.")
            }
            Self::ForeignOrigin => {
                (StatusCode::FORBIDDEN, "FOREIGN_ORIGIN", "Pages of other origins open no socket here.")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing here."),
            Self::MethodNotAllowed(_) => {
                (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Use another method for this.")
            }
            Self::NotAcceptable => {
                let message = "Answers are application/graphql-response+json, application/json or text/event-stream.";
                (StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", message)
            }
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "The body did not arrive in time."),
            Self::TooLarge(limit) => {
                let message = format!("The body has more than {limit} bytes.");
                return (StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", message);
            }
            Self::UnsupportedMediaType => {
                let message = "Send application/json in UTF-8, without a content encoding.";
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
            }
            Self::TooManyListeners => {
                let message = "Too many subscriptions of this tenant; try again later.";
                (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY", message)
            }
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "TIMEOUT", "The request took too long."),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "The service is busy or restarting; try again.")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Something went wrong on our side."),
        };
        (status, code, message.to_owned())
    }

    /// The answer, without a trace id.
    pub fn response(self) -> HttpResponse {
        self.answer("application/json", None)
    }

    /// The answer in a media type, with the request's id.
    pub fn answer(self, media_type: &'static str, trace_id: Option<&str>) -> HttpResponse {
        let (status, code, message) = self.parts();
        let mut extensions = json!({ "code": code, "retryable": is_retryable(code) });
        if let Some(id) = trace_id {
            extensions["traceId"] = Value::from(id);
        }
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CONTENT_TYPE, format!("{media_type}; charset=utf-8")));
        match self {
            Self::MethodNotAllowed(allowed) => response.insert_header((header::ALLOW, allowed)),
            Self::Unauthenticated => response.insert_header((header::WWW_AUTHENTICATE, "Bearer")),
            // Says that it may have been the encoding (RFC 9110 s15.5.16).
            Self::UnsupportedMediaType => response.insert_header((header::ACCEPT_ENCODING, "identity")),
            Self::TooManyListeners => response.insert_header((header::RETRY_AFTER, "10")),
            Self::Unavailable | Self::Timeout => response.insert_header((header::RETRY_AFTER, "1")),
            _ => &mut response,
        };
        response.body(json!({ "errors": [{ "message": message, "extensions": extensions }] }).to_string())
    }
}
