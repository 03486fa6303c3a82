//! What the catcher allows and offers.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

/// Limits and offers; the default suits the embedded mode on loopback.
#[derive(Debug, Clone)]
pub struct CatcherSettings {
    /// Mails kept in memory; older ones are forgotten.
    pub max_mails: usize,
    /// Octets kept in memory.
    pub max_octets: usize,
    /// Largest mail in octets; a larger one gets 552.
    pub max_size: usize,
    /// Connections at the same time; more get 421.
    pub max_connections: usize,
    /// How long a client may be silent.
    pub silence: Duration,
    /// Whether PIPELINING is offered.
    pub pipelining: bool,
    /// Whether SMTPUTF8 is offered.
    pub smtp_utf8: bool,
    /// Credentials that must be given.
    pub auth: Option<CatcherAuth>,
    /// Certificate and key, if TLS is offered.
    pub tls: Option<CatcherTls>,
}

/// The credentials the catcher wants.
#[derive(Clone)]
pub struct CatcherAuth {
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
    /// Offers LOGIN only, as some old relays do.
    pub login_only: bool,
}

impl std::fmt::Debug for CatcherAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CatcherAuth(..)")
    }
}

/// How the catcher does TLS.
#[derive(Debug, Clone)]
pub struct CatcherTls {
    /// Certificate and key.
    pub config: Arc<ServerConfig>,
    /// From the first octet, instead of STARTTLS.
    pub implicit: bool,
}

impl Default for CatcherSettings {
    fn default() -> Self {
        Self {
            max_mails: 50_000,
            max_octets: 512 << 20,
            max_size: 25_000_000,
            max_connections: 256,
            silence: Duration::from_mins(5),
            pipelining: true,
            smtp_utf8: false,
            auth: None,
            tls: None,
        }
    }
}
