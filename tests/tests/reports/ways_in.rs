//! The listener, in SMTP and in LMTP, and the address over HTTP: one report does the same by each.

use std::net::TcpListener;
use std::time::Duration;

use carillon::http;
use carillon_domain::tenancy::Role;
use carillon_jobs::inbound::{Inbound, InboundSettings};
use carillon_tests::gateway::gateway;
use carillon_tests::post::{Post, token};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::setup::{count, gone, post, sent};

const ADA: &str = "ada@reader.example";

/// A conversation with a listener.
struct Talk(BufReader<TcpStream>);

impl Talk {
    async fn with(inbound: &Inbound) -> Self {
        let mut talk = Self(BufReader::new(TcpStream::connect(inbound.addr()).await.unwrap()));
        assert!(talk.reply().await.starts_with("220 "));
        talk
    }

    /// The last line of the next reply.
    async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    async fn say(&mut self, command: &str) -> String {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        self.reply().await
    }

    /// Offers a mail up to its final dot.
    async fn offer(&mut self, hello: &str, to: &[&str], raw: &[u8]) {
        assert!(self.say(hello).await.starts_with("250"));
        assert!(self.say("MAIL FROM:<>").await.starts_with("250"));
        for address in to {
            let reply = self.say(&format!("RCPT TO:<{address}>")).await;
            assert!(reply.starts_with("250"), "{reply}");
        }
        assert!(self.say("DATA").await.starts_with("354"));
        self.0.write_all(raw).await.unwrap();
        self.0.write_all(b".\r\n").await.unwrap();
    }
}

async fn listener(post: &Post) -> Inbound {
    let settings = InboundSettings { max_connections: 2, ..InboundSettings::new("bounces.carillon.test") };
    Inbound::start("127.0.0.1:0".parse().unwrap(), post.ports().clone(), settings).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c054_a_bounce_over_smtp_is_answered_when_it_is_committed() {
    let post = post().await;
    let (id, path) = sent(&post, ADA).await;
    let inbound = listener(&post).await;
    let mut talk = Talk::with(&inbound).await;
    talk.offer("EHLO mx.example", &[&path], &gone(ADA)).await;
    assert!(talk.reply().await.starts_with("250 2.0.0"));
    assert_eq!(post.story(id).await, "bounced recipient_permanent [accepted]");
    assert!(talk.say("MAIL FROM:<somebody@far.example>").await.starts_with("250"));
    for address in ["ada@bounces.carillon.test", "b@bounces.carillon.test", "ada@reader.example"] {
        assert!(talk.say(&format!("RCPT TO:<{address}>")).await.starts_with("550 5.1.1"), "{address}");
    }
    assert!(talk.say("DATA").await.starts_with("554"));
    assert!(talk.say("QUIT").await.starts_with("221"));
    inbound.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c054_lmtp_has_an_answer_for_each_recipient_and_connections_are_bounded() {
    let post = post().await;
    let (_, path) = sent(&post, ADA).await;
    let inbound = listener(&post).await;
    let mut talk = Talk::with(&inbound).await;
    talk.offer("LHLO mx.example", &[&path, "abuse@bounces.carillon.test"], &gone(ADA)).await;
    for _ in 0..2 {
        assert!(talk.reply().await.starts_with("250 2.0.0"));
    }
    assert_eq!(count(&post, "suppressions").await, 1);
    let _second = Talk::with(&inbound).await;
    let mut third = BufReader::new(TcpStream::connect(inbound.addr()).await.unwrap());
    let mut line = String::new();
    third.read_line(&mut line).await.unwrap();
    assert!(line.starts_with("421 "), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c054_a_client_that_holds_connections_keeps_nobody_else_out() {
    let post = post().await;
    let settings = InboundSettings { max_per_client: 1, ..InboundSettings::new("bounces.carillon.test") };
    let inbound = Inbound::start("127.0.0.1:0".parse().unwrap(), post.ports().clone(), settings).await.unwrap();
    let _holding = Talk::with(&inbound).await;
    let mut again = Talk(BufReader::new(TcpStream::connect(inbound.addr()).await.unwrap()));
    assert!(again.reply().await.starts_with("421 "));
    let elsewhere = TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = Talk(BufReader::new(elsewhere.connect(inbound.addr()).await.unwrap()));
    assert!(other.reply().await.starts_with("220 "));
}

/// Whoever sent a report keeps it until it was taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c054_a_report_that_cannot_be_written_comes_again() {
    let post = post().await;
    let (id, path) = sent(&post, ADA).await;
    post.execute("UPDATE messages SET state = 'claimed'").await;
    let inbound = listener(&post).await;
    let mut talk = Talk::with(&inbound).await;
    talk.offer("EHLO mx.example", &[&path], &gone(ADA)).await;
    assert!(talk.reply().await.starts_with("451 "), "a worker has the message");
    assert_eq!(count(&post, "suppressions").await, 0);
    post.execute("UPDATE messages SET state = 'sent'").await;
    talk.offer("EHLO mx.example", &[&path], &gone(ADA)).await;
    assert!(talk.reply().await.starts_with("250 "));
    assert_eq!(post.story(id).await, "bounced recipient_permanent [accepted]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c054_a_bounce_over_http_is_in_the_messages_history() {
    let post = post().await;
    let (id, path) = sent(&post, ADA).await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let server = http::serve(gateway(post.ports().clone()), socket, Duration::from_secs(1)).unwrap();
    let _serving = AbortOnDropHandle::new(tokio::spawn(async move { server.await.unwrap() }));
    let local = path.split('@').next().unwrap();
    let ask = async |to: String, raw: Vec<u8>| Client::new().post(to).body(raw).send().await.unwrap().status();
    assert_eq!(ask(format!("{url}/b/bnonsense"), gone(ADA)).await, StatusCode::NOT_FOUND);
    assert_eq!(count(&post, "suppressions").await, 0);
    for _ in 0..2 {
        assert_eq!(ask(format!("{url}/b/{local}"), gone(ADA)).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(
        Client::new().get(format!("{url}/b/{local}")).send().await.unwrap().status(),
        StatusCode::METHOD_NOT_ALLOWED
    );

    let token = token(&post, post.tenant, Role::Viewer).await;
    let query = "query($id: ID!) { message(id: $id) { state reason history { kind attempt failure rule rulesVersion smtpCode \
                 enhancedCode diagnostic } } }";
    let asked = json!({ "query": query, "variables": { "id": id.to_string() } });
    let answer = Client::new().post(format!("{url}/graphql")).bearer_auth(token).json(&asked).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let message = &answer["data"]["message"];
    assert_eq!((&message["state"], &message["reason"]), (&json!("BOUNCED"), &json!("recipient_permanent")), "{answer}");
    let history: Vec<&Value> = message["history"].as_array().unwrap().iter().collect();
    let bounces: Vec<&&Value> = history.iter().filter(|event| event["kind"] == "bounced").collect();
    assert_eq!(bounces.len(), 1, "{answer}");
    let expected = json!({
        "kind": "bounced", "attempt": 1, "failure": "recipient_permanent", "rule": "e-1-1", "rulesVersion": 2,
        "smtpCode": 550, "enhancedCode": "5.1.1", "diagnostic": "5.1.1 <address> User unknown",
    });
    assert_eq!(**bounces[0], expected);
}
