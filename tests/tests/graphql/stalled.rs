//! A body that does not arrive holds no connection: at every route that reads one, it is answered when its time is over.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use carillon::http::{Gateway, HttpSettings};
use carillon_domain::consent::Channel;
use carillon_domain::keys::{LinkPurpose, LinkToken};
use carillon_entities::ids::{BrandId, MessageId, TopicId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::served::Served;
use crate::setup::Api;

/// The answer to a request whose body of 100 octets stops after two.
async fn answer(served: &Served, path: &str, kind: &str) -> String {
    let mut socket = tokio::net::TcpStream::connect(served.address).await.unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: carillon.test\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n\r\nto");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 16];
    // What is never answered fails by the test's own end.
    let read = tokio::time::timeout(Duration::from_mins(1), socket.read_exact(&mut answer)).await;
    read.unwrap_or_else(|_| panic!("{path} waits for its body")).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[actix_web::test]
async fn a_body_that_stalls_is_answered_at_every_route() {
    let api = Api::new().await;
    let ports = api.world.ports();
    let gateway = Arc::into_inner(carillon_tests::gateway::gateway(ports.clone()).into_inner()).unwrap();
    let settings = HttpSettings { body_timeout: Duration::from_millis(50), ..HttpSettings::default() };
    let served = Served::with(&api, web::Data::new(Gateway { settings, ..gateway })).await;
    let link = |purpose| {
        let address = ports.keys.address_hmac(api.tenant, Channel::Email, "ada@example.org");
        let (message, brand, topic) =
            (ports.new_id::<MessageId>(), ports.new_id::<BrandId>(), ports.new_id::<TopicId>());
        LinkToken { purpose, tenant: api.tenant, message, address, channel: Channel::Email, brand, topic }
            .encode(&ports.keys)
    };
    let form = "application/x-www-form-urlencoded";
    assert_eq!(answer(&served, "/graphql", "application/json").await, "HTTP/1.1 408 Req");
    assert_eq!(
        answer(&served, &format!("/unsubscribe/{}", link(LinkPurpose::UnsubscribePage)), form).await,
        "HTTP/1.1 408 Req"
    );
    // The way out acts, whatever comes of its body (C-03), and a link of nobody is read no body for.
    assert_eq!(answer(&served, &format!("/u/{}", link(LinkPurpose::OneClick)), form).await, "HTTP/1.1 200 OK\r");
    for path in ["/u/x", "/unsubscribe/x"] {
        assert_eq!(answer(&served, path, form).await, "HTTP/1.1 404 Not");
    }
    for path in ["/verify-email", "/reset-password", "/accept-invitation"] {
        assert_eq!(answer(&served, path, form).await, "HTTP/1.1 408 Req", "{path}");
    }
    served.stop().await;
}
