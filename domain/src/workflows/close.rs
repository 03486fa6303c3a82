//! Taking people out of archived workflows, a batch at a time: whoever archived one does not wait for a million people.
//!
//! Nothing of theirs leaves meanwhile, for the gate asks how their workflow stands; nor does anything end their ways
//! otherwise, for an archived workflow listens to nothing.

use carillon_entities::wall::TenantTx;
use serde_json::Value as Json;

use super::store::enrollments::{enrollments_leaving, ways_end};
use super::store::steps::{NewStep, steps_append};
use super::store::workflows::{workflow_closed, workflow_closing};
use super::{Enrollment, StepOutcome, WayState};
use crate::error::Result;
use crate::messaging::cancel_of_ways;
use crate::ports::Ports;
use crate::tenancy::{Grant, RunWorkflows};
use crate::webhooks::{self, Happening, WorkflowFinished};

/// Why these ways end.
const REASON: &str = "workflow_archived";

/// Takes up to `size` people out of an archived workflow; returns how many.
pub(super) async fn close_archived(grant: &Grant<RunWorkflows>, ports: &Ports, size: u32) -> Result<usize> {
    loop {
        let mut tx = grant.begin().await?;
        let Some(workflow) = workflow_closing(&mut tx).await? else {
            return Ok(tx.rollback().await.map(|()| 0)?);
        };
        let people = enrollments_leaving(&mut tx, workflow, i64::from(size)).await?;
        if !people.is_empty() {
            take_out(&mut tx, ports, &people).await?;
            tx.commit().await?;
            return Ok(people.len());
        }
        // Whoever is left is somebody else's just now, and looked at again.
        let is_closed = workflow_closed(&mut tx, workflow).await?;
        tx.commit().await?;
        if !is_closed {
            return Ok(0);
        }
    }
}

async fn take_out(tx: &mut TenantTx, ports: &Ports, people: &[Enrollment]) -> Result<()> {
    let now = ports.now();
    let mut ways: Vec<_> = people.iter().map(|way| way.id).collect();
    ways.sort_unstable();
    ways_end(tx, ways.iter().map(|way| (*way, WayState::Exited, REASON.to_owned(), now))).await?;
    let step = |way: &Enrollment| NewStep {
        enrollment: way.id,
        version: way.version,
        node: way.way.node.clone(),
        visit: Some(way.way.visit),
        outcome: StepOutcome::Exited,
        reason: Some(REASON.to_owned()),
        variant: way.way.variant.clone(),
        facts: Json::Null,
        at: now,
    };
    steps_append(tx, ports, people.iter().map(step).collect()).await?;
    let finished = |way: &Enrollment| {
        Happening::WorkflowFinished(WorkflowFinished {
            enrollment_id: way.id,
            workflow_id: way.way.workflow,
            contact_id: way.contact,
            state: WayState::Exited.as_str(),
            reason: REASON.to_owned(),
        })
    };
    webhooks::tell(tx, ports, people.iter().map(finished).collect()).await?;
    cancel_of_ways(tx, ports, &ways).await
}
