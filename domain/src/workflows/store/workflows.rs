//! Workflows, their versions, and who listens to what.

use std::collections::{BTreeSet, HashMap};

use carillon_entities::ids::{EnrollmentId, EventDefinitionId, WorkflowId, WorkflowVersionId};
use carillon_entities::rows::workflows::{workflow_listeners, workflow_versions, workflows};
use carillon_entities::wall::{Args, OnConflict, TenantTx};
use carillon_entities::{seeded_bugs, statements};
use sea_orm::{ActiveValue::Set, FromQueryResult, Value};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::paging::{Ahead, Page, Paged};
use crate::time::Timestamp;
use crate::workflows::{Definition, Listener, Version, Watch, Workflow};

statements! {
    /// Holds events that are being told: whoever changes who listens to them waits. In the order of their names, as
    /// whoever declares them.
    EVENTS_HOLD() [event_id: Uuid] =
        "SELECT d.id FROM event_definitions d WHERE d.tenant_id = $1 AND d.id IN (SELECT b.event_id FROM ({batch}) AS b) \
         ORDER BY d.name {for_share}";
    /// Waits for whoever tells events just now, in the same order.
    EVENTS_LOCK() [event_id: Uuid] =
        "SELECT d.id FROM event_definitions d WHERE d.tenant_id = $1 AND d.id IN (SELECT b.event_id FROM ({batch}) AS b) \
         ORDER BY d.name {no_key_update}";
    /// Who listens to events.
    LISTENERS_OF_EVENTS() [event_id: Uuid] =
        "SELECT event_id, role, version_id, workflow_id FROM workflow_listeners WHERE tenant_id = $1 \
         AND watches = 'event' AND event_id IN (SELECT b.event_id FROM ({batch}) AS b)";
    /// Who listens to changes of contacts.
    LISTENERS_OF_CONTACTS() =
        "SELECT event_id, role, version_id, workflow_id FROM workflow_listeners WHERE tenant_id = $1 AND watches = 'contact'";
    /// Versions by id.
    WORKFLOW_VERSIONS() [id: Uuid] =
        "SELECT v.id, v.workflow_id, v.number, v.definition, v.content_hash, v.published_at FROM ({batch}) AS b \
         JOIN workflow_versions v ON v.tenant_id = $1 AND v.id = b.id";
    /// A page of each workflow's versions, oldest first.
    WORKFLOW_VERSIONS_OF(Uuid, BigInt) [workflow_id: Uuid] =
        "SELECT * FROM (SELECT v.id, v.workflow_id, v.number, v.definition, v.content_hash, v.published_at, \
         ROW_NUMBER() OVER (PARTITION BY v.workflow_id ORDER BY v.id) AS nth \
         FROM ({batch}) AS b JOIN workflow_versions v ON v.tenant_id = $1 AND v.workflow_id = b.workflow_id \
         WHERE v.id > $2) AS numbered WHERE nth <= $3 ORDER BY workflow_id, id";
    /// The newest number of a workflow's versions.
    WORKFLOW_VERSION_LAST(Uuid) =
        "SELECT COALESCE(MAX(number), 0) AS number FROM workflow_versions WHERE tenant_id = $1 AND workflow_id = $2";
    /// Forgets triggers of versions that are live no more.
    TRIGGERS_FORGET(Uuid, Uuid) =
        "DELETE FROM workflow_listeners WHERE tenant_id = $1 AND workflow_id = $2 AND version_id <> $3 AND role = 'trigger'";
    /// Forgets ends of versions that are live no more, and that nobody is on, nor has a mail of that has not left (C-184).
    /// Two questions, each with an index of its own: of those who came to an exit nobody is looked at.
    ENDS_FORGET(Uuid, Uuid) =
        "DELETE FROM workflow_listeners WHERE tenant_id = $1 AND workflow_id = $2 AND version_id <> $3 AND role = 'end' \
         AND NOT EXISTS (SELECT 1 FROM enrollments e WHERE e.tenant_id = $1 AND e.version_id = workflow_listeners.version_id \
            AND e.state IN ('active', 'paused', 'parked')) \
         AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.tenant_id = $1 \
            AND m.workflow_version_id = workflow_listeners.version_id AND m.state IN ('queued', 'claimed'))";
    /// Live workflows with people due, of whom somebody waits longest first: a probe for each, and none of what is held.
    WORKFLOWS_DUE(Time, BigInt) =
        "SELECT due.id FROM (SELECT w.id, (SELECT e.due_at FROM enrollments e WHERE e.tenant_id = $1 \
         AND e.workflow_id = w.id AND e.state = 'active' ORDER BY e.due_at LIMIT 1) AS due_at FROM workflows w \
         WHERE w.tenant_id = $1 AND w.state = 'live' \
         AND NOT EXISTS (SELECT 1 FROM pauses p WHERE p.tenant_id = $1 AND p.subject_id = $1)) AS due \
         WHERE due.due_at <= $2 ORDER BY due.due_at LIMIT $3";
    /// The archived workflow whose people leave since longest.
    WORKFLOW_CLOSING() =
        "SELECT id FROM workflows WHERE tenant_id = $1 AND closing_at IS NOT NULL ORDER BY closing_at LIMIT 1";
    /// Nobody is on an archived workflow any more. Ordered, so that no plan looks for somebody among all who have left.
    WORKFLOW_CLOSED(Uuid) =
        "UPDATE workflows SET closing_at = NULL WHERE tenant_id = $1 AND id = $2 \
         AND (SELECT e.due_at FROM enrollments e WHERE e.tenant_id = $1 AND e.workflow_id = $2 \
            AND e.state = 'active' ORDER BY e.due_at LIMIT 1) IS NULL \
         AND (SELECT e.due_at FROM enrollments e WHERE e.tenant_id = $1 AND e.workflow_id = $2 \
            AND e.state IN ('paused', 'parked') ORDER BY e.due_at LIMIT 1) IS NULL";
    /// Locks whatever is live: what the gate decides about it is decided before, or sees what is done under this lock.
    WORKFLOWS_LIVE_LOCK() =
        "SELECT id FROM workflows WHERE tenant_id = $1 AND state = 'live' ORDER BY id {for_update}";
    /// Keeps the workflows of ways as they are until the gate has decided.
    WORKFLOWS_AT_GATE() [id: Uuid] =
        "SELECT id FROM workflows WHERE tenant_id = $1 AND id IN (SELECT e.workflow_id FROM enrollments e \
         WHERE e.tenant_id = $1 AND e.id IN (SELECT b.id FROM ({batch}) AS b)) ORDER BY id {for_share}";
}

/// Locks a workflow.
pub(in crate::workflows) async fn workflow_lock(tx: &mut TenantTx, id: WorkflowId) -> Result<Option<Workflow>> {
    let row = tx.select::<workflows::Entity>().eq(workflows::Column::Id, id).for_update().one().await?;
    row.map(workflow).transpose()
}

pub(in crate::workflows) async fn workflows_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = WorkflowId>,
) -> Result<Vec<Workflow>> {
    let select = tx.select::<workflows::Entity>().is_in(workflows::Column::Id, ids).limit(1_000);
    select.all().await?.into_iter().map(workflow).collect()
}

/// A page of workflows, oldest first.
pub(in crate::workflows) async fn workflows_list(
    tx: &mut TenantTx,
    page: &Page<WorkflowId>,
) -> Result<Paged<Workflow>> {
    let rows = page.keyset(tx.select::<workflows::Entity>(), workflows::Column::Id).all().await?;
    Ok(page.finish(rows.into_iter().map(workflow).collect::<Result<_>>()?))
}

pub(in crate::workflows) async fn workflow_insert(tx: &mut TenantTx, workflow: &Workflow) -> Result<()> {
    let row = workflows::ActiveModel {
        id: Set(workflow.id),
        name: Set(workflow.name.clone()),
        state: Set(workflow.state.as_str().to_owned()),
        draft: Set(workflow.draft.clone()),
        version: Set(workflow.version),
        live_version_id: Set(workflow.live_version),
        created_at: Set(workflow.created_at),
        updated_at: Set(workflow.updated_at),
        archived_at: Set(workflow.archived_at),
        closing_at: Set(None),
        ..Default::default()
    };
    Ok(tx.insert(row).await?)
}

/// Writes what can change of a workflow that is locked.
pub(in crate::workflows) async fn workflow_update(tx: &mut TenantTx, workflow: &Workflow) -> Result<()> {
    use workflows::Column;
    let update = tx
        .update::<workflows::Entity>()
        .eq(Column::Id, workflow.id)
        .set(Column::Name, workflow.name.as_str())
        .set(Column::State, workflow.state.as_str())
        .set(Column::Draft, workflow.draft.clone())
        .set(Column::Version, workflow.version)
        .set(Column::LiveVersionId, workflow.live_version.map(|id| id.0))
        .set(Column::UpdatedAt, workflow.updated_at)
        .set(Column::ArchivedAt, workflow.archived_at);
    update.execute().await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct IdRow {
    id: WorkflowId,
}

/// Live workflows with people due, those of whom somebody waits longest first.
pub(in crate::workflows) async fn workflows_due(
    tx: &mut TenantTx,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<WorkflowId>> {
    let rows: Vec<IdRow> = tx.sql(&WORKFLOWS_DUE, Args::of([now.into(), limit.into()]))?.all().await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Has the engine take out whoever is on a workflow, which is archived and locked.
pub(in crate::workflows) async fn workflow_close(tx: &mut TenantTx, id: WorkflowId, now: Timestamp) -> Result<()> {
    use workflows::Column;
    tx.update::<workflows::Entity>().eq(Column::Id, id).set(Column::ClosingAt, Some(now)).execute().await?;
    Ok(())
}

/// The archived workflow whose people leave since longest.
pub(in crate::workflows) async fn workflow_closing(tx: &mut TenantTx) -> Result<Option<WorkflowId>> {
    let row: Option<IdRow> = tx.sql(&WORKFLOW_CLOSING, Args::default())?.one().await?;
    Ok(row.map(|row| row.id))
}

/// Writes down that nobody is on an archived workflow any more; false while somebody is.
pub(in crate::workflows) async fn workflow_closed(tx: &mut TenantTx, id: WorkflowId) -> Result<bool> {
    Ok(tx.sql(&WORKFLOW_CLOSED, Args::of([id.into()]))?.execute().await? > 0)
}

/// Locks whatever is live.
pub(in crate::workflows) async fn workflows_live_lock(tx: &mut TenantTx) -> Result<()> {
    tx.sql(&WORKFLOWS_LIVE_LOCK, Args::default())?.execute().await?;
    Ok(())
}

/// Keeps the workflows of ways as they are until the transaction ends.
pub(in crate::workflows) async fn workflows_at_gate(tx: &mut TenantTx, ways: &[EnrollmentId]) -> Result<()> {
    let batch = ways.iter().map(|id| vec![Value::from(*id)]);
    tx.sql(&WORKFLOWS_AT_GATE, Args::batch(batch))?.execute().await?;
    Ok(())
}

fn workflow(row: workflows::Model) -> Result<Workflow> {
    Ok(Workflow {
        id: row.id,
        name: row.name,
        state: row.state.parse().map_err(Error::fault)?,
        draft: row.draft,
        version: row.version,
        live_version: row.live_version_id,
        created_at: row.created_at,
        updated_at: row.updated_at,
        archived_at: row.archived_at,
    })
}

#[derive(FromQueryResult)]
struct VersionRow {
    id: WorkflowVersionId,
    workflow_id: WorkflowId,
    number: i32,
    definition: Json,
    content_hash: Vec<u8>,
    published_at: Timestamp,
}

pub(in crate::workflows) async fn versions_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = WorkflowVersionId>,
) -> Result<Vec<Version>> {
    let batch = ids.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<VersionRow> = tx.sql(&WORKFLOW_VERSIONS, Args::batch(batch))?.all().await?;
    Ok(rows.into_iter().map(version).collect())
}

/// A version; its definition is none where a newer program wrote it (C-182).
fn version(row: VersionRow) -> Version {
    let definition: Option<Definition> = serde_json::from_value(row.definition.clone()).ok();
    if definition.is_none() {
        tracing::error!(workflow_version.id = %row.id, "a published workflow cannot be read; its people are parked");
    }
    Version {
        id: row.id,
        workflow: row.workflow_id,
        number: row.number,
        json: row.definition,
        definition,
        content_hash: row.content_hash,
        published_at: row.published_at,
    }
}

/// A page of each workflow's versions, oldest first.
pub(in crate::workflows) async fn versions_of(
    tx: &mut TenantTx,
    workflows: &[WorkflowId],
    page: Ahead<WorkflowVersionId>,
) -> Result<HashMap<WorkflowId, Paged<Version>>> {
    let after = page.after.unwrap_or(WorkflowVersionId(Uuid::nil()));
    let batch = workflows.iter().map(|id| vec![Value::from(*id)]);
    let args = Args::of([after.into(), page.limit().into()]).with_batch(batch);
    let rows: Vec<VersionRow> = tx.sql(&WORKFLOW_VERSIONS_OF, args)?.all().await?;
    Ok(page.finish(rows.into_iter().map(|row| (row.workflow_id, version(row)))))
}

pub(in crate::workflows) async fn version_last(tx: &mut TenantTx, workflow: WorkflowId) -> Result<i32> {
    #[derive(FromQueryResult)]
    struct Last {
        number: i32,
    }
    let last: Option<Last> = tx.sql(&WORKFLOW_VERSION_LAST, Args::of([workflow.into()]))?.one().await?;
    Ok(last.map_or(0, |last| last.number))
}

pub(in crate::workflows) async fn version_insert(
    tx: &mut TenantTx,
    version: &Version,
    (actor_kind, actor_id): (&str, Option<Uuid>),
) -> Result<()> {
    let row = workflow_versions::ActiveModel {
        id: Set(version.id),
        workflow_id: Set(version.workflow),
        number: Set(version.number),
        definition: Set(version.json.clone()),
        content_hash: Set(version.content_hash.clone()),
        published_at: Set(version.published_at),
        actor_kind: Set(actor_kind.to_owned()),
        actor_id: Set(actor_id),
        ..Default::default()
    };
    Ok(tx.insert(row).await?)
}

/// Has a version listen, and forgets what of the workflow's older ones is needed no more.
pub(in crate::workflows) async fn listeners_replace(
    tx: &mut TenantTx,
    (workflow, version): (WorkflowId, WorkflowVersionId),
    watches: Vec<Watch>,
) -> Result<()> {
    // Whoever is being let in by an older trigger is let in first: what is asked after this sees them.
    events_lock(tx, workflow, &watches).await?;
    tx.sql(&TRIGGERS_FORGET, Args::of([workflow.into(), version.into()]))?.execute().await?;
    tx.sql(&ENDS_FORGET, Args::of([workflow.into(), version.into()]))?.execute().await?;
    let rows = watches.into_iter().map(|watch| workflow_listeners::ActiveModel {
        watches: Set(if watch.event.is_some() { "event" } else { "contact" }.to_owned()),
        event_id: Set(watch.event.unwrap_or(EventDefinitionId(Uuid::nil()))),
        role: Set(if watch.starts { "trigger" } else { "end" }.to_owned()),
        version_id: Set(version),
        workflow_id: Set(workflow),
        ..Default::default()
    });
    tx.insert_many(rows.collect(), OnConflict::Keep).await?;
    Ok(())
}

/// Has a workflow listen to nothing any more. Whoever is being let in is let in first: what is asked after this sees them.
pub(in crate::workflows) async fn listeners_forget(tx: &mut TenantTx, workflow: WorkflowId) -> Result<()> {
    use workflow_listeners::Column;
    events_lock(tx, workflow, &[]).await?;
    tx.delete::<workflow_listeners::Entity>().eq(Column::WorkflowId, workflow).execute().await?;
    Ok(())
}

/// Locks the events that a workflow listens to, or is about to: one row each, however many listen.
async fn events_lock(tx: &mut TenantTx, workflow: WorkflowId, watches: &[Watch]) -> Result<()> {
    use workflow_listeners::{Column, Entity};
    let old = tx.select::<Entity>().eq(Column::WorkflowId, workflow).all().await?;
    let events: BTreeSet<EventDefinitionId> =
        old.into_iter().map(|row| row.event_id).chain(watches.iter().filter_map(|watch| watch.event)).collect();
    let rows: Vec<Vec<Value>> = events.into_iter().map(|id| vec![Value::from(id)]).collect();
    for chunk in rows.chunks(tx.max_batch(&EVENTS_LOCK)) {
        tx.sql(&EVENTS_LOCK, Args::batch(chunk.to_vec()))?.execute().await?;
    }
    Ok(())
}

#[derive(FromQueryResult)]
struct ListenerRow {
    event_id: EventDefinitionId,
    role: String,
    version_id: WorkflowVersionId,
    workflow_id: WorkflowId,
}

impl From<ListenerRow> for Listener {
    fn from(row: ListenerRow) -> Self {
        let event = (!row.event_id.0.is_nil()).then_some(row.event_id);
        let watch = Watch { event, starts: row.role == "trigger" };
        Self { watch, version: row.version_id, workflow: row.workflow_id }
    }
}

/// Who listens to events, and does so until the transaction ends: whoever publishes or archives is waited for first, so
/// that what is read then is what they left.
pub(in crate::workflows) async fn listeners_of_events(
    tx: &mut TenantTx,
    events: &BTreeSet<EventDefinitionId>,
) -> Result<Vec<Listener>> {
    let batch = || events.iter().map(|id| vec![Value::from(*id)]);
    if !seeded_bugs::on("events_told_unheld") {
        tx.sql(&EVENTS_HOLD, Args::batch(batch()))?.execute().await?;
    }
    let rows: Vec<ListenerRow> = tx.sql(&LISTENERS_OF_EVENTS, Args::batch(batch()))?.all().await?;
    Ok(rows.into_iter().map(Listener::from).collect())
}

pub(in crate::workflows) async fn listeners_of_contacts(tx: &mut TenantTx) -> Result<Vec<Listener>> {
    let rows: Vec<ListenerRow> = tx.sql(&LISTENERS_OF_CONTACTS, Args::default())?.all().await?;
    Ok(rows.into_iter().map(Listener::from).collect())
}
