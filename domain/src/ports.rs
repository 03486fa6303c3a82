//! What use cases need from outside: the wall, time, chance, keys and the deployment's settings.

use std::sync::Arc;

pub use carillon_entities::wall::{IdentityTx, TenantTx, TxMode, Wall};
use uuid::Uuid;

use crate::doorbell::Doorbell;
use crate::entropy::Entropy;
use crate::keys::Keyring;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::time::{Clock, Timestamp};
use crate::workflows::VersionCache;

/// The ports of one process; cloning is cheap.
#[derive(Debug, Clone)]
pub struct Ports {
    /// The only way to the database.
    pub wall: Wall,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Keys for address hashes, links and sealing.
    pub keys: Arc<Keyring>,
    /// The deployment's settings.
    pub settings: Arc<Settings>,
    /// Rung after a commit that made work due now.
    pub doorbell: Arc<dyn Doorbell>,
    /// Published workflows, as they were read before.
    pub versions: Arc<VersionCache>,
    /// What this process counts of itself.
    pub metrics: Arc<Metrics>,
}

impl Ports {
    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new id, sortable by arrival.
    pub fn new_id<I: From<Uuid>>(&self) -> I {
        self.entropy.uuid_v7(self.clock.now()).into()
    }
}
