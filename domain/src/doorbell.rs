//! The doorbell (L4): after a commit that made work due now, whoever looks for work is told to look.
//!
//! Ringing is a hint and may be lost: due work is also found by polling.

use carillon_entities::ids::TenantId;

use crate::messaging::Lane;

/// Tells dispatchers that work became due. Never blocks and never fails.
pub trait Doorbell: Send + Sync + std::fmt::Debug {
    /// Work of this lane is due.
    fn ring(&self, lane: Lane);
    /// An import is due.
    fn ring_imports(&self);
    /// People on workflows are due.
    fn ring_workflows(&self);
    /// Webhooks are due.
    fn ring_webhooks(&self);
    /// A campaign is to go on.
    fn ring_campaigns(&self);
    /// Something of a tenant's changed: whoever watches it may look. Most doorbells have nobody to tell.
    fn changed(&self, _: TenantId) {}
}

/// Rings nowhere; work is found by polling alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDoorbell;

impl Doorbell for NoDoorbell {
    fn ring(&self, _: Lane) {}
    fn ring_imports(&self) {}
    fn ring_workflows(&self) {}
    fn ring_webhooks(&self) {}
    fn ring_campaigns(&self) {}
}
