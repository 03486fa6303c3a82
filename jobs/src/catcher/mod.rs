//! The built-in mail catcher: a real SMTP listener that keeps what it gets instead of delivering it.
//!
//! It is the relay of the embedded mode and of tests, so it is strict where relays on the internet are: only CRLF ends
//! a line (C-22), lines are bounded (C-21), and nothing a client does takes memory without bound. How it answers is
//! scripted by a [`Behaviour`] at run time.

mod auth;
mod behaviour;
mod mailbox;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod transaction;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use behaviour::Director;
use mailbox::Mailbox;
use session::{Session, SessionEnd};

pub use behaviour::{Action, Behaviour, Moment, Rule, Whom, address_hash};
pub use mailbox::{CaughtMail, Totals};
pub use settings::{CatcherAuth, CatcherSettings, CatcherTls};

/// What all connections share.
#[derive(Debug)]
struct Shared {
    settings: CatcherSettings,
    director: Director,
    mailbox: Mailbox,
}

/// A running catcher; dropping it closes the listener and all connections.
#[derive(Debug)]
pub struct Catcher {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

impl Catcher {
    /// Listens on an address (port 0 for a free one); needs a tokio runtime.
    pub async fn start(bind: SocketAddr, settings: CatcherSettings) -> std::io::Result<Self> {
        let listener = TcpListener::bind(bind).await?;
        let addr = listener.local_addr()?;
        let mailbox = Mailbox::new(settings.max_mails, settings.max_octets);
        let shared = Arc::new(Shared { settings, director: Director::default(), mailbox });
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(listen(listener, Arc::clone(&shared), stop.clone())));
        Ok(Self { addr, shared, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Mails after a number, oldest first; `mails(0, n)` begins with the oldest kept.
    pub fn mails(&self, after: u64, limit: usize) -> Vec<Arc<CaughtMail>> {
        self.shared.mailbox.after(after, limit)
    }

    /// Mails before a number (or the newest), newest first, to one recipient or to all.
    pub fn latest(&self, before: Option<u64>, recipient: Option<&str>, limit: usize) -> Vec<Arc<CaughtMail>> {
        self.shared.mailbox.before(before, recipient, limit)
    }

    /// One mail, if it is still kept.
    pub fn get(&self, seq: u64) -> Option<Arc<CaughtMail>> {
        self.shared.mailbox.get(seq)
    }

    /// How many mails were stored for a recipient, kept or not.
    pub fn count_for(&self, recipient: &str) -> u64 {
        self.shared.mailbox.count_for(recipient)
    }

    /// Counts since the start.
    pub fn totals(&self) -> Totals {
        self.shared.mailbox.totals()
    }

    /// The number of the newest mail, and a wake-up whenever it changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.mailbox.changes()
    }

    /// Waits until at least so many mails were stored.
    pub async fn stored_at_least(&self, mails: u64) {
        // The sender lives as long as `self`, so this ends only by the count.
        let _ = self.changes().wait_for(|_| self.totals().stored >= mails).await;
    }

    /// How it answers now.
    pub fn behaviour(&self) -> Behaviour {
        self.shared.director.behaviour()
    }

    /// Changes how it answers from the next command on; attempts are counted anew.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.shared.director.set(behaviour);
    }

    /// Forgets mails and counts.
    pub fn clear(&self) {
        self.shared.mailbox.clear();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(shared.settings.max_connections));
    loop {
        let Ok((mut tcp, _)) = listener.accept().await else {
            // Out of descriptors: let some connections end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            let _ = tcp.try_write(b"421 4.3.2 Too many connections\r\n");
            let _ = tcp.shutdown().await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            let _slot = slot;
            // A client that breaks off is everyday life for a listener; there is nobody to tell.
            let _ = serve(tcp, shared).await;
        }));
    }
}

async fn serve(tcp: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let Some(tls) = shared.settings.tls.clone() else {
        return converse(tcp, shared, true).await.map(drop);
    };
    let acceptor = TlsAcceptor::from(tls.config);
    if tls.implicit {
        return converse(acceptor.accept(tcp).await?, shared, true).await.map(drop);
    }
    if let Some(tcp) = converse(tcp, Arc::clone(&shared), false).await? {
        let tls = acceptor.accept(tcp).await?;
        Session::new(tls, shared, true).run(false).await?;
    }
    Ok(())
}

/// A conversation from the greeting on; gives the wire back when the client wants TLS.
async fn converse<W: AsyncRead + AsyncWrite + Unpin>(
    wire: W,
    shared: Arc<Shared>,
    secret: bool,
) -> std::io::Result<Option<W>> {
    match Session::new(wire, shared, secret).run(true).await? {
        SessionEnd::Closed => Ok(None),
        SessionEnd::StartTls(wire) => Ok(Some(wire)),
    }
}
