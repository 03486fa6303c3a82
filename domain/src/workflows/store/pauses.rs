//! What is held: the tenant, workflows, contacts.

use std::collections::HashSet;

use carillon_entities::ids::{ContactId, WorkflowId};
use carillon_entities::rows::workflows::pauses;
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, Sql, TenantTx};
use sea_orm::{ActiveValue::Set, FromQueryResult, Value};
use uuid::Uuid;

use crate::error::Result;
use crate::time::Timestamp;
use crate::workflows::Held;

statements! {
    /// Which of these are held; locked, so that whoever lets them go waits, and then sees what was held here.
    PAUSES_OF() [subject_id: Uuid] =
        "SELECT subject_id FROM pauses WHERE tenant_id = $1 AND subject_id IN (SELECT b.subject_id FROM ({batch}) AS b) \
         ORDER BY subject_id {for_share}";
    /// The same, for whoever only shows it: a reading transaction locks nothing.
    PAUSES_SEEN() [subject_id: Uuid] =
        "SELECT p.subject_id FROM ({batch}) AS b JOIN pauses p ON p.tenant_id = $1 AND p.subject_id = b.subject_id";
    /// Holds everybody of the tenant.
    WAYS_PAUSE_ALL() = "UPDATE enrollments SET state = 'paused' WHERE tenant_id = $1 AND state = 'active'";
    /// Holds everybody on a workflow.
    WAYS_PAUSE_WORKFLOW(Uuid) =
        "UPDATE enrollments SET state = 'paused' WHERE tenant_id = $1 AND workflow_id = $2 AND state = 'active'";
    /// Holds a contact's ways.
    WAYS_PAUSE_CONTACT(Uuid) =
        "UPDATE enrollments SET state = 'paused' WHERE tenant_id = $1 AND contact_id = $2 AND state = 'active'";
    /// Locks all that is held, in one order.
    PAUSES_LOCK() = "SELECT subject_id FROM pauses WHERE tenant_id = $1 ORDER BY subject_id {for_update}";
    /// Lets go whoever nothing holds any more.
    WAYS_RESUME() =
        "UPDATE enrollments SET state = 'active' WHERE tenant_id = $1 AND state = 'paused' \
         AND NOT EXISTS (SELECT 1 FROM pauses p WHERE p.tenant_id = $1 \
         AND p.subject_id IN ($1, enrollments.workflow_id, enrollments.contact_id))";
}

/// Which of these are held; they stay so until the transaction ends.
pub(in crate::workflows) async fn pauses_of(
    tx: &mut TenantTx,
    subjects: impl IntoIterator<Item = Uuid>,
) -> Result<HashSet<Uuid>> {
    held_of(tx, &PAUSES_OF, subjects).await
}

/// Which of these are held now.
pub(in crate::workflows) async fn pauses_seen(
    tx: &mut TenantTx,
    subjects: impl IntoIterator<Item = Uuid>,
) -> Result<HashSet<Uuid>> {
    held_of(tx, &PAUSES_SEEN, subjects).await
}

async fn held_of(
    tx: &mut TenantTx,
    sql: &'static Sql,
    subjects: impl IntoIterator<Item = Uuid>,
) -> Result<HashSet<Uuid>> {
    #[derive(FromQueryResult)]
    struct Row {
        subject_id: Uuid,
    }
    let batch: Vec<Vec<Value>> = subjects.into_iter().map(|id| vec![Value::from(id)]).collect();
    let mut held = HashSet::new();
    for chunk in batch.chunks(tx.max_batch(sql)) {
        let rows: Vec<Row> = tx.sql(sql, Args::batch(chunk.to_vec()))?.all().await?;
        held.extend(rows.into_iter().map(|row| row.subject_id));
    }
    Ok(held)
}

/// Holds; who is under way stays where they are.
pub(in crate::workflows) async fn pause(tx: &mut TenantTx, held: Held, now: Timestamp) -> Result<()> {
    let (kind, subject) = held.parts(tx.tenant());
    let row = pauses::ActiveModel {
        subject_id: Set(subject),
        kind: Set(kind.to_owned()),
        paused_at: Set(now),
        ..Default::default()
    };
    tx.insert_many(vec![row], OnConflict::Keep).await?;
    let (sql, args) = match held {
        Held::Tenant => (&WAYS_PAUSE_ALL, Args::default()),
        Held::Workflow(WorkflowId(id)) => (&WAYS_PAUSE_WORKFLOW, Args::of([id.into()])),
        Held::Contact(ContactId(id)) => (&WAYS_PAUSE_CONTACT, Args::of([id.into()])),
    };
    tx.sql(sql, args)?.execute().await?;
    Ok(())
}

/// Lets go.
pub(in crate::workflows) async fn resume(tx: &mut TenantTx, held: Held) -> Result<()> {
    let (_, subject) = held.parts(tx.tenant());
    // Of two that let go at once the second sees what the first has left.
    tx.sql(&PAUSES_LOCK, Args::default())?.execute().await?;
    tx.delete::<pauses::Entity>().eq(pauses::Column::SubjectId, subject).execute().await?;
    tx.sql(&WAYS_RESUME, Args::default())?.execute().await?;
    Ok(())
}
