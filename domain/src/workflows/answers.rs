//! Answers: how many are where, what became of them and why, and one person's path.

use std::collections::BTreeMap;

use carillon_entities::ids::{ContactId, EnrollmentId, EventDefinitionId, StepId, WorkflowId, WorkflowVersionId};
use carillon_entities::wall::TenantTx;
use uuid::Uuid;

use super::store::answers::{CountRow, counts_of, variants_of};
use super::store::enrollments::{enrollments_find, enrollments_of_contact};
use super::store::steps::steps_of;
use super::store::workflows::{versions_find, versions_list, workflows_find, workflows_list};
use super::wilson::{Proportion, wilson};
use super::{Enrollment, StepOutcome, StepRecord, Version, Workflow};
use crate::error::{Error, Result};
use crate::paging::{Page, Paged};
use crate::tenancy::{Grant, ReadWorkflows};

/// The most nodes and variants that one answer tells of.
const ROWS_MAX: usize = 5_000;

/// Numbers of one node, for one variant or for those in none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeAnswer {
    /// The node.
    pub node: String,
    /// The variant people were in, as `node/label`.
    pub variant: Option<String>,
    /// Who came to it: passed, left there, or still there.
    pub entered: i64,
    /// Who is there now.
    pub waiting: i64,
    /// Who went on.
    pub passed: i64,
    /// Which way they took: `then`, `otherwise`, `unknown`, `waited`, `queued` ..
    pub by_outcome: BTreeMap<StepOutcome, i64>,
    /// Mails of it that a server took.
    pub sent: i64,
    /// Mails that were not sent, by reason; the gate's and the engine's.
    pub refused: BTreeMap<String, i64>,
    /// Mails by their state.
    pub mails: BTreeMap<String, i64>,
    /// Whose way ended there, by reason.
    pub exited: BTreeMap<String, i64>,
}

/// What the people of a variant did.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantAnswer {
    /// The split.
    pub node: String,
    /// The variant.
    pub label: String,
    /// Its share in basis points.
    pub weight_bp: u32,
    /// Addresses that were put into it.
    pub exposed: i64,
    /// Of these, whoever opened a mail of it.
    pub opened: Proportion,
    /// Whoever clicked.
    pub clicked: Proportion,
    /// Whoever did what counts as success, in time.
    pub converted: Option<Proportion>,
}

/// A page of workflows, oldest first.
pub async fn workflows(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    page: &Page<WorkflowId>,
) -> Result<Paged<Workflow>> {
    workflows_list(tx, page).await
}

/// Workflows by id, in no order; unknown ids are left out.
pub async fn find_workflows(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = WorkflowId>,
) -> Result<Vec<Workflow>> {
    workflows_find(tx, ids).await
}

/// A page of a workflow's versions, oldest first.
pub async fn workflow_versions(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    workflow: WorkflowId,
    page: &Page<WorkflowVersionId>,
) -> Result<Paged<Version>> {
    versions_list(tx, workflow, page).await
}

/// Versions by id, in no order; unknown ids are left out.
pub async fn find_workflow_versions(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = WorkflowVersionId>,
) -> Result<Vec<Version>> {
    versions_find(tx, ids).await
}

/// A page of a contact's ways, in the order in which they began.
pub async fn enrollments(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    contact: ContactId,
    page: &Page<EnrollmentId>,
) -> Result<Paged<Enrollment>> {
    enrollments_of_contact(tx, contact, page).await
}

/// Ways by id, in no order; unknown ids are left out.
pub async fn find_enrollments(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = EnrollmentId>,
) -> Result<Vec<Enrollment>> {
    enrollments_find(tx, ids).await
}

/// A page of what happened on somebody's way, in its order.
pub async fn path(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    enrollment: EnrollmentId,
    page: &Page<StepId>,
) -> Result<Paged<StepRecord>> {
    steps_of(tx, enrollment, page).await
}

/// Numbers of a version's nodes, by node and variant.
pub async fn node_answers(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    version: WorkflowVersionId,
) -> Result<Vec<NodeAnswer>> {
    let [steps, waiting, mails] = counts_of(tx, version).await?;
    let mut book: BTreeMap<(String, Option<String>), NodeAnswer> = BTreeMap::new();
    for row in &steps {
        count_step(at(&mut book, row), row)?;
    }
    for row in &waiting {
        let node = at(&mut book, row);
        node.waiting += row.people;
        node.entered += row.people;
    }
    for row in &mails {
        let node = at(&mut book, row);
        *node.mails.entry(row.what.clone()).or_default() += row.people;
        match row.what.as_str() {
            "sent" => node.sent += row.people,
            "refused" => *node.refused.entry(row.reason.clone().unwrap_or_default()).or_default() += row.people,
            _ => {}
        }
    }
    Ok(book.into_values().take(ROWS_MAX).collect())
}

fn at<'a>(book: &'a mut BTreeMap<(String, Option<String>), NodeAnswer>, row: &CountRow) -> &'a mut NodeAnswer {
    let node = row.node.clone().unwrap_or_default();
    let new = NodeAnswer { node: node.clone(), variant: row.variant.clone(), ..NodeAnswer::default() };
    book.entry((node, row.variant.clone())).or_insert(new)
}

fn count_step(node: &mut NodeAnswer, row: &CountRow) -> Result<()> {
    let outcome: StepOutcome = row.what.parse().map_err(Error::fault)?;
    *node.by_outcome.entry(outcome).or_default() += row.people;
    let reason = || row.reason.clone().unwrap_or_default();
    match outcome {
        // Said of whoever begins; where they are then is said by what they do there.
        StepOutcome::Enrolled | StepOutcome::Parked => {}
        StepOutcome::Goal | StepOutcome::Exited | StepOutcome::Completed => {
            node.entered += row.people;
            *node.exited.entry(reason()).or_default() += row.people;
        }
        _ => {
            node.entered += row.people;
            node.passed += row.people;
            if outcome == StepOutcome::Refused {
                *node.refused.entry(reason()).or_default() += row.people;
            }
        }
    }
    Ok(())
}

/// What the people of each variant of a version's splits did, over all versions of the workflow: an address stays in its
/// variant when the workflow changes (A3.8).
pub async fn variant_answers(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    version: WorkflowVersionId,
) -> Result<Vec<VariantAnswer>> {
    let Some(version) = versions_find(tx, [version]).await?.pop() else { return Ok(Vec::new()) };
    let Some(definition) = &version.definition else { return Ok(Vec::new()) };
    let mut answers = Vec::new();
    for (node, variants, conversion) in definition.splits() {
        let event = conversion.and_then(|one| one.event_id);
        let rows = variants_of(tx, version.workflow, node, event.unwrap_or(EventDefinitionId(Uuid::nil()))).await?;
        for variant in variants {
            let row = rows.iter().find(|row| row.variant == variant.label);
            let exposed = row.map_or(0, |row| row.exposed);
            answers.push(VariantAnswer {
                node: node.clone(),
                label: variant.label.clone(),
                weight_bp: variant.weight_bp,
                exposed,
                opened: wilson(row.map_or(0, |row| row.opened), exposed),
                clicked: wilson(row.map_or(0, |row| row.clicked), exposed),
                converted: event.map(|_| wilson(row.map_or(0, |row| row.converted), exposed)),
            });
        }
    }
    Ok(answers)
}
