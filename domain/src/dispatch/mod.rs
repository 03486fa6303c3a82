//! Who has work that is due, and who hands out the permission to do it (L4).
//!
//! One dispatcher per lane is elected by a leased row; it sees tenant ids and times, nothing else.

mod store;

use carillon_entities::wall::{DueTenant, IdentitySql, TxMode};

use crate::error::Result;
use crate::messaging::Lane;
use crate::ports::Ports;
use crate::tenancy::{self, SYSTEM_TENANT};

/// Every registered statement of the dispatch role.
pub static DISPATCH_STATEMENTS: &[&IdentitySql] =
    &[&store::DUE_MESSAGES, &store::DUE_IMPORTS, &store::DUE_WORKFLOWS, &store::DUE_SWEEPS];
/// Every registered statement on the dispatchers' leases.
pub static IDENTITY_STATEMENTS: &[&IdentitySql] = &[&store::LEASE_TAKE];

/// How long an election holds without a renewal.
pub const ELECTION: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// Tenants with due messages in a lane, with the due time of the oldest.
pub async fn due_messages(ports: &Ports, lane: Lane) -> Result<Vec<DueTenant>> {
    Ok(ports.wall.due(&store::DUE_MESSAGES, vec![lane.as_str().into(), ports.now().into()]).await?)
}

/// Tenants with due imports.
pub async fn due_imports(ports: &Ports) -> Result<Vec<DueTenant>> {
    Ok(ports.wall.due(&store::DUE_IMPORTS, vec![ports.now().into()]).await?)
}

/// Tenants with people due on live workflows, or still on archived ones.
pub async fn due_workflows(ports: &Ports) -> Result<Vec<DueTenant>> {
    Ok(ports.wall.due(&store::DUE_WORKFLOWS, vec![ports.now().into()]).await?)
}

/// Tenants with hits to judge, with lapsed claims, with unknown outcomes whose time for reconciling is over, or with files and stored answers
/// past their time. What has no tenant (sessions, one-time secrets) is swept as the deployment's own.
pub async fn due_sweeps(ports: &Ports) -> Result<Vec<DueTenant>> {
    let now = ports.now();
    let mut due = ports.wall.due(&store::DUE_SWEEPS, vec![now.into()]).await?;
    if tenancy::has_expired(ports).await? && due.iter().all(|due| due.tenant != SYSTEM_TENANT) {
        due.push(DueTenant { tenant: SYSTEM_TENANT, oldest_due_at: now });
    }
    Ok(due)
}

/// Stands for election as the dispatcher of a lane, or renews it; true while `holder` is the one. Nobody is elected who
/// does not know the time: a lease would be taken too early (C-180).
pub async fn elect(ports: &Ports, lane: &str, holder: &str) -> Result<bool> {
    if !ports.clock.is_trustworthy() {
        return Ok(false);
    }
    let now = ports.now();
    let mut tx = ports.wall.begin_identity(TxMode::Write).await?;
    let elected = store::lease_take(&mut tx, lane, holder, now, now + ELECTION).await?;
    tx.commit().await?;
    Ok(elected)
}

/// Steps down, so that another need not wait for the lease to lapse.
pub async fn step_down(ports: &Ports, lane: &str, holder: &str) -> Result<()> {
    let mut tx = ports.wall.begin_identity(TxMode::Write).await?;
    store::lease_release(&mut tx, lane, holder).await?;
    Ok(tx.commit().await?)
}
