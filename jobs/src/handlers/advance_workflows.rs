//! `AdvanceWorkflowsV1`: moves due people of a tenant along their workflows, a batch at a time.

use carillon_domain::error::Result;
use carillon_domain::ids::TenantId;
use carillon_domain::tenancy::enter_to_advance;
use carillon_domain::workflows::advance_due;

use super::{Handlers, unless_suspended};
use crate::redis::Signal;

impl Handlers {
    /// Moves up to `n` due people; returns how many were due.
    pub(super) async fn advance_workflows(&self, tenant: TenantId, n: u32) -> Result<usize> {
        if self.draining.is_cancelled() {
            return Ok(0);
        }
        let grants = enter_to_advance(&self.ports.wall, tenant);
        let moved = unless_suspended(advance_due(&grants, &self.ports, n).await)?.unwrap_or(0);
        if moved > 0 {
            // There may be more, also of those who were just moved.
            self.signals.send(Signal::RingWorkflows);
        }
        Ok(moved)
    }
}
