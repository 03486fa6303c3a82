//! `SweepV1`: takes back what lost workers held, decides old unknown outcomes, judges opens and clicks, gives events their places
//! in the feed, and deletes what is past its time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use carillon_domain::error::Result;
use carillon_domain::files::expire_uploads;
use carillon_domain::ids::TenantId;
use carillon_domain::messaging::{self, Lane};
use carillon_domain::tenancy::{self, SYSTEM_TENANT, enter_for_work};
use carillon_domain::{idempotency, ports::Ports};

use super::Handlers;
use crate::redis::Signal;

/// So long a sweep waits for the object store.
const FILES_WAIT: Duration = Duration::from_secs(10);
/// So long it is left alone after it failed, in microseconds.
const FILES_PAUSE_US: i64 = 300_000_000;

impl Handlers {
    /// Sweeps a tenant once; returns how many rows that were. The object store comes last and is given little time: it may
    /// be away for long, and other tenants' sweeps come after this one.
    pub(super) async fn sweep(&self, tenant: TenantId) -> Result<usize> {
        // None keeps another from happening: workflows wait for what is judged (C-82), and who listens for what is placed.
        let (swept, judged) = (self.sweep_messages(tenant).await, self.judge_hits(tenant).await);
        let placed = self.place_events(tenant).await;
        let swept = swept? + judged?;
        placed?;
        // What is deleted by a wrong clock does not come back (C-180).
        if !self.ports.clock.is_trustworthy() {
            return Ok(swept);
        }
        let work = enter_for_work(&self.ports.wall, tenant);
        let answers = idempotency::forget_expired(&work.grant(), &self.ports).await?;
        let secrets = forget_secrets(&self.ports, tenant).await?;
        let uploads = self.sweep_uploads(tenant).await;
        if answers + secrets > 0 || uploads > 0 {
            tracing::info!(tenant.id = %tenant, answers, secrets, uploads, "deleted what was past its time");
        }
        Ok(swept + uploads + usize::try_from(answers + secrets).unwrap_or(usize::MAX))
    }

    /// Deletes files past their time, unless the store was away just now.
    async fn sweep_uploads(&self, tenant: TenantId) -> usize {
        let now = self.ports.clock.monotonic();
        if now.0 < self.files_away_until.load(Ordering::Relaxed) {
            return 0;
        }
        let grant = enter_for_work(&self.ports.wall, tenant).grant();
        let expired = tokio::time::timeout(FILES_WAIT, expire_uploads(&grant, &self.ports, &self.files)).await;
        let why = match expired {
            Ok(Ok(uploads)) => return uploads,
            Ok(Err(fault)) => fault.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        tracing::warn!(tenant.id = %tenant, why, "expired files are not deleted yet");
        self.files_away_until.store(now.0.saturating_add(FILES_PAUSE_US), Ordering::Relaxed);
        0
    }

    async fn judge_hits(&self, tenant: TenantId) -> Result<usize> {
        let judged = messaging::judge_hits(&enter_for_work(&self.ports.wall, tenant).grant(), &self.ports).await?;
        if judged > 0 {
            tracing::info!(tenant.id = %tenant, judged, "judged opens and clicks");
        }
        Ok(judged)
    }

    /// Gives places to what the work of others, and of this sweep, left for the feed. Nothing of it was due, so it does not
    /// count; but who watches the feed is told.
    async fn place_events(&self, tenant: TenantId) -> Result<()> {
        let grant = enter_for_work(&self.ports.wall, tenant).grant();
        if messaging::place_events(&grant, &self.ports).await? > 0 {
            self.signals.send(Signal::Changed(tenant));
        }
        Ok(())
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
