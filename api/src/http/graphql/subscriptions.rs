//! Subscriptions: over a WebSocket, as `graphql-transport-ws` has it, and as server-sent events, as `graphql-sse` has it.
//!
//! Who calls is said in `connection_init`, or in the header of a request for events, and verified as a request's header is;
//! neither lives longer than the credential (C-224). Only subscriptions run over a socket: queries and mutations have HTTP,
//! with its limits and idempotency. Whatever comes is bounded: messages in size, sockets and streams by process and tenant,
//! subscriptions by socket, what waits to be sent by number and time.

mod connection;
mod listener;
mod protocol;
mod sessions;
mod sockets;
mod stream;
mod wire;

use std::time::Duration;

use actix_web::guard::GuardContext;
use actix_web::http::header;
use actix_web::rt;
use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};
use url::{Host, Url};

use self::connection::Connection;
use self::listener::Listener;
use self::protocol::PROTOCOL;
pub use self::sockets::Sockets;
pub(super) use self::stream::{COMPLETE, next, open as stream};
use self::wire::{Incoming, Outgoing};
use crate::http::{Gateway, Problem, RequestId};

/// What sockets may cost, and streams, which count as sockets.
#[derive(Debug, Clone, Copy)]
pub struct SocketSettings {
    /// The longest until `connection_init`; what the protocol suggests.
    pub init_timeout: Duration,
    /// How often it is asked whether the credential is still good: an end must show within five seconds (C-224).
    pub check_every: Duration,
    /// How often a ping is sent; a client that is not heard of between two of them is gone. Proxies commonly cut a connection
    /// that was silent for a minute.
    pub heartbeat: Duration,
    /// How long a client may leave no room for what is to be sent.
    pub patience: Duration,
    /// The largest message of a client, in bytes.
    pub message_max: usize,
    /// Sockets of a process.
    pub process_max: usize,
    /// Sockets of a tenant in a process, or of a user who is in none.
    pub tenant_max: usize,
    /// Subscriptions of a socket.
    pub running_max: usize,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            init_timeout: Duration::from_secs(3),
            check_every: Duration::from_secs(3),
            heartbeat: Duration::from_secs(20),
            patience: Duration::from_secs(5),
            message_max: 65_536,
            process_max: 10_000,
            tenant_max: 500,
            running_max: 20,
        }
    }
}

/// True for a request to open a WebSocket.
pub(super) fn is_asked_for(request: &GuardContext<'_>) -> bool {
    let upgrade = request.head().headers().get(header::UPGRADE);
    upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

pub(super) async fn open(gateway: web::Data<Gateway>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let id = RequestId::of(&request);
    upgrade(gateway, &request, payload).unwrap_or_else(|problem| problem.answer("application/json", Some(&id)))
}

fn upgrade(gateway: web::Data<Gateway>, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let domain = &gateway.process.ports.settings;
    if !is_from_here(request, &domain.public_url, domain.embedded) {
        return Err(Problem::ForeignOrigin);
    }
    if !offers(request, PROTOCOL) {
        return Err(Problem::Malformed("Open the socket with the subprotocol graphql-transport-ws."));
    }
    let settings = gateway.settings.sockets;
    let listener = Listener::new(gateway, request).ok_or(Problem::Unavailable)?;
    let (response, session, messages) = actix_ws::handle_with_protocols(request, payload, &[PROTOCOL])
        .map_err(|_| Problem::Malformed("This is no handshake of a WebSocket."))?;
    let incoming = Incoming::new(messages, settings.message_max);
    let outgoing = Outgoing::new(session, settings.patience);
    let spans = listener.spans.clone();
    rt::spawn(spans.around(Connection::new(listener, outgoing).run(incoming)));
    Ok(response)
}

/// A page of another site may open a socket without asking, unlike the requests that HTTP takes (C-223). What is no
/// browser sends no `Origin`.
fn is_from_here(request: &HttpRequest, public_url: &str, embedded: bool) -> bool {
    let mut origins = request.headers().get_all(header::ORIGIN);
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return !request.headers().contains_key(header::ORIGIN);
    };
    let Some(origin) = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok()) else { return false };
    let is_ours = Url::parse(public_url).is_ok_and(|public| public.origin() == origin.origin());
    is_ours || (embedded && is_loopback(&origin))
}

fn is_loopback(origin: &Url) -> bool {
    match origin.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn offers(request: &HttpRequest, protocol: &str) -> bool {
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).any(|offer| offer.trim() == protocol)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn is_from(origins: &[&str], embedded: bool) -> bool {
        let request = origins
            .iter()
            .fold(TestRequest::get(), |request, origin| request.append_header((header::ORIGIN, (*origin).to_owned())));
        is_from_here(&request.to_http_request(), "https://carillon.example", embedded)
    }

    #[test]
    fn c223_pages_of_other_origins_open_no_socket() {
        assert!(is_from(&[], false) && is_from(&["https://carillon.example"], false));
        assert!(is_from(&["https://carillon.example:443"], false));
        for foreign in ["https://evil.example", "http://carillon.example", "https://carillon.example:8443", "null", ""]
        {
            assert!(!is_from(&[foreign], false), "{foreign}");
        }
        assert!(!is_from(&["https://carillon.example", "https://evil.example"], false));
        for local in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"] {
            assert!(is_from(&[local], true) && !is_from(&[local], false), "{local}");
        }
        assert!(!is_from(&["http://localhost.evil.example"], true));
    }
}
