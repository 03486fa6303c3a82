//! Answers in gzip or brotli for who reads them, when they are large enough to gain from it.
//!
//! A compressed answer's length tells what in it is alike (BREACH). Here that tells nobody a secret: no page of another site
//! can have a browser send a credential, for there are no cookies, and no two answers hold the same secret to be compared.
//! A token or a key is made for the one answer that tells it.

use actix_http::encoding::Encoder;
use actix_web::body::{BodySize, MessageBody as _};
use actix_web::http::header::{self, AcceptEncoding, ContentEncoding, Encoding, HeaderValue};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};

/// The smallest answer that is compressed, in bytes: a smaller one fits a packet or two as it is.
const FROM: u64 = 1_024;

/// The answer as the request wants it. What has no length, as a stream has none, stays as it is.
pub fn compressed(request: &HttpRequest, response: HttpResponse) -> HttpResponse {
    let is_large = matches!(response.body().size(), BodySize::Sized(size) if size >= FROM);
    let encoding = if is_large { wanted(request) } else { ContentEncoding::Identity };
    if encoding != ContentEncoding::Identity {
        return response.map_body(|head, body| Encoder::response(encoding, head, body).boxed());
    }
    let mut response = response;
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// Who wants nothing that is known here gets the answer as it is (RFC 9110 s12.5.3).
fn wanted(request: &HttpRequest) -> ContentEncoding {
    let known = [Encoding::identity(), Encoding::gzip(), Encoding::brotli()];
    match request.get_header::<AcceptEncoding>().and_then(|accept| accept.negotiate(known.iter())) {
        Some(Encoding::Known(encoding)) => encoding,
        Some(Encoding::Unknown(_)) | None => ContentEncoding::Identity,
    }
}

#[cfg(test)]
mod tests {
    use actix_http::encoding::Decoder;
    use actix_web::body::to_bytes;
    use actix_web::error::PayloadError;
    use actix_web::test::TestRequest;
    use actix_web::web::Bytes;
    use futures::{StreamExt as _, stream};

    use super::*;

    fn answer(accept: Option<&str>, response: HttpResponse) -> HttpResponse {
        let request = TestRequest::get();
        let request = match accept {
            Some(accept) => request.insert_header((header::ACCEPT_ENCODING, accept)),
            None => request,
        };
        let response = compressed(&request.to_http_request(), response);
        let vary: Vec<_> = response.headers().get_all(header::VARY).collect();
        assert_eq!(vary, ["accept-encoding"], "{accept:?}");
        response
    }

    fn encoding(response: &HttpResponse) -> Option<&str> {
        response.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap())
    }

    #[actix_web::test]
    async fn a_large_answer_comes_as_it_is_wanted() {
        let text = "a page of contacts ".repeat(100);
        let cases = [
            ("gzip", Some(ContentEncoding::Gzip)),
            ("br", Some(ContentEncoding::Brotli)),
            ("gzip, deflate, br, zstd", Some(ContentEncoding::Brotli)),
            ("br;q=0.5, gzip;q=0.8", Some(ContentEncoding::Gzip)),
            ("br;q=0, gzip;q=0.1, identity;q=0", Some(ContentEncoding::Gzip)),
            ("identity", None),
            ("*", None),
            ("zstd", None),
            ("identity;q=0", None),
            ("", None),
        ];
        for (accept, expected) in cases {
            let response = answer(Some(accept), HttpResponse::Ok().body(text.clone()));
            assert_eq!(encoding(&response), expected.map(ContentEncoding::as_str), "{accept}");
            let body = to_bytes(response.into_body()).await.unwrap();
            assert_eq!(body.len() < text.len() / 5, expected.is_some(), "{accept}");
            let read = Decoder::new(stream::iter([Ok::<_, PayloadError>(body)]), expected.unwrap_or_default());
            let read: Vec<Bytes> = read.map(Result::unwrap).collect().await;
            assert_eq!(read.concat(), text.as_bytes(), "{accept}");
        }
    }

    #[actix_web::test]
    async fn a_small_one_a_stream_and_one_for_who_says_nothing_stay() {
        let large = "x".repeat(10_000);
        let small = &large[..1_023];
        assert_eq!(encoding(&answer(Some("gzip, br"), HttpResponse::Ok().body(small.to_owned()))), None);
        assert_eq!(encoding(&answer(None, HttpResponse::Ok().body(large.clone()))), None);
        let streamed = stream::iter([Ok::<_, PayloadError>(Bytes::from(large))]);
        assert_eq!(encoding(&answer(Some("gzip, br"), HttpResponse::Ok().streaming(streamed))), None);
    }
}
