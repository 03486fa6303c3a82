//! Who has work that is due, and who hands out the permission to do it (L4).
//!
//! One dispatcher per lane is elected by a leased row; it sees tenant ids and times, nothing else.

mod store;

use carillon_entities::wall::{DueTenant, IdentitySql, TxMode};

use crate::error::Result;
use crate::messaging::Lane;
use crate::metrics::Due;
use crate::metrics::labels::Work;
use crate::ports::Ports;
use crate::tenancy::{self, SYSTEM_TENANT};

/// Every registered statement of the dispatch role.
pub static DISPATCH_STATEMENTS: &[&IdentitySql] = &[
    &store::DUE_MESSAGES,
    &store::DUE_MESSAGES_COUNT,
    &store::DUE_IMPORTS,
    &store::DUE_WORKFLOWS,
    &store::DUE_WORKFLOWS_COUNT,
    &store::DUE_WEBHOOKS,
    &store::DUE_CAMPAIGNS,
    &store::DUE_SWEEPS,
];
/// Every registered statement on the dispatchers' leases.
pub static IDENTITY_STATEMENTS: &[&IdentitySql] = &[&store::LEASE_TAKE];

/// How long an election holds without a renewal.
pub const ELECTION: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// What is due is counted to this; a longer backlog is no longer in the counting.
const DUE_COUNTED: i64 = 1_000;

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

/// Tenants with webhooks due to endpoints that nobody delivers to at the moment.
pub async fn due_webhooks(ports: &Ports) -> Result<Vec<DueTenant>> {
    Ok(ports.wall.due(&store::DUE_WEBHOOKS, vec![ports.now().into()]).await?)
}

/// Tenants with campaigns to freeze, to release or to take back.
pub async fn due_campaigns(ports: &Ports) -> Result<Vec<DueTenant>> {
    Ok(ports.wall.due(&store::DUE_CAMPAIGNS, vec![ports.now().into()]).await?)
}

/// Tenants with hits to judge, with events without a place in the feed, with lapsed claims, with unknown outcomes whose time for reconciling is over, or with files and stored answers
/// past their time. What has no tenant (sessions, one-time secrets) is swept as the deployment's own.
pub async fn due_sweeps(ports: &Ports) -> Result<Vec<DueTenant>> {
    let now = ports.now();
    let mut due = ports.wall.due(&store::DUE_SWEEPS, vec![now.into()]).await?;
    if tenancy::has_expired(ports).await? && due.iter().all(|due| due.tenant != SYSTEM_TENANT) {
        due.push(DueTenant { tenant: SYSTEM_TENANT, oldest_due_at: now });
    }
    Ok(due)
}

/// What is due in a lane, for operators: messages and people on live workflows are counted to a thousand, of imports, webhooks,
/// campaigns and sweeps the tenants that have some.
pub async fn due_in(ports: &Ports, lane: Work) -> Result<Due> {
    let now = ports.now();
    let tenants = match lane {
        Work::Transactional => due_messages(ports, Lane::Transactional).await?,
        Work::Bulk => due_messages(ports, Lane::Bulk).await?,
        Work::Imports => due_imports(ports).await?,
        Work::Workflows => due_workflows(ports).await?,
        Work::Webhooks => due_webhooks(ports).await?,
        Work::Campaigns => due_campaigns(ports).await?,
        Work::Maintenance => due_sweeps(ports).await?,
    };
    let Some(oldest) = tenants.iter().map(|due| due.oldest_due_at).min() else { return Ok(Due::default()) };
    let messages = |lane: Lane| vec![lane.as_str().into(), now.into()];
    let rows = match lane {
        Work::Transactional => ports.wall.due_amount(&store::DUE_MESSAGES_COUNT, messages(Lane::Transactional)).await?,
        Work::Bulk => ports.wall.due_amount(&store::DUE_MESSAGES_COUNT, messages(Lane::Bulk)).await?,
        Work::Workflows => ports.wall.due_amount(&store::DUE_WORKFLOWS_COUNT, vec![now.into()]).await?,
        Work::Imports | Work::Webhooks | Work::Campaigns | Work::Maintenance => {
            i64::try_from(tenants.len()).unwrap_or(DUE_COUNTED)
        }
    };
    Ok(Due { rows: rows.min(DUE_COUNTED), oldest: now - oldest })
}

/// Stands for election as the dispatcher of a lane, or renews it; true while `holder` is the one. Nobody is elected who
/// does not know the time: a lease would be taken too early (C-180).
pub async fn elect(ports: &Ports, lane: &str, holder: &str) -> Result<bool> {
    if !ports.clock.is_trustworthy() {
        return Ok(false);
    }
    let now = ports.now();
    store::lease_take(&ports.wall, (lane, holder), now, now + ELECTION).await
}

/// Steps down, so that another need not wait for the lease to lapse.
pub async fn step_down(ports: &Ports, lane: &str, holder: &str) -> Result<()> {
    let mut tx = ports.wall.begin_identity(TxMode::Write).await?;
    store::lease_release(&mut tx, lane, holder).await?;
    Ok(tx.commit().await?)
}
