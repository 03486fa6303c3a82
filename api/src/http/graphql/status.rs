//! Which status an answer has: by its media type, and by the edition of GraphQL over HTTP that its client prefers.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use async_graphql::{Response, Value};

use crate::graphql::error;
use crate::http::Problem;
use crate::http::negotiate::MediaType;

/// In which a client says how it wants errors handled (RFC 7240).
pub(super) const PREFER: &str = "prefer";
/// In which it is told that they are, and how.
const APPLIED: &str = "preference-applied";
const STRICT: &str = "handling=strict";

/// The status of an answer in a media type.
pub(super) fn of(response: &Response, media_type: MediaType) -> StatusCode {
    match media_type {
        // Its errors are for events to tell, as the protocol has it.
        MediaType::EventStream => StatusCode::OK,
        MediaType::StrictResponse => strict(response),
        MediaType::GraphqlResponse | MediaType::Json => usual(response, media_type),
    }
}

/// As the audits of graphql-http want it.
fn usual(response: &Response, media_type: MediaType) -> StatusCode {
    match by_code(response) {
        Some(status) if has_no_data(response) => status,
        _ if media_type == MediaType::GraphqlResponse && is_not_run(response) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// As the edition of September 2026 wants it: what has `data`, be it null, was run.
fn strict(response: &Response) -> StatusCode {
    if is_not_run(response) {
        let is_unreadable = response.errors.iter().any(|error| error.message.starts_with(error::UNREADABLE));
        let otherwise = if is_unreadable { StatusCode::BAD_REQUEST } else { StatusCode::UNPROCESSABLE_ENTITY };
        return by_code(response).unwrap_or(otherwise);
    }
    if response.errors.is_empty() { StatusCode::OK } else { partial_success() }
}

/// 294, which HTTP does not know: GraphQL's own word for an answer beside errors.
fn partial_success() -> StatusCode {
    StatusCode::from_u16(294).unwrap_or(StatusCode::OK)
}

/// Says of an answer with this status that strict handling was applied.
pub(super) fn tell_strict(answer: &mut HttpResponseBuilder, status: StatusCode) {
    answer.insert_header((APPLIED, STRICT));
    if status == partial_success() {
        answer.reason("Partial Success");
    }
}

/// A problem's answer, strictly handled: what can be read and asks for nothing is 422 there.
pub(super) fn strictly(problem: Problem, mut answer: HttpResponse) -> HttpResponse {
    if matches!(problem, Problem::IllFormed(_)) {
        *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    answer.headers_mut().insert(HeaderName::from_static(APPLIED), HeaderValue::from_static(STRICT));
    answer
}

pub(super) fn has_no_data(response: &Response) -> bool {
    match &response.data {
        Value::Object(fields) => fields.values().all(|value| *value == Value::Null),
        data => *data == Value::Null,
    }
}

/// True for errors from before the execution, which have no path: such an answer has no `data` at all.
pub(super) fn is_not_run(response: &Response) -> bool {
    has_no_data(response) && !response.errors.is_empty() && response.errors.iter().all(|error| error.path.is_empty())
}

/// The status of an answer without data, where HTTP has a word for it.
fn by_code(response: &Response) -> Option<StatusCode> {
    let statuses = [
        ("UNAUTHENTICATED", StatusCode::UNAUTHORIZED),
        ("TOO_MANY", StatusCode::TOO_MANY_REQUESTS),
        ("RATE_LIMITED", StatusCode::TOO_MANY_REQUESTS),
        ("UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
    ];
    statuses.into_iter().find(|(code, _)| error::has_code(response, code)).map(|(_, status)| status)
}

#[cfg(test)]
mod tests {
    use async_graphql::{PathSegment, ServerError, value};

    use super::*;

    #[test]
    fn what_was_run_with_errors_is_294_for_who_is_strict_alone() {
        let mut error = ServerError::new("gone", None);
        error.path = vec![PathSegment::Field("b".to_owned())];
        error.extensions.get_or_insert_default().set("code", "UNAVAILABLE");
        let answers = [(value!({ "a": 1, "b": null }), 200), (value!({ "b": null }), 503), (Value::Null, 503)];
        for (data, usually) in answers {
            let mut response = Response::new(data.clone());
            assert_eq!(of(&response, MediaType::StrictResponse), StatusCode::OK, "{data}");
            response.errors.push(error.clone());
            assert_eq!(of(&response, MediaType::StrictResponse).as_u16(), 294, "{data}");
            for media_type in [MediaType::GraphqlResponse, MediaType::Json] {
                assert_eq!(of(&response, media_type).as_u16(), usually, "{data}");
            }
            assert_eq!(of(&response, MediaType::EventStream), StatusCode::OK, "{data}");
        }
    }

    #[test]
    fn what_was_not_run_is_never_a_success_for_who_is_strict() {
        let of = |code: &str| {
            let mut error = ServerError::new("no", None);
            error.extensions.get_or_insert_default().set("code", code);
            of(&Response::from_errors(vec![error]), MediaType::StrictResponse).as_u16()
        };
        assert_eq!([of("RATE_LIMITED"), of("UNAUTHENTICATED"), of("BAD_REQUEST")], [429, 401, 422]);
    }
}
