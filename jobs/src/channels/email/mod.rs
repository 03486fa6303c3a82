//! The mail channel: builds, signs and hands over (C-01, C-02, C-21 to C-34, C-62).
//!
//! Three steps, so that the caller can commit between them (L8): [`EmailChannel::prepare`] builds and signs and touches
//! nothing outside; then the caller commits `started` for a group of attempts; then [`EmailChannel::deliver`] hands each
//! over and gives exactly one [`HandOver`].
//!
//! A [`Permit`] is asked just before the first octet of each mail and before its final dot: however long a relay took,
//! nothing leaves on an expired permit (L3) or a lost lease (L8).
//!
//! The channel takes nothing but [`Cleared`] mail, and only the gate's commit makes that (L3). Nothing in here logs, and
//! no error or `Debug` holds an address (L9).
//!
//! Each lane has connections of its own, so that bulk mail cannot delay a password reset.

mod address;
mod connect;
mod content;
mod dkim;
mod header;
mod mime;
mod outcome;
mod pool;
mod prepared;
mod reply;
mod smtp;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use carillon_domain::messaging::{AttemptRef, Cleared, EmailMessage, Lane, NotHandedOver, relay};
use carillon_domain::seeded_bugs;
use carillon_domain::time::Clock;

pub use content::ContentError;
pub use dkim::{DkimSigner, DkimSigners};
pub use outcome::{Capability, HandOver, Obstacle};
pub use pool::{Moment, Permit, PoolSettings};
pub use prepared::PreparedEmail;
pub use relay::{Credentials, InvalidRelay, Relay, TlsMode};
pub use smtp::Timeouts;
pub use tls::TlsTrust;

/// Mail without the gate, for the reference of `make bench`; in no build of the product.
#[cfg(feature = "bench-reference")]
pub mod bare {
    pub use super::pool::Pool;
    pub use super::prepared::prepare;
}

use pool::Pool;
use prepared::prepare;

/// Relays whose pools are kept; past this many, the pools start anew.
const POOLS: usize = 1024;

/// Builds, signs and hands over mail to any relay.
#[derive(Debug)]
pub struct EmailChannel {
    settings: PoolSettings,
    trust: TlsTrust,
    signers: DkimSigners,
    pools: Mutex<HashMap<(Relay, Lane), Arc<Pool>>>,
}

impl EmailChannel {
    /// A channel without connections.
    pub fn new(settings: PoolSettings, trust: TlsTrust) -> Self {
        Self { settings, trust, signers: DkimSigners::default(), pools: Mutex::default() }
    }

    /// Builds and signs a mail. About 0.3 ms of processor time.
    ///
    /// The same message makes the same bytes, so a repetition after an unknown outcome is an exact copy (C-25, C-26).
    pub fn prepare(&self, mail: Cleared<EmailMessage>) -> Result<Cleared<PreparedEmail>, (AttemptRef, ContentError)> {
        mail.try_form(|mail| prepare(mail, &self.signers))
    }

    /// Hands one mail over. The caller has committed `started` for it; dropping the future leaves it unknown.
    ///
    /// The gate's permit is looked at just before the first octet and before the final dot, with whatever else the
    /// caller's `permit` asks, and used up: there is no second hand-over on it.
    ///
    /// ```compile_fail,E0382
    /// use carillon_domain::messaging::{Cleared, Lane};
    /// use carillon_domain::time::Clock;
    /// use carillon_jobs::channels::email::{EmailChannel, Moment, PreparedEmail, Relay};
    /// async fn twice(channel: &EmailChannel, to: (&Relay, Lane), mail: Cleared<PreparedEmail>, clock: &dyn Clock) {
    ///     channel.deliver(to, mail, clock, |_: Moment| Ok(())).await;
    ///     channel.deliver(to, mail, clock, |_: Moment| Ok(())).await;
    /// }
    /// ```
    pub async fn deliver(
        &self,
        (relay, lane): (&Relay, Lane),
        mail: Cleared<PreparedEmail>,
        clock: &dyn Clock,
        permit: impl Permit,
    ) -> HandOver {
        let fresh = |moment: Moment| {
            if moment == Moment::End && seeded_bugs::on("permit_unasked_at_the_dot") {
                return Ok(());
            }
            if mail.is_fresh(clock.monotonic()) { permit.ask(moment) } else { Err(NotHandedOver::PermitExpired) }
        };
        self.pool(relay, lane).hand_over(mail.message(), fresh).await
    }

    /// Does all that a hand-over to a relay does before its first mail: connects, does TLS, signs in.
    pub async fn probe(&self, relay: &Relay) -> Result<(), Obstacle> {
        self.pool(relay, Lane::Bulk).probe().await
    }

    /// Without the gate's permit, for the tests of the conversation.
    #[cfg(test)]
    async fn hand_over(&self, relay: &Relay, mail: &PreparedEmail, permit: impl Permit) -> HandOver {
        self.pool(relay, Lane::Bulk).hand_over(mail, permit).await
    }

    fn pool(&self, relay: &Relay, lane: Lane) -> Arc<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (relay.clone(), lane);
        if let Some(pool) = pools.get(&key) {
            return Arc::clone(pool);
        }
        if pools.len() >= POOLS {
            pools.clear();
        }
        let max_connections = connections(self.settings.max_connections, lane);
        let settings = PoolSettings { max_connections, ..self.settings.clone() };
        let pool = Arc::new(Pool::new(relay.clone(), settings, self.trust.clone()));
        pools.insert(key, Arc::clone(&pool));
        pool
    }
}

/// A lane's part of all connections: a quarter is for transactional mail, and at least one for either lane.
pub fn connections(all: usize, lane: Lane) -> usize {
    let transactional = (all / 4).max(1);
    if lane == Lane::Transactional { transactional } else { all.saturating_sub(transactional).max(1) }
}
