//! Requests as no client writes them, octet by octet: what is ambiguous is refused, and nothing given comes back as a header.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::served::Served;
use crate::setup::Api;

/// The whole answer to a request for liveness with some header lines.
async fn answer(served: &Served, lines: &str) -> String {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let request = format!("GET /health/live HTTP/1.1\r\nhost: carillon.test\r\nconnection: close\r\n{lines}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[actix_web::test]
async fn headers_that_would_split_an_answer_or_a_request_do_not() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    let plain = answer(&served, "x-request-id: harmless-1").await;
    assert!(plain.starts_with("HTTP/1.1 200 ") && plain.contains("x-request-id: harmless-1\r\n"), "{plain}");
    for lines in [
        "x-request-id: injected\rx-injected: 1",
        "x-request-id: injected\r\n x-injected: 1",
        "x-request-id: injected\0",
        "x-request-id : injected",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "content-length: 5\r\ncontent-length: 6",
    ] {
        let answer = answer(&served, lines).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("injected"), "{lines:?}: {answer}");
    }
    for id in ["injected%0d%0ax-injected: 1", "injected\u{2028}x-injected: 1", "injected\\r\\nx-injected: 1"] {
        let answer = answer(&served, &format!("x-request-id: {id}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("injected"), "{id:?}: {answer}");
    }
    served.lives().await;
    served.stop().await;
}
