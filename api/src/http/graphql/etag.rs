//! Answers that a client may keep and ask about again: those of persisted queries by GET.
//!
//! They are a caller's own, so no cache that others share may keep them, and they may change at any moment, so each use is
//! asked about: what is spared is the answer's way, not the reading. The validator is weak and of the data alone, for what
//! stands beside it, such as the points that are left, is another each time.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, EntityTag, HeaderValue, IfNoneMatch};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use async_graphql::Response;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Kept by who asked, and asked about before each use.
const KEEP: HeaderValue = HeaderValue::from_static("private, no-cache");
/// What else than the address decides what is answered; compression adds its own.
const BY: HeaderValue = HeaderValue::from_static("authorization, accept, prefer");

/// Gives an answer its validator; where the client has that answer, nothing else of it. One with an error is not kept: it has
/// a trace id, and may be gone the next time.
pub(super) fn validated(http: &HttpRequest, response: &Response, answer: HttpResponse) -> HttpResponse {
    if answer.status() != StatusCode::OK || !response.errors.is_empty() {
        return answer;
    }
    let Some(tag) = tag(response, &answer) else { return answer };
    let Ok(shown) = HeaderValue::try_from(tag.to_string()) else { return answer };
    let mut answer = if is_there(http, &tag) { HttpResponse::NotModified().finish() } else { answer };
    let headers = answer.headers_mut();
    headers.insert(header::ETAG, shown);
    headers.insert(header::CACHE_CONTROL, KEEP);
    headers.append(header::VARY, BY);
    answer
}

/// Of the data, in the media type it has.
fn tag(response: &Response, answer: &HttpResponse) -> Option<EntityTag> {
    let data = serde_json::to_vec(&response.data).ok()?;
    let kind = answer.headers().get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(kind);
    context.update(b"\n");
    context.update(&data);
    Some(EntityTag::new_weak(URL_SAFE_NO_PAD.encode(&context.finish().as_ref()[..16])))
}

/// By the weak comparison (RFC 9110 s13.1.2).
fn is_there(http: &HttpRequest, tag: &EntityTag) -> bool {
    match http.get_header::<IfNoneMatch>() {
        Some(IfNoneMatch::Any) => true,
        Some(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use async_graphql::{ServerError, value};

    use super::*;

    const JSON: &str = "application/json; charset=utf-8";

    fn answered(kind: &'static str, response: &Response, known: Option<&str>) -> HttpResponse {
        let request = TestRequest::get();
        let request = match known {
            Some(known) => request.insert_header((header::IF_NONE_MATCH, known)),
            None => request,
        };
        let answer = HttpResponse::Ok().insert_header((header::CONTENT_TYPE, kind)).body("{}");
        validated(&request.to_http_request(), response, answer)
    }

    fn tag_of(answer: &HttpResponse) -> String {
        answer.headers().get(header::ETAG).map_or("", |tag| tag.to_str().unwrap()).to_owned()
    }

    #[test]
    fn an_answer_is_known_by_its_data_and_its_type() {
        let response = Response::new(value!({ "tenant": { "name": "Torten" } }));
        let first = answered(JSON, &response, None);
        let tag = tag_of(&first);
        assert!(first.status() == StatusCode::OK && tag.starts_with("W/\""), "{tag}");
        assert_eq!(first.headers().get(header::CACHE_CONTROL), Some(&KEEP));
        assert_eq!(first.headers().get(header::VARY), Some(&BY));
        let mut dearer = Response::new(response.data.clone());
        dearer.extensions.insert("cost".to_owned(), value!({ "remaining": 7 }));
        assert_eq!(tag_of(&answered(JSON, &dearer, None)), tag, "what stands beside the data is another each time");
        let other = Response::new(value!({ "tenant": { "name": "Brot" } }));
        assert_ne!(tag_of(&answered(JSON, &other, None)), tag);
        assert_ne!(tag_of(&answered("application/graphql-response+json", &response, None)), tag);
    }

    #[test]
    fn who_has_the_answer_gets_nothing_else_of_it() {
        let response = Response::new(value!({ "a": 1 }));
        let tag = tag_of(&answered(JSON, &response, None));
        let strong = tag.trim_start_matches("W/").to_owned();
        for known in [tag.clone(), strong, format!("\"x\", {tag}"), "*".to_owned()] {
            let answer = answered(JSON, &response, Some(&known));
            assert_eq!((answer.status(), tag_of(&answer)), (StatusCode::NOT_MODIFIED, tag.clone()), "{known}");
            assert_eq!(answer.headers().get(header::VARY), Some(&BY));
        }
        for unknown in ["\"x\"", "W/\"\"", "nonsense", ""] {
            assert_eq!(answered(JSON, &response, Some(unknown)).status(), StatusCode::OK, "{unknown}");
        }
    }

    #[test]
    fn an_answer_with_an_error_is_not_kept() {
        let mut response = Response::new(value!({ "a": null }));
        response.errors.push(ServerError::new("gone", None));
        let answer = answered(JSON, &response, Some("*"));
        assert!(answer.status() == StatusCode::OK && tag_of(&answer).is_empty());
        assert!(answer.headers().get(header::CACHE_CONTROL).is_none());
    }
}
