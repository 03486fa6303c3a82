//! The mail channel: builds, signs and hands over (C-01, C-02, C-21 to C-34, C-62).
//!
//! Three steps, so that the caller can commit between them (L8): [`EmailChannel::prepare`] builds and signs and touches
//! nothing outside; then the caller commits `started` for a group of attempts; then [`EmailChannel::deliver`] hands each
//! over and gives exactly one [`HandOver`].
//!
//! A [`Permit`] is asked just before the first octet of each mail: however long a connection took, nothing leaves on
//! an expired permit (L3) or a lost lease (L8).
//!
//! The channel takes nothing but [`Cleared`] mail, and only the gate's commit makes that (L3). Nothing in here logs, and no error or `Debug` holds an address (L9).

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

use carillon_domain::messaging::{AttemptRef, Cleared, EmailMessage, NotHandedOver, relay};
use carillon_domain::time::{Clock, Timestamp};

pub use content::ContentError;
pub use dkim::{DkimSigner, DkimSigners};
pub use outcome::{Capability, HandOver, Obstacle};
pub use pool::{Permit, Pool, PoolSettings};
pub use prepared::PreparedEmail;
pub use relay::{Credentials, InvalidRelay, Relay, TlsMode};
pub use smtp::Timeouts;
pub use tls::TlsTrust;

/// Relays whose pools are kept; past this many, the pools start anew.
const POOLS: usize = 1024;

/// Builds, signs and hands over mail to any relay.
#[derive(Debug)]
pub struct EmailChannel {
    settings: PoolSettings,
    trust: TlsTrust,
    signers: DkimSigners,
    pools: Mutex<HashMap<Relay, Arc<Pool>>>,
}

impl EmailChannel {
    /// A channel without connections.
    pub fn new(settings: PoolSettings, trust: TlsTrust) -> Self {
        Self { settings, trust, signers: DkimSigners::default(), pools: Mutex::default() }
    }

    /// Builds and signs a mail; `date` is the time of its first hand-off (C-26). About 0.3 ms of processor time.
    ///
    /// The same mail and date give the same bytes, so a repetition after an unknown outcome is an exact copy.
    pub fn prepare(
        &self,
        mail: Cleared<EmailMessage>,
        date: Timestamp,
    ) -> Result<Cleared<PreparedEmail>, (AttemptRef, ContentError)> {
        mail.try_map(|mail| prepare(&mail, date, &self.signers))
    }

    /// Hands one mail over. The caller has committed `started` for it; dropping the future leaves it unknown.
    ///
    /// The gate's permit is looked at just before the first octet, with whatever else the caller's `permit` asks.
    pub async fn deliver(
        &self,
        relay: &Relay,
        mail: &Cleared<PreparedEmail>,
        clock: &dyn Clock,
        permit: impl Permit,
    ) -> HandOver {
        let fresh = |prepared: &PreparedEmail| {
            if mail.is_fresh(clock.monotonic()) { permit.ask(prepared) } else { Err(NotHandedOver::PermitExpired) }
        };
        self.hand_over(relay, mail.message(), fresh).await
    }

    /// Without the gate's permit: private, for [`Self::deliver`] and the tests of the conversation.
    async fn hand_over(&self, relay: &Relay, mail: &PreparedEmail, permit: impl Permit) -> HandOver {
        self.pool(relay).hand_over(mail, permit).await
    }

    fn pool(&self, relay: &Relay) -> Arc<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(relay) {
            return Arc::clone(pool);
        }
        if pools.len() >= POOLS {
            pools.clear();
        }
        let pool = Arc::new(Pool::new(relay.clone(), self.settings.clone(), self.trust.clone()));
        pools.insert(relay.clone(), Arc::clone(&pool));
        pool
    }
}

/// Builds a mail and signs it with the key of its From domain (C-02).
pub fn prepare(mail: &EmailMessage, date: Timestamp, signers: &DkimSigners) -> Result<PreparedEmail, ContentError> {
    if !are_aligned(mail.from.address.domain_ascii(), &mail.dkim.domain) {
        return Err(ContentError::Unaligned);
    }
    let signer = signers.get(&mail.dkim)?;
    let mime = mime::build(mail, date)?;
    let signature = signer.sign(&mime, date)?;
    Ok(PreparedEmail::new(mail.message, mail.attempt, mime, signature))
}

/// True when one domain is the other or lies under it.
fn are_aligned(from: &str, signing: &str) -> bool {
    let lies_under =
        |name: &str, parent: &str| name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let (from, signing) = (from.to_ascii_lowercase(), signing.to_ascii_lowercase());
    lies_under(&from, &signing) || lies_under(&signing, &from)
}
