//! From a relay's address to a connection that may send: TCP without delay, greeting, TLS, EHLO, AUTH.

use carillon_domain::messaging::is_global;
use carillon_domain::messaging::reply_class::SmtpStage;
use encodify::base64::STANDARD;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, EXT_START_TLS};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::outcome::Obstacle;
use super::relay::{Credentials, Reach, Relay, TlsMode};
use super::smtp::{SmtpConnection, Timeouts, is_positive};
use super::tls::{TlsTrust, Wire};

/// What a new connection needs to know besides the relay.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    pub relay: Relay,
    pub trust: TlsTrust,
    pub timeouts: Timeouts,
    /// The name given in EHLO.
    pub hello: String,
}

impl Dialer {
    /// Opens a connection up to the point where MAIL may follow.
    pub async fn connect(&self) -> Result<SmtpConnection, Obstacle> {
        let (wire, mut secret) = self.wire().await?;
        let mut connection = SmtpConnection::over(wire, self.timeouts);
        let greeting = connection.reply(SmtpStage::Session).await?;
        if !is_positive(&greeting) {
            return Err(Obstacle::Refused(greeting));
        }
        connection.hello(&self.hello).await?;
        let offered = connection.offers(EXT_START_TLS);
        match self.relay.tls {
            TlsMode::Required if !offered => return Err(Obstacle::Tls),
            TlsMode::Required | TlsMode::Opportunistic if offered => {
                connection = self.start_tls(connection).await?;
                secret = true;
            }
            _ => {}
        }
        if let Some(credentials) = &self.relay.credentials {
            if !secret && !self.relay.is_loopback() {
                return Err(Obstacle::AuthUnsafe);
            }
            authenticate(&mut connection, credentials).await?;
        }
        Ok(connection)
    }

    /// The wire, and whether nobody can read along.
    async fn wire(&self) -> Result<(Box<dyn Wire>, bool), Obstacle> {
        let open = async {
            // Nagle's algorithm would hold each mail back for the peer's delayed acknowledgement: 44 ms a mail.
            let tcp = self.tcp().await.map_err(|_| Obstacle::Connect)?;
            tcp.set_nodelay(true).map_err(|_| Obstacle::Connect)?;
            let tcp: Box<dyn Wire> = Box::new(tcp);
            match self.relay.tls {
                TlsMode::Implicit => Ok((self.trust.wrap(&self.relay.host, tcp).await?, true)),
                _ => Ok((tcp, false)),
            }
        };
        timeout(self.timeouts.connect, open).await.map_err(|_| Obstacle::Timeout)?
    }

    /// Connects to one of the addresses that the name has at this moment and that the relay may lie at: whoever names a
    /// host decides what it resolves to, and again when it is asked a second time (C-227).
    async fn tcp(&self) -> std::io::Result<TcpStream> {
        let found = lookup_host((self.relay.host.as_str(), self.relay.port)).await?;
        let allowed: Vec<_> =
            found.filter(|address| self.relay.reach == Reach::Anywhere || is_global(address.ip())).collect();
        TcpStream::connect(allowed.as_slice()).await
    }

    /// Everything learnt in the clear is forgotten: EHLO is asked anew (RFC 3207 s4.2).
    async fn start_tls(&self, mut connection: SmtpConnection) -> Result<SmtpConnection, Obstacle> {
        if !is_positive(&connection.command(SmtpStage::Session, "STARTTLS\r\n").await?) {
            return Err(Obstacle::Tls);
        }
        let handshake = self.trust.wrap(&self.relay.host, connection.into_wire()?);
        let wire = timeout(self.timeouts.connect, handshake).await.map_err(|_| Obstacle::Timeout)??;
        let mut connection = SmtpConnection::over(wire, self.timeouts);
        connection.hello(&self.hello).await?;
        Ok(connection)
    }
}

/// AUTH PLAIN (RFC 4616), or LOGIN for relays that know nothing else.
async fn authenticate(connection: &mut SmtpConnection, credentials: &Credentials) -> Result<(), Obstacle> {
    let Credentials { user, password } = credentials;
    let lines = if connection.peer.auth_mechanisms & AUTH_PLAIN != 0 {
        vec![format!("AUTH PLAIN {}\r\n", STANDARD.encode(format!("\0{user}\0{password}")))]
    } else if connection.peer.auth_mechanisms & AUTH_LOGIN != 0 {
        let secrets = [user, password].map(|secret| format!("{}\r\n", STANDARD.encode(secret)));
        std::iter::once("AUTH LOGIN\r\n".to_owned()).chain(secrets).collect()
    } else {
        return Err(Obstacle::AuthUnsafe);
    };
    let last = lines.len() - 1;
    for (at, line) in lines.iter().enumerate() {
        let reply = connection.command(SmtpStage::Session, line).await?;
        let wanted = if at == last { 235 } else { 334 };
        if reply.code != wanted {
            return Err(Obstacle::Refused(reply));
        }
    }
    Ok(())
}
