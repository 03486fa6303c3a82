//! Steps and exposures: what happened on people's ways, only ever appended (L7).

use std::collections::HashMap;

use carillon_entities::ids::{ContactId, EnrollmentId, StepId, WorkflowId, WorkflowVersionId};
use carillon_entities::rows::workflows::{enrollment_steps, exposures};
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, TenantTx};
use sea_orm::{ActiveValue::Set, FromQueryResult, Value};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::keys::AddressHash;
use crate::paging::{Ahead, Paged};
use crate::ports::Ports;
use crate::time::Timestamp;
use crate::workflows::{StepOutcome, StepRecord};

statements! {
    /// A page of each way's steps, in their order.
    STEPS_OF(Uuid, BigInt) [enrollment_id: Uuid] =
        "SELECT * FROM (SELECT s.tenant_id, s.id, s.enrollment_id, s.version_id, s.node, s.outcome, s.reason, \
         s.variant, s.facts, s.at, \
         ROW_NUMBER() OVER (PARTITION BY s.enrollment_id ORDER BY s.id) AS nth \
         FROM ({batch}) AS b JOIN enrollment_steps s ON s.tenant_id = $1 AND s.enrollment_id = b.enrollment_id \
         WHERE s.id > $2) AS numbered WHERE nth <= $3 ORDER BY enrollment_id, id";
    /// The variants that addresses saw before.
    EXPOSURES_SEEN() [workflow_id: Uuid, node: Text, address_hmac: Bytes] =
        "SELECT x.workflow_id, x.node, x.address_hmac, x.variant FROM ({batch}) AS b JOIN exposures x \
         ON x.tenant_id = $1 AND x.workflow_id = b.workflow_id AND x.node = b.node AND x.address_hmac = b.address_hmac";
}

/// A step about to be appended.
#[derive(Debug, Clone)]
pub(in crate::workflows) struct NewStep {
    pub enrollment: EnrollmentId,
    pub version: WorkflowVersionId,
    pub node: String,
    /// The visit it was on; none for the entry, which comes before all.
    pub visit: Option<i32>,
    pub outcome: StepOutcome,
    pub reason: Option<String>,
    pub variant: Option<String>,
    pub facts: Json,
    pub at: Timestamp,
}

/// A new id that sorts steps of one millisecond by their place on the way: it stands in the first twelve random bits.
fn id_of(ports: &Ports, visit: Option<i32>) -> StepId {
    let place = visit.map_or(0, |visit| u16::try_from(visit.rem_euclid(0xFFF)).unwrap_or(0) + 1);
    let mut bytes = *ports.new_id::<uuid::Uuid>().as_bytes();
    let [high, low] = place.to_be_bytes();
    (bytes[6], bytes[7]) = (0x70 | high, low);
    StepId(uuid::Uuid::from_bytes(bytes))
}

/// Appends steps, in their order.
pub(in crate::workflows) async fn steps_append(tx: &mut TenantTx, ports: &Ports, steps: Vec<NewStep>) -> Result<()> {
    let rows = steps.into_iter().map(|step| enrollment_steps::ActiveModel {
        id: Set(id_of(ports, step.visit)),
        enrollment_id: Set(step.enrollment),
        version_id: Set(step.version),
        node: Set(step.node),
        outcome: Set(step.outcome.as_str().to_owned()),
        reason: Set(step.reason),
        variant: Set(step.variant),
        facts: Set(step.facts),
        at: Set(step.at),
        ..Default::default()
    });
    tx.insert_many(rows.collect(), OnConflict::Fail).await?;
    Ok(())
}

/// A page of each way's steps, in their order.
pub(in crate::workflows) async fn steps_of(
    tx: &mut TenantTx,
    enrollments: &[EnrollmentId],
    page: Ahead<StepId>,
) -> Result<HashMap<EnrollmentId, Paged<StepRecord>>> {
    let after = page.after.unwrap_or(StepId(Uuid::nil()));
    let batch = enrollments.iter().map(|id| vec![Value::from(*id)]);
    let args = Args::of([after.into(), page.limit().into()]).with_batch(batch);
    let rows: Vec<enrollment_steps::Model> = tx.sql(&STEPS_OF, args)?.all().await?;
    let step = |row: enrollment_steps::Model| {
        let step = StepRecord {
            id: row.id,
            node: row.node,
            outcome: row.outcome.parse().map_err(Error::fault)?,
            reason: row.reason,
            variant: row.variant,
            facts: row.facts,
            at: row.at,
        };
        Ok((row.enrollment_id, step))
    };
    Ok(page.finish(rows.into_iter().map(step).collect::<Result<Vec<_>>>()?))
}

/// An exposure about to be recorded; the first of an address counts.
#[derive(Debug, Clone)]
pub(in crate::workflows) struct NewExposure {
    pub workflow: WorkflowId,
    pub node: String,
    pub address: AddressHash,
    pub variant: String,
    pub contact: ContactId,
    pub enrollment: EnrollmentId,
    pub converts_until: Option<Timestamp>,
}

pub(in crate::workflows) async fn exposures_insert(
    tx: &mut TenantTx,
    exposures: Vec<NewExposure>,
    now: Timestamp,
) -> Result<()> {
    let rows = exposures.into_iter().map(|one| exposures::ActiveModel {
        workflow_id: Set(one.workflow),
        node: Set(one.node),
        address_hmac: Set(one.address.as_bytes().to_vec()),
        variant: Set(one.variant),
        contact_id: Set(one.contact),
        enrollment_id: Set(one.enrollment),
        exposed_at: Set(now),
        converts_until: Set(one.converts_until),
        ..Default::default()
    });
    tx.insert_many(rows.collect(), OnConflict::Keep).await?;
    Ok(())
}

type Seen = HashMap<(WorkflowId, AddressHash), Vec<(String, String)>>;

/// The variants that addresses saw before, by node.
pub(in crate::workflows) async fn exposures_seen(
    tx: &mut TenantTx,
    wanted: impl IntoIterator<Item = (WorkflowId, String, AddressHash)>,
) -> Result<Seen> {
    #[derive(FromQueryResult)]
    struct Row {
        workflow_id: WorkflowId,
        node: String,
        address_hmac: Vec<u8>,
        variant: String,
    }
    let batch: Vec<Vec<Value>> = wanted
        .into_iter()
        .map(|(workflow, node, address)| vec![workflow.into(), node.into(), address.as_bytes().to_vec().into()])
        .collect();
    let mut seen = Seen::new();
    for chunk in batch.chunks(tx.max_batch(&EXPOSURES_SEEN)) {
        let rows: Vec<Row> = tx.sql(&EXPOSURES_SEEN, Args::batch(chunk.to_vec()))?.all().await?;
        for row in rows {
            let address = AddressHash::from_slice(&row.address_hmac).ok_or_else(|| Error::fault("an address hash"))?;
            seen.entry((row.workflow_id, address)).or_default().push((row.node, row.variant));
        }
    }
    Ok(seen)
}
