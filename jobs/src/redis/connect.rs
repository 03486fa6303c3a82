//! Connections that are made when needed, fail soon and come back by themselves.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::io::tcp::TcpSettings;
use ::redis::{Client, IntoConnectionInfo};

/// A connection is made within this time or fails.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// An answer comes within this time or the command fails.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A connection whose peer acknowledges nothing for this long is dropped.
#[cfg(target_os = "linux")]
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// The text is not an address of a Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid redis:// or rediss:// address")]
pub struct InvalidRedisUrl;

/// A client of `redis://` or `rediss://`; the latter believes the machine's certificate authorities, or those in the file
/// that `SSL_CERT_FILE` names.
pub(crate) fn client(url: &str) -> Result<Client, InvalidRedisUrl> {
    // The crate takes the process' provider, and only one is ours.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // The crate's own error may quote the address, password and all.
    let info = url.into_connection_info().map_err(|_| InvalidRedisUrl)?;
    Client::open(info.set_tcp_settings(tcp())).map_err(|_| InvalidRedisUrl)
}

fn tcp() -> TcpSettings {
    // Commands are small and waited for, which Nagle's algorithm answers with 40 ms each.
    let settings = TcpSettings::default().set_nodelay(true);
    // The crate reconnects when a connection is dropped, not when answers stay out: so the kernel drops it.
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(DEAD_AFTER);
    settings
}

/// Why a Redis cannot be used; never quotes its address, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum RedisObstacle {
    /// Not an address at all.
    #[error(transparent)]
    Url(#[from] InvalidRedisUrl),
    /// No connection, or an answer other than the one expected.
    #[error("{0}")]
    Refused(String),
}

/// Connects as the queue and the limits do, TLS and password and all, and asks one question.
pub async fn probe(url: &str) -> Result<(), RedisObstacle> {
    // The crate's own words may quote what was sent.
    let refused = |error: ::redis::RedisError| {
        RedisObstacle::Refused(error.code().unwrap_or_else(|| error.category()).to_owned())
    };
    let config = ::redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
    let client = client(url)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(refused)?;
    ::redis::cmd("PING").query_async(&mut connection).await.map_err(refused)
}

/// A shared connection to a Redis that may be down: nothing is connected before the first command.
pub(crate) fn manager(client: &Client) -> Result<ConnectionManager, InvalidRedisUrl> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN))
        // Who needs the connection tries again in its own time.
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(|_| InvalidRedisUrl)
}
