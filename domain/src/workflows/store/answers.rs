//! Counts per version, node and variant, from the rows themselves: nothing is counted twice or forgotten (C-193).

use std::collections::{BTreeSet, HashMap};

use carillon_entities::ids::{EventDefinitionId, WorkflowId, WorkflowVersionId};
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use sea_orm::{FromQueryResult, Value};
use uuid::Uuid;

use crate::error::Result;

/// How many of those exposed have a tracked mail of their variant, of the way they were exposed on, that is such.
macro_rules! with_mail {
    ($($such:tt)*) => {
        concat!(
            "COALESCE(SUM(CASE WHEN EXISTS (SELECT 1 FROM messages m WHERE m.tenant_id = $1 \
             AND m.enrollment_id = x.enrollment_id AND m.variant = x.node || '/' || x.variant \
             AND m.tracking = 'individual' AND ",
            $($such)*,
            ") THEN 1 ELSE 0 END), 0)"
        )
    };
}

/// A person did something with mail `m`.
macro_rules! by_hand {
    ($kinds:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM message_hits h WHERE h.tenant_id = $1 AND h.message_id = m.id \
             AND h.class = 'human' AND h.kind IN (",
            $kinds,
            "))"
        )
    };
}

statements! {
    /// What happened at the nodes of versions.
    COUNT_STEPS() [version_id: Uuid] =
        "SELECT s.version_id, s.node, s.outcome AS what, s.reason, s.variant, COUNT(*) AS people FROM ({batch}) AS b \
         JOIN enrollment_steps s ON s.tenant_id = $1 AND s.version_id = b.version_id \
         GROUP BY s.version_id, s.node, s.outcome, s.reason, s.variant";
    /// Who is at the nodes of versions.
    COUNT_WAITING() [version_id: Uuid] =
        "SELECT e.version_id, e.node, e.state AS what, NULL AS reason, e.variant, COUNT(*) AS people FROM ({batch}) AS b \
         JOIN enrollments e ON e.tenant_id = $1 AND e.version_id = b.version_id \
         AND e.state IN ('active', 'paused', 'parked') GROUP BY e.version_id, e.node, e.state, e.variant";
    /// What became of the mails of versions' nodes.
    COUNT_MAILS() [workflow_version_id: Uuid] =
        "SELECT m.workflow_version_id AS version_id, m.node, m.state AS what, m.reason, m.variant, COUNT(*) AS people \
         FROM ({batch}) AS b JOIN messages m ON m.tenant_id = $1 AND m.workflow_version_id = b.workflow_version_id \
         GROUP BY m.workflow_version_id, m.node, m.state, m.reason, m.variant";
    /// What the people of each variant did: opened or clicked a mail of the way they were exposed on, behind the split and
    /// no later one, after a human hand (who clicked has opened), and of how many that could be known; did what counts as
    /// success, in time.
    COUNT_VARIANTS() [workflow_id: Uuid, node: Text, event_id: Uuid] = concat!(
        "SELECT b.workflow_id, b.node, b.event_id, x.variant, COUNT(*) AS exposed, ",
        with_mail!(concat!("(m.state = 'sent' OR ", by_hand!("'open', 'click'"), ")")), " AS tracked, ",
        with_mail!(by_hand!("'open', 'click'")), " AS opened, ",
        with_mail!(by_hand!("'click'")), " AS clicked, \
         COALESCE(SUM(CASE WHEN EXISTS (SELECT 1 FROM contact_events e WHERE e.tenant_id = $1 AND e.contact_id = x.contact_id \
         AND e.event_id = b.event_id AND e.occurred_at >= x.exposed_at AND e.occurred_at <= x.converts_until) \
         THEN 1 ELSE 0 END), 0) AS converted \
         FROM ({batch}) AS b JOIN exposures x ON x.tenant_id = $1 AND x.workflow_id = b.workflow_id AND x.node = b.node \
         GROUP BY b.workflow_id, b.node, b.event_id, x.variant");
}

/// A number of people, and what it is of.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(in crate::workflows) struct CountRow {
    pub version_id: WorkflowVersionId,
    pub node: Option<String>,
    pub what: String,
    pub reason: Option<String>,
    pub variant: Option<String>,
    pub people: i64,
}

/// Steps, waiting people and mails of versions.
pub(in crate::workflows) async fn counts_of(
    tx: &mut TenantTx,
    versions: &[WorkflowVersionId],
) -> Result<[Vec<CountRow>; 3]> {
    // Joined with the counts: one named twice would count twice.
    let versions: BTreeSet<WorkflowVersionId> = versions.iter().copied().collect();
    let args = || Args::batch(versions.iter().map(|id| vec![Value::from(*id)]));
    let steps = tx.sql(&COUNT_STEPS, args())?.all().await?;
    let waiting = tx.sql(&COUNT_WAITING, args())?.all().await?;
    let mails = tx.sql(&COUNT_MAILS, args())?.all().await?;
    Ok([steps, waiting, mails])
}

/// A split whose variants are asked about, and the event that counts as success.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::workflows) struct SplitAsked {
    pub workflow: WorkflowId,
    pub node: String,
    pub event: Option<EventDefinitionId>,
}

/// What the people of a variant did.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(in crate::workflows) struct VariantRow {
    workflow_id: WorkflowId,
    node: String,
    event_id: EventDefinitionId,
    variant: String,
    pub exposed: i64,
    /// Those of whom it would be known.
    pub tracked: i64,
    pub opened: i64,
    pub clicked: i64,
    pub converted: i64,
}

/// What the people of each variant did, by split and label.
pub(in crate::workflows) async fn variants_of(
    tx: &mut TenantTx,
    splits: BTreeSet<SplitAsked>,
) -> Result<HashMap<SplitAsked, HashMap<String, VariantRow>>> {
    let nobody = EventDefinitionId(Uuid::nil());
    let batch: Vec<Vec<Value>> = splits
        .into_iter()
        .map(|split| vec![split.workflow.into(), split.node.into(), split.event.unwrap_or(nobody).into()])
        .collect();
    let mut found: HashMap<SplitAsked, HashMap<String, VariantRow>> = HashMap::new();
    for chunk in batch.chunks(tx.max_batch(&COUNT_VARIANTS)) {
        let rows: Vec<VariantRow> = tx.sql(&COUNT_VARIANTS, Args::batch(chunk.to_vec()))?.all().await?;
        for row in rows {
            let event = (row.event_id != nobody).then_some(row.event_id);
            let split = SplitAsked { workflow: row.workflow_id, node: row.node.clone(), event };
            found.entry(split).or_default().insert(row.variant.clone(), row);
        }
    }
    Ok(found)
}
