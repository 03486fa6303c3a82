//! The channel against a sink on loopback, and the guard against names that lead inside.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use carillon_domain::ids::WebhookEventId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::guard::judged;
use super::*;

const BODY: &[u8] = br#"{"type":"webhook.test"}"#;

/// Tells the addresses of any name, other ones each time; the last ones for ever.
#[derive(Debug)]
struct Told(Mutex<Vec<Vec<IpAddr>>>);

impl Told {
    fn new(rounds: &[&[&str]]) -> Arc<Self> {
        let parse = |round: &&[&str]| round.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(rounds.iter().rev().map(parse).collect())))
    }
}

#[async_trait::async_trait]
impl Names for Told {
    async fn addresses(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut rounds = self.0.lock().unwrap();
        let told = rounds.last().cloned().unwrap_or_default();
        if rounds.len() > 1 {
            rounds.pop();
        }
        Ok(told)
    }
}

/// Answers every connection with a text and closes it; without one it is silent. Keeps what it was sent.
async fn sink(answer: Option<String>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(BODY) {
                let mut part = [0; 4096];
                match stream.read(&mut part).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => request.extend_from_slice(&part[..n]),
                }
            }
            kept.lock().unwrap().push(String::from_utf8(request).unwrap());
            match &answer {
                Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                None => tokio::time::sleep(Duration::from_hours(1)).await,
            }
        }
    });
    (address, seen)
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn channel(reach: WebhookReach, names: Arc<dyn Names>) -> WebhookChannel {
    let settings = WebhookSettings { timeout: Duration::from_millis(500), names, ..WebhookSettings::default() };
    WebhookChannel::new(reach, settings)
}

async fn post(channel: &WebhookChannel, url: &str) -> Answer {
    let (id, at) = (WebhookEventId(Uuid::from_u128(1)), Timestamp::from_timestamp(1_772_442_000, 0).unwrap());
    channel.post(Letter { url, id, at, signature: "v1,abc".to_owned(), body: BODY }).await
}

async fn told(head: &str, body: &str) -> (Answer, Vec<String>) {
    let (address, seen) = sink(Some(answer(head, body))).await;
    let local = channel(WebhookReach::Local, Arc::new(SystemNames));
    let answer = post(&local, &format!("http://{address}/hook?a=b")).await;
    let seen = seen.lock().unwrap().clone();
    (answer, seen)
}

#[tokio::test]
async fn c188_only_2xx_is_a_success() {
    let (taken, seen) = told("204 No Content", "").await;
    assert_eq!((taken.outcome, taken.status, taken.body), (WebhookOutcome::Delivered, Some(204), None));
    let head = seen[0].to_ascii_lowercase();
    assert!(head.starts_with("post /hook?a=b http/1.1\r\n"), "{head}");
    for line in [
        "content-type: application/json",
        "webhook-id: whevent_00000000000000000000000001",
        "webhook-timestamp: 1772442000",
        "webhook-signature: v1,abc",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    for (head, outcome) in [
        ("500 Oh", WebhookOutcome::Answered),
        ("404 No", WebhookOutcome::Answered),
        ("304 Same", WebhookOutcome::Answered),
        ("410 Gone", WebhookOutcome::Gone),
    ] {
        assert_eq!(told(head, "").await.0.outcome, outcome, "{head}");
    }
    let (slow, _) = told("429 Slowly\r\nRetry-After: 7", "later").await;
    assert_eq!((slow.retry_after, slow.body.as_deref()), (Some(TimeDelta::seconds(7)), Some("later")));
    let (dated, _) = told("503 Later\r\nRetry-After: Mon, 02 Mar 2026 09:02:00 GMT", "").await;
    assert_eq!(dated.retry_after, Some(TimeDelta::minutes(2)));
    let (unread, _) = told("503 Later\r\nRetry-After: soon", "").await;
    assert_eq!(unread.retry_after, None);
}

#[tokio::test]
async fn c227_a_redirect_is_not_followed_and_little_of_an_answer_is_kept() {
    let (inside, visited) = sink(Some(answer("200 OK", ""))).await;
    let (moved, _) = told(&format!("302 Found\r\nLocation: http://{inside}/secret"), "").await;
    assert_eq!((moved.outcome, moved.status), (WebhookOutcome::Answered, Some(302)));
    assert!(visited.lock().unwrap().is_empty());
    let (long, _) = told("200 OK", &"ä\0".repeat(100_000)).await;
    assert_eq!(long.outcome, WebhookOutcome::Delivered);
    let kept = long.body.unwrap();
    assert!(kept.starts_with("ä\u{fffd}ä") && kept.len() < 3 * KEPT && !kept.contains('\0'), "{} bytes", kept.len());
}

#[tokio::test]
async fn c188_who_is_silent_or_gone_has_failed() {
    let local = channel(WebhookReach::Local, Arc::new(SystemNames));
    let (silent, _) = sink(None).await;
    assert_eq!(post(&local, &format!("http://{silent}/")).await.outcome, WebhookOutcome::TimedOut);
    let (broken, _) = sink(Some(String::new())).await;
    assert_eq!(post(&local, &format!("http://{broken}/")).await.outcome, WebhookOutcome::Unreachable);
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    assert_eq!(post(&local, &format!("http://{nobody}/")).await.outcome, WebhookOutcome::Unreachable);
}

#[tokio::test]
async fn c227_nothing_inside_is_connected_to() {
    let (address, seen) = sink(Some(answer("200 OK", ""))).await;
    let port = address.port();
    let inside = ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "64:ff9b::a00:1"];
    for ip in inside {
        let public = channel(WebhookReach::Public, Told::new(&[&[ip]]));
        let refused = post(&public, &format!("https://hooks.example.org:{port}/")).await;
        assert_eq!(refused.outcome, WebhookOutcome::AddressRefused, "{ip}");
    }
    let public = channel(WebhookReach::Public, Told::new(&[&["9.9.9.9"]]));
    for host in ["127.1", "0x7f000001", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "[2002:a00:1::]", "169.254.169.254"] {
        let refused = post(&public, &format!("https://{host}:{port}/")).await;
        assert_eq!(refused.outcome, WebhookOutcome::AddressRefused, "{host}");
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn c227_a_name_is_judged_each_time_and_only_its_public_addresses_are_left() {
    let names = Told::new(&[&["127.0.0.1", "9.9.9.9", "10.0.0.1", "2620:fe::9"], &["127.0.0.1"]]);
    let name = || "hooks.example.org".parse().unwrap();
    let first: Vec<SocketAddr> = judged(names.clone(), WebhookReach::Public, name()).await.unwrap().collect();
    assert_eq!(first, ["9.9.9.9:0".parse().unwrap(), "[2620:fe::9]:0".parse().unwrap()]);
    let again = judged(names, WebhookReach::Public, name()).await.map(drop);
    assert!(again.unwrap_err().is::<AddressRefused>(), "it leads inside by now");
}
