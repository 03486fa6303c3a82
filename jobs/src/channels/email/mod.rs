//! The mail channel: builds, signs and hands over (C-01, C-02, C-21 to C-34, C-62).
//!
//! Three steps, so that the caller can commit between them (L8): [`EmailChannel::prepare`] builds and signs and touches
//! nothing outside; then the caller commits `started` for up to [`GROUP`] attempts; then [`EmailChannel::deliver_all`]
//! hands them over at the same time and gives exactly one [`HandOver`] for each.
//!
//! A [`Permit`] is asked just before the first octet of each mail: however long a connection took, nothing leaves on
//! an expired permit (L3) or a lost lease (L8).
//!
//! Only `prepare` makes a [`PreparedEmail`], and only a prepared mail can be delivered: whatever `prepare` demands (the
//! gate's permit, L3) every hand-over has. Nothing in here logs, and no error or `Debug` holds an address (L9).

mod address;
mod connect;
mod content;
mod dkim;
mod header;
mod mime;
mod outcome;
mod pool;
mod prepared;
mod relay;
mod reply;
mod smtp;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use carillon_domain::messaging::EmailMessage;
use carillon_domain::time::Timestamp;
use futures::StreamExt as _;

pub use content::ContentError;
pub use dkim::{DkimSigner, DkimSigners};
pub use outcome::{Capability, HandOver, Obstacle};
pub use pool::{Permit, Pool, PoolSettings};
pub use prepared::PreparedEmail;
pub use relay::{Credentials, InvalidRelay, Relay, TlsMode};
pub use smtp::Timeouts;
pub use tls::TlsTrust;

/// The most attempts that may be `started` and handed over at the same time (L8).
pub const GROUP: usize = 16;

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
    pub fn prepare(&self, mail: &EmailMessage, date: Timestamp) -> Result<PreparedEmail, ContentError> {
        prepare(mail, date, &self.signers)
    }

    /// Hands one mail over. The caller has committed `started` for it; dropping the future leaves it unknown.
    pub async fn deliver(&self, relay: &Relay, mail: &PreparedEmail, permit: impl Permit) -> HandOver {
        self.pool(relay).hand_over(mail, permit).await
    }

    /// Hands a group over, at most [`GROUP`] at the same time; outcomes come in the order of the mails.
    pub async fn deliver_all(&self, relay: &Relay, mails: &[PreparedEmail], permit: impl Permit) -> Vec<HandOver> {
        let pool = self.pool(relay);
        let (pool, permit) = (&*pool, &|mail: &PreparedEmail| permit.ask(mail));
        futures::stream::iter(mails).map(|mail| pool.hand_over(mail, permit)).buffered(GROUP).collect().await
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
