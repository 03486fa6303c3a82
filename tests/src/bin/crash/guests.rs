//! Who is in the middle of something at a gateway that is told to go: a socket and a stream, which would stay for ever, and a
//! request that is still being written when the doors close.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::load::client;

/// What never comes fails by this.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between the farewell to sockets and the rest of the slow request: the doors are closed by then.
const SLOW: Duration = Duration::from_secs(1);
const SUBSCRIPTION: &str = "subscription { messageProgress { total } }";
const QUERY: &str = r#"{"query": "{ serverTime }"}"#;

/// All three at one gateway.
pub struct Guests {
    address: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    events: reqwest::Response,
    slow: TcpStream,
}

impl Guests {
    /// Takes their places at the gateway with this base URL.
    pub async fn seat(base: &str, token: &str) -> Result<Self> {
        let address = base.trim_start_matches("http://").to_owned();
        let events = reqwest::Client::new().post(format!("{base}/graphql")).bearer_auth(token);
        let events = events.header("accept", "text/event-stream").json(&json!({ "query": SUBSCRIPTION }));
        let events = events.send().await?.error_for_status()?;
        let socket = socket(&address, token).await.context("a socket")?;
        let mut slow = TcpStream::connect(&address).await?;
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            QUERY.len()
        );
        slow.write_all(head.as_bytes()).await?;
        slow.write_all(&QUERY.as_bytes()[..1]).await?;
        Ok(Self { address, socket, events, slow })
    }

    /// Waits until each is shown out as it should be.
    pub async fn leave(self) -> Result<()> {
        let going = self.go();
        tokio::time::timeout(PATIENCE, going).await.map_err(|_| anyhow!("nobody was told to go"))?
    }

    async fn go(mut self) -> Result<()> {
        let code = closed(&mut self.socket).await?;
        ensure!(code == 1001, "the socket was closed with {code}");
        tokio::time::sleep(SLOW).await;
        let knock = client().get(format!("http://{}/health/live", self.address)).send().await;
        ensure!(knock.is_err_and(|error| error.is_connect()), "the doors of who left are open");
        self.slow.write_all(&QUERY.as_bytes()[1..]).await?;
        let mut answer = String::new();
        self.slow.read_to_string(&mut answer).await.context("the slow request")?;
        ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("serverTime"), "answered {answer}");
        let told = self.events.text().await.context("a stream broke off")?;
        ensure!(told.contains("event: next") && !told.contains("event: complete"), "a stream told {told}");
        Ok(())
    }
}

/// A socket with a subscription that has told something.
async fn socket(address: &str, token: &str) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>> {
    let mut request = format!("ws://{address}/graphql").into_client_request()?;
    let protocol = HeaderValue::from_static("graphql-transport-ws");
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    let (mut socket, _) = connect_async(request).await?;
    let init = json!({ "type": "connection_init", "payload": { "authorization": format!("Bearer {token}") } });
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": SUBSCRIPTION } });
    for (said, heard) in [(init, "connection_ack"), (subscribe, "next")] {
        socket.send(Message::text(said.to_string())).await?;
        loop {
            let frame = socket.next().await.context("closed")??;
            let Message::Text(text) = frame else { continue };
            let told: Json = serde_json::from_str(&text)?;
            ensure!(told["type"] == heard, "told {told}");
            break;
        }
    }
    Ok(socket)
}

/// The code with which a socket is closed; what is told before does not count.
async fn closed(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Result<u16> {
    loop {
        if let Message::Close(frame) = socket.next().await.context("gone without a word")?? {
            return Ok(frame.context("closed without a code")?.code.into());
        }
    }
}
