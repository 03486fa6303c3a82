//! `RunImportV1`: goes on with a tenant's due import for a slice of time.

use carillon_domain::contacts::import::{Progress, claim_imports, return_claim, run_slice};
use carillon_domain::error::Result;
use carillon_domain::ids::TenantId;
use carillon_domain::tenancy::enter_to_import;
use chrono::TimeDelta;

use super::{Handlers, unless_suspended};
use crate::redis::Signal;

/// How long one ticket works on an import before it lets others go first.
const SLICE: TimeDelta = TimeDelta::seconds(10);

impl Handlers {
    /// Claims a due import and works on it; returns how many were claimed.
    pub(super) async fn run_import(&self, tenant: TenantId) -> Result<usize> {
        if self.draining.is_cancelled() {
            return Ok(0);
        }
        let grant = enter_to_import(&self.ports.wall, tenant);
        let Some(mut tx) = unless_suspended(grant.begin().await)? else { return Ok(0) };
        let claims = claim_imports(&grant, &mut tx, &self.ports, 1).await?;
        tx.commit().await?;
        let count = claims.len();
        for claim in claims {
            let until = self.ports.now() + SLICE;
            let slice = run_slice(&grant, (&self.ports, &self.files), claim, until);
            tokio::select! {
                progress = slice => match progress? {
                    Progress::More => self.signals.send(Signal::RingImports),
                    Progress::Resting | Progress::Done | Progress::Failed | Progress::LostLease => {}
                },
                () = self.draining.cancelled() => return_claim(&grant, &self.ports, claim).await?,
            }
        }
        Ok(count)
    }
}
