//! Counts per version, node and variant, from the rows themselves: nothing is counted twice or forgotten (C-193).

use carillon_entities::ids::{EventDefinitionId, WorkflowId, WorkflowVersionId};
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use sea_orm::FromQueryResult;

use crate::error::Result;

statements! {
    /// What happened at the nodes of a version.
    COUNT_STEPS(Uuid) =
        "SELECT node, outcome AS what, reason, variant, COUNT(*) AS people FROM enrollment_steps \
         WHERE tenant_id = $1 AND version_id = $2 GROUP BY node, outcome, reason, variant";
    /// Who is at the nodes of a version.
    COUNT_WAITING(Uuid) =
        "SELECT node, state AS what, NULL AS reason, variant, COUNT(*) AS people FROM enrollments \
         WHERE tenant_id = $1 AND version_id = $2 AND state IN ('active', 'paused', 'parked') GROUP BY node, state, variant";
    /// What became of the mails of a version's nodes.
    COUNT_MAILS(Uuid) =
        "SELECT node, state AS what, reason, variant, COUNT(*) AS people FROM messages \
         WHERE tenant_id = $1 AND workflow_version_id = $2 GROUP BY node, state, reason, variant";
    /// What the people of each variant did: opened or clicked a mail of the way they were exposed on, after a human hand;
    /// did what counts as success, in time.
    COUNT_VARIANTS(Uuid, Text, Uuid) =
        "SELECT x.variant, COUNT(*) AS exposed, \
         COALESCE(SUM(CASE WHEN EXISTS (SELECT 1 FROM messages m JOIN message_hits h ON h.tenant_id = $1 AND h.message_id = m.id \
         WHERE m.tenant_id = $1 AND m.enrollment_id = x.enrollment_id AND h.kind = 'open' AND h.class = 'human') \
         THEN 1 ELSE 0 END), 0) AS opened, \
         COALESCE(SUM(CASE WHEN EXISTS (SELECT 1 FROM messages m JOIN message_hits h ON h.tenant_id = $1 AND h.message_id = m.id \
         WHERE m.tenant_id = $1 AND m.enrollment_id = x.enrollment_id AND h.kind = 'click' AND h.class = 'human') \
         THEN 1 ELSE 0 END), 0) AS clicked, \
         COALESCE(SUM(CASE WHEN EXISTS (SELECT 1 FROM contact_events e WHERE e.tenant_id = $1 AND e.contact_id = x.contact_id \
         AND e.event_id = $4 AND e.occurred_at >= x.exposed_at AND e.occurred_at <= x.converts_until) \
         THEN 1 ELSE 0 END), 0) AS converted \
         FROM exposures x WHERE x.tenant_id = $1 AND x.workflow_id = $2 AND x.node = $3 GROUP BY x.variant";
}

/// A number of people, and what it is of.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(in crate::workflows) struct CountRow {
    pub node: Option<String>,
    pub what: String,
    pub reason: Option<String>,
    pub variant: Option<String>,
    pub people: i64,
}

/// Steps, waiting people and mails of a version.
pub(in crate::workflows) async fn counts_of(
    tx: &mut TenantTx,
    version: WorkflowVersionId,
) -> Result<[Vec<CountRow>; 3]> {
    let args = || Args::of([version.into()]);
    let steps = tx.sql(&COUNT_STEPS, args())?.all().await?;
    let waiting = tx.sql(&COUNT_WAITING, args())?.all().await?;
    let mails = tx.sql(&COUNT_MAILS, args())?.all().await?;
    Ok([steps, waiting, mails])
}

/// What the people of a variant did.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(in crate::workflows) struct VariantRow {
    pub variant: String,
    pub exposed: i64,
    pub opened: i64,
    pub clicked: i64,
    pub converted: i64,
}

pub(in crate::workflows) async fn variants_of(
    tx: &mut TenantTx,
    workflow: WorkflowId,
    node: &str,
    conversion: EventDefinitionId,
) -> Result<Vec<VariantRow>> {
    let args = Args::of([workflow.into(), node.into(), conversion.into()]);
    Ok(tx.sql(&COUNT_VARIANTS, args)?.all().await?)
}
