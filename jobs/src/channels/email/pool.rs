//! A bounded pool of connections to one relay.
//!
//! A connection is taken out for a hand-over and comes back only when both sides agree on where they are; one that is
//! dropped half-way is closed, never used again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use carillon_domain::messaging::NotHandedOver;
use carillon_domain::messaging::reply_class::SmtpStage;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::connect::Dialer;
use super::outcome::{HandOver, Obstacle};
use super::prepared::PreparedEmail;
use super::relay::Relay;
use super::smtp::{SmtpConnection, Timeouts};
use super::tls::TlsTrust;

/// When a permit is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the first octet about a mail.
    Begin,
    /// Before the final dot: the relay may have taken its time.
    End,
}

/// Whether a hand-over may go on: the gate's permit has not expired, the lease holds, and, to begin, the worker is not
/// draining. Any closure from the moment to that answer is one.
pub trait Permit: Send + Sync {
    /// `Ok` to go on, or why not.
    fn ask(&self, moment: Moment) -> Result<(), NotHandedOver>;
}

impl<F: Fn(Moment) -> Result<(), NotHandedOver> + Send + Sync> Permit for F {
    fn ask(&self, moment: Moment) -> Result<(), NotHandedOver> {
        self(moment)
    }
}

/// How connections are kept.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Connections to one relay at the same time.
    pub max_connections: usize,
    /// Mails over one connection before it is closed (C-64).
    pub max_mails: u32,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// How long a hand-over waits for a free connection.
    pub wait: Duration,
    /// The steps of the conversation.
    pub timeouts: Timeouts,
    /// The name given in EHLO; a host name, or an address in brackets.
    pub hello: String,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            max_connections: 16,
            max_mails: 500,
            idle: Duration::from_secs(30),
            wait: Duration::from_secs(10),
            timeouts: Timeouts::default(),
            hello: "[127.0.0.1]".to_owned(),
        }
    }
}

/// The connections to one relay.
pub struct Pool {
    dialer: Dialer,
    settings: PoolSettings,
    slots: Semaphore,
    idle: Mutex<Vec<SmtpConnection>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.dialer.relay.authority())
    }
}

impl Pool {
    /// A pool without connections; they are opened as they are needed.
    pub fn new(relay: Relay, settings: PoolSettings, trust: TlsTrust) -> Self {
        let dialer = Dialer { relay, trust, timeouts: settings.timeouts, hello: settings.hello.clone() };
        let slots = Semaphore::new(settings.max_connections);
        Self { dialer, settings, slots, idle: Mutex::default() }
    }

    /// Hands one mail over, on a kept connection or a new one.
    ///
    /// The permit is asked when a connection is ready, just before the first octet about this mail, again before every
    /// further try, and before the final dot. Dropping the future after it was polled leaves the outcome unknown.
    pub async fn hand_over(&self, mail: &PreparedEmail, permit: impl Permit) -> HandOver {
        let Ok(Ok(_slot)) = timeout(self.settings.wait, self.slots.acquire()).await else {
            return HandOver::NotHandedOver(Obstacle::Busy);
        };
        while let Some(mut kept) = self.take() {
            if let Err(why) = permit.ask(Moment::Begin) {
                self.keep(kept).await;
                return HandOver::Withheld(why);
            }
            let outcome = kept.hand_over(mail, &permit).await;
            if !gone_stale(&outcome) {
                self.keep(kept).await;
                return outcome;
            }
        }
        match self.dialer.connect().await {
            Ok(mut fresh) => {
                let outcome = match permit.ask(Moment::Begin) {
                    Ok(()) => fresh.hand_over(mail, &permit).await,
                    Err(why) => HandOver::Withheld(why),
                };
                self.keep(fresh).await;
                outcome
            }
            Err(obstacle) => HandOver::NotHandedOver(obstacle),
        }
    }

    /// Opens a connection of its own up to where MAIL may follow, and closes it.
    pub async fn probe(&self) -> Result<(), Obstacle> {
        self.dialer.connect().await?.quit().await;
        Ok(())
    }

    /// The connection used last, if it is not too old; older ones are closed.
    fn take(&self) -> Option<SmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        idle.retain(|connection| now.duration_since(connection.used_at) < self.settings.idle);
        idle.pop()
    }

    async fn keep(&self, connection: SmtpConnection) {
        if connection.usable && connection.accepted < self.settings.max_mails {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        } else if connection.usable {
            connection.quit().await;
        }
    }
}

/// True when a kept connection turns out to have been closed by the relay while it was idle: nothing of the mail has
/// left, so it goes to the next connection at once.
fn gone_stale(outcome: &HandOver) -> bool {
    match outcome {
        HandOver::NotHandedOver(Obstacle::Disconnected) => true,
        HandOver::Deferred(reply) => reply.code == 421 && reply.stage == SmtpStage::Sender,
        _ => false,
    }
}
