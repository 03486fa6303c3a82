//! Signed files: uploads are put in parts and go on where they broke off; errors of imports are fetched as CSV.
//!
//! The address is the credential: it opens one file of one tenant until it expires, and a wrong one is answered like a
//! missing one. `PUT` with `Content-Range: bytes FIRST-LAST/SIZE` (or without, for a whole file) answers 204 with
//! `Upload-Offset`; 409 with it when the part begins elsewhere; 413 when there are more bytes than were declared; 503 with
//! `Retry-After` while as many bodies as a process holds are on their way.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use carillon_domain::contacts::import::errors_csv;
use carillon_domain::error::Error;
use carillon_domain::files::{FileTarget, Part, ReceiveError, Received, SignedFile, receive, received};
use carillon_domain::tenancy::enter_by_file;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tokio::time::Instant;

use super::{Gateway, Problem};

const OFFSET: &str = "Upload-Offset";
const LENGTH: &str = "Upload-Length";

/// The routes.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/files/{token}")
                .route(web::put().to(put))
                .route(web::head().to(head))
                .default_service(web::to(|| async { Problem::MethodNotAllowed("PUT, HEAD").response() })),
        )
        .service(
            web::resource("/files/{token}/errors.csv")
                .route(web::get().to(errors))
                .default_service(web::to(|| async { Problem::MethodNotAllowed("GET").response() })),
        );
}

fn signed(gateway: &Gateway, token: &str) -> Option<SignedFile> {
    let ports = &gateway.process.ports;
    SignedFile::verify(&ports.keys, token, ports.now())
}

async fn head(gateway: web::Data<Gateway>, token: web::Path<String>) -> HttpResponse {
    let Some(file) = signed(&gateway, &token) else { return Problem::NotFound.response() };
    let FileTarget::Upload(id) = file.target() else { return Problem::NotFound.response() };
    let ports = &gateway.process.ports;
    match received(&enter_by_file(&ports.wall, &file), ports, id).await {
        Ok(at) => answer(StatusCode::OK, at).finish(),
        Err(error) => refusal(&error),
    }
}

async fn put(
    gateway: web::Data<Gateway>,
    token: web::Path<String>,
    request: HttpRequest,
    body: web::Payload,
) -> HttpResponse {
    let Some(file) = signed(&gateway, &token) else { return Problem::NotFound.response() };
    let FileTarget::Upload(id) = file.target() else { return Problem::NotFound.response() };
    let Some(part) = part(request.headers()) else {
        return Problem::Malformed("Content-Range is bytes FIRST-LAST/SIZE, in digits.").response();
    };
    let process = &gateway.process;
    let grant = enter_by_file(&process.ports.wall, &file);
    let body = Box::pin(timely(body, gateway.settings.body_timeout, gateway.settings.upload_timeout));
    match receive(&grant, (&process.ports, &process.files), id, part, body).await {
        Ok(at) => answer(StatusCode::NO_CONTENT, at).finish(),
        Err(error) => refusal(&error),
    }
}

async fn errors(gateway: web::Data<Gateway>, token: web::Path<String>) -> HttpResponse {
    let Some(file) = signed(&gateway, &token) else { return Problem::NotFound.response() };
    let FileTarget::ImportErrors(import) = file.target() else { return Problem::NotFound.response() };
    match errors_csv(enter_by_file(&gateway.process.ports.wall, &file), import).await {
        Ok(lines) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/csv; charset=utf-8"))
            .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"errors.csv\""))
            .streaming(lines.inspect_err(|error| tracing::warn!(%error, "a file of errors broke off"))),
        Err(Error::Refused(_)) => Problem::NotFound.response(),
        Err(error) => failed(&error),
    }
}

/// The body, broken off when it stalls for `stall` or takes longer than `whole`: what came is kept, and its sender goes on
/// from there with another request.
fn timely<S, E>(body: S, stall: Duration, whole: Duration) -> impl Stream<Item = Result<Bytes, ()>>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let over = Instant::now() + whole;
    futures::stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        match tokio::time::timeout_at(over.min(Instant::now() + stall), body.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(body))),
            Ok(Some(Err(_))) | Err(_) => Some((Err(()), None)),
        }
    })
}

/// Which bytes a request brings; none for a `Content-Range` that is not one.
fn part(headers: &HeaderMap) -> Option<Part> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let length = match headers.get(header::CONTENT_LENGTH) {
        Some(length) => Some(number(length.to_str().ok()?)?),
        None => None,
    };
    let Some(range) = headers.get(header::CONTENT_RANGE) else {
        return Some(Part { offset: 0, length, total: length });
    };
    let (range, total) = range.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let in_range = last.checked_sub(first)?.checked_add(1)?;
    if length.is_some_and(|length| length != in_range) {
        return None;
    }
    let total = if total == "*" { None } else { Some(number(total)?) };
    Some(Part { offset: first, length: Some(in_range), total })
}

fn answer(status: StatusCode, at: Received) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((OFFSET, at.offset.to_string())).insert_header((LENGTH, at.size.to_string()));
    response
}

fn refusal(error: &ReceiveError) -> HttpResponse {
    let (status, code, at) = match error {
        ReceiveError::NotFound => return Problem::NotFound.response(),
        ReceiveError::Failed(error) => return failed(error),
        ReceiveError::Busy => return Problem::Unavailable.response(),
        ReceiveError::WrongOffset(at) => (StatusCode::CONFLICT, "WRONG_OFFSET", *at),
        ReceiveError::TooLarge(at) => (StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", *at),
        ReceiveError::WrongTotal(at) => (StatusCode::BAD_REQUEST, "WRONG_SIZE", *at),
        ReceiveError::Broken(at) => (StatusCode::BAD_REQUEST, "BROKEN_BODY", *at),
    };
    let body = json!({ "errors": [{ "message": error.to_string(), "extensions": { "code": code } }] });
    answer(status, at).content_type("application/json; charset=utf-8").body(body.to_string())
}

fn failed(error: &Error) -> HttpResponse {
    match error {
        Error::Wall(error) if error.may_pass() => Problem::Unavailable.response(),
        Error::Refused(_) => Problem::NotFound.response(),
        error => {
            tracing::error!(%error, "a file could not be taken or given");
            Problem::Internal.response()
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn read(range: Option<&'static str>, length: Option<&'static str>) -> Option<Part> {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: Option<&'static str>| {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_static(value));
            }
        };
        put(header::CONTENT_RANGE, range);
        put(header::CONTENT_LENGTH, length);
        part(&headers)
    }

    #[tokio::test]
    async fn a_body_that_stalls_breaks_off_and_what_came_is_kept() {
        let chunk = || Ok::<_, ()>(Bytes::from_static(b"a"));
        let stalling = || futures::stream::iter([chunk()]).chain(futures::stream::pending());
        let (now, long) = (Duration::ZERO, Duration::from_hours(1));
        for (stall, whole) in [(now, long), (long, now)] {
            let read: Vec<_> = timely(Box::pin(stalling()), stall, whole).collect().await;
            assert_eq!(read, [chunk(), Err(())], "and no more");
        }
        let whole: Vec<_> = timely(futures::stream::iter([chunk()]), long, long).collect().await;
        assert_eq!(whole, [chunk()]);
    }

    #[test]
    fn who_comes_when_all_places_are_taken_comes_again() {
        let response = refusal(&ReceiveError::Busy);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn ranges_are_read_strictly() {
        let whole = Part { offset: 0, length: Some(5), total: Some(5) };
        assert_eq!(read(None, Some("5")), Some(whole));
        assert_eq!(read(None, None), Some(Part { offset: 0, length: None, total: None }));
        let second = Part { offset: 5, length: Some(5), total: Some(10) };
        assert_eq!(read(Some("bytes 5-9/10"), Some("5")), Some(second));
        assert_eq!(read(Some("bytes 5-9/*"), None), Some(Part { total: None, ..second }));
        for bad in
            ["bytes 9-5/10", "bytes 5-9", "bytes -9/10", "5-9/10", "bytes +5-9/10", "bytes 0-18446744073709551615/1"]
        {
            assert_eq!(read(Some(bad), None), None, "{bad}");
        }
        assert_eq!(read(Some("bytes 5-9/10"), Some("6")), None);
    }
}
