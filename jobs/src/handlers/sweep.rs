//! `SweepV1`: takes back what lost workers held, decides old unknown outcomes, and deletes what is past its time.

use carillon_domain::error::Result;
use carillon_domain::files::expire_uploads;
use carillon_domain::ids::TenantId;
use carillon_domain::messaging::{self, Lane};
use carillon_domain::tenancy::{self, SYSTEM_TENANT, enter_for_work};
use carillon_domain::{idempotency, ports::Ports};

use super::Handlers;
use crate::redis::Signal;

impl Handlers {
    /// Sweeps a tenant once; returns how many rows that were. The object store comes last: it may be away for long, and
    /// nothing else waits for it.
    pub(super) async fn sweep(&self, tenant: TenantId) -> Result<usize> {
        let swept = self.sweep_messages(tenant).await?;
        // What is deleted by a wrong clock does not come back (C-180).
        if !self.ports.clock.is_trustworthy() {
            return Ok(swept);
        }
        let work = enter_for_work(&self.ports.wall, tenant);
        let answers = idempotency::forget_expired(&work.grant(), &self.ports).await?;
        let secrets = forget_secrets(&self.ports, tenant).await?;
        let uploads = expire_uploads(&work.grant(), &self.ports, &self.files).await?;
        if answers + secrets > 0 || uploads > 0 {
            tracing::info!(tenant.id = %tenant, answers, secrets, uploads, "deleted what was past its time");
        }
        Ok(swept + uploads + usize::try_from(answers + secrets).unwrap_or(usize::MAX))
    }

    async fn sweep_messages(&self, tenant: TenantId) -> Result<usize> {
        let grant = enter_for_work(&self.ports.wall, tenant).grant();
        let swept = messaging::sweep(&grant, &self.ports).await?;
        if swept.taken_back + swept.decided > 0 {
            tracing::info!(tenant.id = %tenant, taken_back = swept.taken_back, decided = swept.decided, "swept");
            self.signals.send(Signal::Ring(Lane::Transactional));
            self.signals.send(Signal::Ring(Lane::Bulk));
        }
        Ok(swept.taken_back + swept.decided)
    }
}

/// Sessions and one-time secrets have no tenant: they go with the deployment's own.
async fn forget_secrets(ports: &Ports, tenant: TenantId) -> Result<u64> {
    if tenant == SYSTEM_TENANT { tenancy::forget_expired(ports).await } else { Ok(0) }
}
