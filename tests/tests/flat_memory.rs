//! A gigabyte in one body or one line is refused early and in flat memory, at every door that takes bytes (C-231).
//!
//! A binary of its own, with one test: what is measured is the whole process. Linux tells the peak.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use carillon_domain::contacts::import::{DeclareColumn, ImportOptions, ImportState, list_import_errors};
use carillon_domain::files::{CreateUpload, Part, ReceiveError, Upload, create_upload, receive};
use carillon_domain::paging::Ahead;
use carillon_tests::gateway::gateway_with;
use carillon_tests::memory::flat_within;
use carillon_tests::people::{People, codes};
use futures::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const GIGABYTE: u64 = 1 << 30;
const CHUNK: usize = 64 << 10;
/// What the process may grow by at its peak.
const GROWTH_MAX: u64 = 64 << 20;
/// What a door may let in of something it refuses, buffers of two sockets and all.
const TAKEN_MAX: u64 = 128 << 20;

/// Does something, and looks by how much memory grew at most meanwhile.
async fn flat<T>(what: &str, work: impl Future<Output = T>) -> T {
    flat_within(GROWTH_MAX, what, work).await
}

/// Sends a head and then a gigabyte, piece by piece, until the expected answer comes or the connection ends; returns what
/// came and how much of the gigabyte was sent by then.
async fn pour(addr: SocketAddr, (head, piece): (&str, &[u8]), expected: &str) -> (String, u64) {
    let (mut reader, mut writer) = TcpStream::connect(addr).await.unwrap().into_split();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let (head, piece) = (head.as_bytes().to_vec(), piece.to_vec());
    let pouring = tokio::spawn(async move {
        writer.write_all(&head).await?;
        while counted.load(Ordering::Relaxed) < GIGABYTE {
            writer.write_all(&piece).await?;
            counted.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        Ok::<_, std::io::Error>(writer)
    });
    let (mut answer, mut buffer) = (String::new(), [0; 4096]);
    while let Ok(read @ 1..) = reader.read(&mut buffer).await {
        answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if answer.contains(expected) {
            break;
        }
    }
    let sent = sent.load(Ordering::Relaxed);
    pouring.abort();
    (answer, sent)
}

/// The same, and it must have been refused early with this answer.
async fn refused(what: &str, addr: SocketAddr, request: (&str, &[u8]), expected: &str) {
    let (answer, sent) = flat(what, pour(addr, request, expected)).await;
    assert!(answer.contains(expected), "{what}: {answer:?}");
    assert!(sent < TAKEN_MAX, "{what}: {sent} bytes were taken");
}

/// Announces a file of `size` bytes.
async fn announce(people: &People, size: u64) -> Upload {
    let (ports, grant) = (people.world.ports(), people.imports());
    let command = CreateUpload::parse("a.csv", i64::try_from(size).unwrap(), GIGABYTE).unwrap();
    let mut tx = grant.begin().await.unwrap();
    let upload = create_upload(&grant, &mut tx, ports, command).await.unwrap();
    tx.commit().await.unwrap();
    upload
}

/// Announces and puts a file that begins with `head` and goes on with a line of `size` bytes.
async fn line(people: &People, head: &'static str, size: u64) -> Upload {
    let upload = announce(people, size + head.len() as u64).await;
    let chunk = bytes::Bytes::from(vec![b'x'; CHUNK]);
    let chunks = stream::repeat(chunk).take(usize::try_from(size).unwrap() / CHUNK);
    let body = stream::iter([bytes::Bytes::from_static(head.as_bytes())]).chain(chunks).map(Ok::<_, std::io::Error>);
    let part = Part { offset: 0, length: None, total: None };
    receive(&people.imports(), (people.world.ports(), &people.files), upload.id, part, body).await.unwrap();
    upload
}

/// A hundred bodies on one address, none of which ends: a few are held, the others are told to come again.
async fn stalled_bodies(people: &People) {
    const BODY: usize = 7 << 20;
    const HELD: usize = 16;
    let (ports, grant) = (people.world.ports(), people.imports());
    let upload = announce(people, GIGABYTE).await.id;
    let (stalled, mut stalls) = tokio::sync::mpsc::unbounded_channel();
    let bodies = (0..100).map(|_| {
        let stalled = stalled.clone();
        let chunks = stream::repeat_with(|| Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b'x'; CHUNK])));
        let body = chunks.take(BODY / CHUNK).chain(stream::once(async move {
            stalled.send(()).unwrap();
            std::future::pending().await
        }));
        let (grant, part) = (&grant, Part { offset: 0, length: None, total: None });
        Box::pin(async move { receive(grant, (ports, &people.files), upload, part, Box::pin(body)).await })
    });
    let mut bodies: stream::FuturesUnordered<_> = bodies.collect();
    let (mut refused, mut held) = (0, 0);
    while refused + held < 100 {
        tokio::select! {
            Some(done) = bodies.next() => {
                assert!(matches!(done, Err(ReceiveError::Busy)), "{done:?}");
                refused += 1;
            }
            Some(()) = stalls.recv() => held += 1,
        }
    }
    assert_eq!((refused, held), (100 - HELD, HELD));
    drop(bodies);
    let body = stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"x"))]);
    let part = Part { offset: 0, length: None, total: None };
    receive(&grant, (ports, &people.files), upload, part, body).await.expect("there is a place again");
}

async fn over_http(people: &People) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let gateway = gateway_with(people.world.ports().clone(), people.files.clone());
    let server = carillon::http::serve(gateway, listener, std::time::Duration::from_secs(1)).unwrap();
    let (handle, running) = (server.handle(), actix_web::rt::spawn(server));
    let upload = announce(people, 1 << 20).await;
    let url = upload.url(people.world.ports(), people.tenant);
    let put = url.strip_prefix("https://carillon.test").unwrap();
    let plain = vec![b'x'; CHUNK];
    let chunked = [format!("{CHUNK:x}\r\n").as_bytes(), &plain, b"\r\n"].concat();
    let doors = [
        ("POST /graphql", "application/json", "413 Payload Too Large"),
        // A file of another size than it was declared with is refused by its length alone.
        (&format!("PUT {put}"), "text/csv", "WRONG_SIZE"),
    ];
    for (line, kind, of_known_length) in doors {
        let head = format!("{line} HTTP/1.1\r\nHost: carillon.test\r\nContent-Type: {kind}\r\n");
        let known = format!("{head}Content-Length: {GIGABYTE}\r\n\r\n");
        refused(&format!("{kind} of a known length"), addr, (&known, &plain), of_known_length).await;
        let unknown = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
        refused(&format!("{kind} in chunks"), addr, (&unknown, &chunked), "413 Payload Too Large").await;
    }
    flat("documents that unfold", Box::pin(documents(addr))).await;
    handle.stop(true).await;
    running.await.unwrap().unwrap();
}

/// Documents of a few lines that would unfold to more than a machine holds.
async fn documents(addr: SocketAddr) {
    let spread = |n: usize| format!("fragment F{n} on Query {{ {} }}", format!("...F{} ", n + 1).repeat(10));
    let bomb = format!(
        "{{ ...F0 }} {} fragment F20 on Query {{ serverTime }}",
        (0..20).map(spread).collect::<Vec<_>>().concat()
    );
    let values = format!("fragment F on Query {{ nodes(ids: [{}]) {{ id }} }}", "\"x\" ".repeat(1_000));
    let repeated = (0..100).map(|n| format!("... @include(if: true) {{ ...F }} # {n}\n")).collect::<Vec<_>>().concat();
    let pages = "messages(first: 100) { nodes { contact { ".repeat(3) + "id" + &" } } }".repeat(3);
    let client = reqwest::Client::new();
    for query in
        [bomb, format!("{{ {repeated} }} {values}"), format!("{{ {pages} }}"), format!("{{{}", "a{".repeat(200_000))]
    {
        let body = serde_json::json!({ "query": query });
        for _ in 0..50 {
            let answer = client.post(format!("http://{addr}/graphql")).json(&body).send().await.unwrap();
            let text = answer.text().await.unwrap();
            assert!(text.contains("DOCUMENT_TOO_LARGE"), "{} {text}", &query[..40]);
        }
    }
}

async fn over_smtp(people: &People) {
    let addr = people.world.catcher().await.addr();
    let line = vec![b'x'; CHUNK];
    let envelope = "EHLO t\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n";
    refused("a line of DATA", addr, (envelope, &line), "552 5.3.4").await;
    refused("a command", addr, ("EHLO ", &line), "500 5.5.2").await;
    let lines = [vec![b'x'; 998], b"\r\n".to_vec()].concat().repeat(64);
    refused("lines of DATA", addr, (envelope, &lines), "552 5.3.4").await;
}

async fn over_import(people: &People) {
    const LINE: u64 = 48 << 20;
    let upload = Box::pin(flat("a header without end", line(people, "email", LINE))).await;
    let begun = Box::pin(people.start_upload(upload.id, ImportOptions::default()));
    let started = flat("a header without end", begun).await;
    assert_eq!(codes(started), ["ROW_ENDLESS"]);
    let upload = Box::pin(flat("a row without end", line(people, "email\na@example.org\n", LINE))).await;
    let import = people.start_upload(upload.id, ImportOptions::default()).await.unwrap();
    Box::pin(flat("a row without end", people.world.drain())).await;
    let import = people.import(import.id).await;
    assert_eq!((import.state, import.error_code.as_deref()), (ImportState::Failed, Some("ROW_ENDLESS")));
    assert!(import.done_bytes < import.total_bytes, "the rest was not read");
    assert_eq!((import.rows_seen, import.rows_created, import.rows_failed), (2, 1, 1));
    let grant = people.imports();
    let mut tx = grant.begin_read().await.unwrap();
    let page = Ahead { after: None, size: 10 };
    let errors =
        list_import_errors(&grant, &mut tx, &[import.id], page).await.unwrap().remove(&import.id).unwrap().items;
    assert_eq!((errors[0].line, errors[0].code.as_str()), (3, "ROW_ENDLESS"));
    tx.commit().await.unwrap();
}

/// Many columns of one letter each: few bytes of a file, and a value of each.
async fn wide_import(people: &People) {
    const COLUMNS: usize = 499;
    let declare = |i: usize| DeclareColumn { column: format!("a{i}"), name: format!("a{i}"), kind: "string".into() };
    let options = ImportOptions { declare: (0..COLUMNS).map(declare).collect(), ..Default::default() };
    let header: Vec<String> = (0..COLUMNS).map(|i| format!("a{i}")).collect();
    let rows: Vec<String> = (0..300).map(|i| format!("p{i}@example.org{}\n", ",x".repeat(COLUMNS))).collect();
    let import = people.start(format!("email,{}\n{}", header.join(","), rows.concat()), options).await.unwrap();
    Box::pin(flat("a row of many columns", people.world.drain())).await;
    let import = people.import(import.id).await;
    assert_eq!((import.state, import.rows_created), (ImportState::Completed, 300));
}

#[actix_web::test]
async fn c231_a_gigabyte_is_refused_early_and_in_flat_memory() {
    let people = People::new().await;
    over_http(&people).await;
    flat_within(160 << 20, "a hundred bodies that stall", Box::pin(stalled_bodies(&people))).await;
    over_smtp(&people).await;
    Box::pin(over_import(&people)).await;
    Box::pin(wide_import(&people)).await;
}
