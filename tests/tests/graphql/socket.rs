//! A client of `graphql-transport-ws`, and a server whose times are short.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use carillon::graphql::live::{Live, Pace};
use carillon::http::{Gateway, HttpSettings, SocketSettings};
use carillon_domain::ports::Ports;
use carillon_domain::settings::Settings;
use carillon_domain::tenancy::{RateSettings, VerifiedAccess, enter_tenant};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request, header};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async};

use crate::served::Served;
use crate::setup::Api;

/// What never comes fails by this.
const PATIENCE: Duration = Duration::from_mins(1);
/// So that a test need not wait for what is looked for again and again.
const SOON: Duration = Duration::from_millis(20);

/// A server, its gateway and its owner's token.
pub struct Hall {
    pub api: Api,
    pub gateway: web::Data<Gateway>,
    pub served: Served,
    pub token: String,
}

impl Hall {
    pub async fn new() -> Self {
        Box::pin(Self::with(|_| {})).await
    }

    /// One with other settings.
    pub async fn with(change: impl FnOnce(&mut SocketSettings)) -> Self {
        let api = Box::pin(Api::new()).await;
        let ports = api.world.ports().clone();
        Self::over(api, ports, change).await
    }

    /// One whose callers have few points.
    pub async fn poor(rates: RateSettings) -> Self {
        let api = Box::pin(Api::new()).await;
        let mut ports = api.world.ports().clone();
        ports.settings = Arc::new(Settings { rates, ..(*ports.settings).clone() });
        Self::over(api, ports, |_| {}).await
    }

    async fn over(api: Api, ports: Ports, change: impl FnOnce(&mut SocketSettings)) -> Self {
        let plain = carillon_tests::gateway::gateway(ports).into_inner();
        let plain = Arc::into_inner(plain).unwrap();
        let mut sockets = SocketSettings { check_every: SOON, ..SocketSettings::default() };
        change(&mut sockets);
        let settings = HttpSettings { sockets, ..HttpSettings::default() };
        let live = Live::new(Pace { shortest: SOON, longest: SOON, ..Pace::default() });
        let gateway = web::Data::new(Gateway { settings, live, ..plain });
        let served = Served::with(&api, gateway.clone()).await;
        let token = token(&api, &api.ada).await;
        Self { api, gateway, served, token }
    }

    /// Nobody listens any more.
    pub async fn is_left(&self) {
        let gone = async {
            while self.gateway.sockets.count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("the places are free again");
    }

    /// A request to open a socket.
    pub fn asking(&self, protocol: Option<&'static str>) -> Request<()> {
        let mut request = format!("ws://{}/graphql", self.served.address).into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        request
    }

    /// The status with which a request to open a socket is refused.
    pub async fn refused(&self, request: Request<()>) -> u16 {
        match connect_async(request).await {
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// An open socket, on which nothing was said.
    pub async fn open(&self) -> Socket {
        Socket(connect_async(self.asking(Some("graphql-transport-ws"))).await.unwrap().0)
    }

    /// The same of a client that has little room for what it does not read.
    pub async fn narrow(&self) -> Socket {
        let wire = TcpSocket::new_v4().unwrap();
        wire.set_recv_buffer_size(4_096).unwrap();
        let wire = MaybeTlsStream::Plain(wire.connect(self.served.address).await.unwrap());
        Socket(client_async(self.asking(Some("graphql-transport-ws")), wire).await.unwrap().0)
    }

    /// The same after somebody came in.
    pub async fn entered(&self, token: &str) -> Socket {
        let mut socket = self.open().await;
        socket.init(token).await;
        assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
        socket
    }

    /// A socket of the owner's.
    pub async fn owner(&self) -> Socket {
        self.entered(&self.token).await
    }
}

/// Somebody's token in the tenant.
pub async fn token(api: &Api, access: &VerifiedAccess) -> String {
    enter_tenant(api.world.ports(), api.world.desk(), access, api.tenant).await.unwrap().access_token
}

/// One side of an open socket.
pub struct Socket(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Says something.
    pub async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Says who it is.
    pub async fn init(&mut self, token: &str) {
        self.say(json!({ "type": "connection_init", "payload": { "authorization": format!("Bearer {token}") } })).await;
    }

    /// Asks for something.
    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({ "id": id, "type": "subscribe", "payload": { "query": query } })).await;
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time").expect("open").unwrap()
    }

    /// What is said next.
    pub async fn hear(&mut self) -> Value {
        loop {
            match self.frame().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code of the first error that is told of a subscription.
    pub async fn error(&mut self) -> Value {
        let heard = self.hear().await;
        match heard["type"].as_str() {
            Some("error") => heard["payload"][0]["extensions"]["code"].clone(),
            Some("next") => heard["payload"]["errors"][0]["extensions"]["code"].clone(),
            _ => panic!("{heard}"),
        }
    }

    /// The code and reason with which it is closed; what is said before does not count.
    pub async fn closed(&mut self) -> (u16, String) {
        let closing = async {
            loop {
                if let Message::Close(Some(frame)) = self.frame().await {
                    return (frame.code.into(), frame.reason.to_string());
                }
            }
        };
        // Pings go on for ever.
        tokio::time::timeout(PATIENCE, closing).await.expect("closed in time")
    }

    /// The code alone.
    pub async fn code(&mut self) -> u16 {
        self.closed().await.0
    }
}
