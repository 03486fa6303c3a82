//! What is held: the tenant, and contacts. Of a workflow its state says so.

use std::collections::HashSet;

use carillon_entities::ids::ContactId;
use carillon_entities::rows::workflows::pauses;
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, Sql, TenantTx};
use sea_orm::{ActiveValue::Set, FromQueryResult, Value};
use uuid::Uuid;

use super::workflows::workflows_live_lock;
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
    /// Holds a contact's ways.
    WAYS_PAUSE_CONTACT(Uuid) =
        "UPDATE enrollments SET state = 'paused' WHERE tenant_id = $1 AND contact_id = $2 AND state = 'active'";
    /// Lets a contact's ways go.
    WAYS_RESUME_CONTACT(Uuid) =
        "UPDATE enrollments SET state = 'active' WHERE tenant_id = $1 AND contact_id = $2 AND state = 'paused'";
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

/// Holds; who is under way stays where they are. A contact's ways are written as held; of a tenant's the one row says it.
pub(in crate::workflows) async fn pause(tx: &mut TenantTx, held: Held, now: Timestamp) -> Result<()> {
    let (kind, subject) = held.parts(tx.tenant());
    if held == Held::Tenant {
        // What the gate decides just now is decided before; what it decides later sees the row.
        workflows_live_lock(tx).await?;
    }
    let row = pauses::ActiveModel {
        subject_id: Set(subject),
        kind: Set(kind.to_owned()),
        paused_at: Set(now),
        ..Default::default()
    };
    tx.insert_many(vec![row], OnConflict::Keep).await?;
    of_contact(tx, &WAYS_PAUSE_CONTACT, held).await
}

/// Lets go: whoever was due meanwhile is due now.
pub(in crate::workflows) async fn resume(tx: &mut TenantTx, held: Held) -> Result<()> {
    let (_, subject) = held.parts(tx.tenant());
    tx.delete::<pauses::Entity>().eq(pauses::Column::SubjectId, subject).execute().await?;
    of_contact(tx, &WAYS_RESUME_CONTACT, held).await
}

async fn of_contact(tx: &mut TenantTx, sql: &'static Sql, held: Held) -> Result<()> {
    if let Held::Contact(ContactId(id)) = held {
        tx.sql(sql, Args::of([id.into()]))?.execute().await?;
    }
    Ok(())
}
