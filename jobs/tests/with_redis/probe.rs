//! What `carillon check` asks of a Redis; under TLS it is asked in `tls`.

use carillon_jobs::redis::probe;

use super::redis_url;
use super::server::Server;

#[tokio::test]
async fn a_redis_is_asked_with_the_password_it_wants() {
    let Some(mut server) = Server::start().await else { return };
    let mut connection = server.connection().await;
    let url = |login: &str| server.url().replace("redis://", &format!("redis://{login}"));
    assert!(probe(&server.url()).await.is_ok());
    let _: () = redis::cmd("CONFIG").arg(&["SET", "requirepass", "hush"]).query_async(&mut connection).await.unwrap();
    assert!(probe(&url(":hush@")).await.is_ok());
    for login in ["", ":wrong@", "nobody:hush@"] {
        let refused = probe(&url(login)).await.unwrap_err().to_string();
        assert!(!refused.contains("hush") && !refused.contains("wrong"), "{refused}");
    }
    let plain_only = url(":hush@").replace("redis://", "rediss://");
    assert!(probe(&plain_only).await.is_err(), "TLS to a server that speaks none");
    let gone = server.url();
    server.kill();
    assert!(probe(&gone).await.is_err());
}

#[tokio::test]
async fn what_is_no_address_is_not_repeated() {
    if redis_url().is_none() {
        return;
    }
    let refused = probe("redis://:hush@/:/").await.unwrap_err().to_string();
    assert!(!refused.contains("hush"), "{refused}");
}
