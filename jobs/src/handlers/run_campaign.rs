//! `RunCampaignV1`: goes on with a tenant's due campaign by a batch.

use carillon_domain::campaigns::run_due;
use carillon_domain::error::Result;
use carillon_domain::ids::TenantId;
use carillon_domain::messaging::MessageClass;
use carillon_domain::tenancy::enter_to_campaign;

use super::{Handlers, unless_suspended};
use crate::redis::Signal;

impl Handlers {
    /// Freezes, releases or takes back a batch; returns how many rows that were.
    pub(super) async fn run_campaign(&self, tenant: TenantId) -> Result<usize> {
        if self.draining.is_cancelled() {
            return Ok(0);
        }
        let grants = enter_to_campaign(&self.ports.wall, tenant);
        let Some(visit) = unless_suspended(run_due(&grants, &self.ports).await)? else { return Ok(0) };
        if visit.has_mail {
            self.signals.send(Signal::Ring(MessageClass::Marketing.lane()));
        }
        if visit.done > 0 {
            // There may be more to do at once.
            self.signals.send(Signal::RingCampaigns);
        }
        Ok(visit.done)
    }
}
