//! Answers: how many are where, what became of them and why, and one person's path. Each takes a batch, and costs the same
//! number of statements for one as for many (L5).

use std::collections::{BTreeMap, HashMap, HashSet};

use carillon_entities::ids::{ContactId, EnrollmentId, StepId, WorkflowId, WorkflowVersionId};
use carillon_entities::wall::TenantTx;

use super::store::answers::{CountRow, SplitAsked, VariantRow, counts_of, variants_of};
use super::store::enrollments::{enrollments_find, enrollments_of};
use super::store::pauses::pauses_seen;
use super::store::steps::steps_of;
use super::store::workflows::{versions_find, versions_of, workflows_find, workflows_list};
use super::wilson::{Proportion, wilson};
use super::{Definition, Enrollment, StepOutcome, StepRecord, Variant, Version, Workflow};
use crate::error::{Error, Result};
use crate::paging::{Ahead, Page, Paged};
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
    /// Of these, whoever opened a mail of it; of those whose mail was sent and is tracked individually.
    pub opened: Proportion,
    /// Whoever clicked, of the same.
    pub clicked: Proportion,
    /// Whoever did what counts as success, in time; of all exposed.
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

/// A page of each workflow's versions, oldest first.
pub async fn workflow_versions(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    workflows: &[WorkflowId],
    page: Ahead<WorkflowVersionId>,
) -> Result<HashMap<WorkflowId, Paged<Version>>> {
    versions_of(tx, workflows, page).await
}

/// Versions by id, in no order; unknown ids are left out.
pub async fn find_workflow_versions(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = WorkflowVersionId>,
) -> Result<Vec<Version>> {
    versions_find(tx, ids).await
}

/// A page of each contact's ways, in the order in which they began.
pub async fn enrollments(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    contacts: &[ContactId],
    page: Ahead<EnrollmentId>,
) -> Result<HashMap<ContactId, Paged<Enrollment>>> {
    enrollments_of(tx, contacts, page).await
}

/// Ways by id, in no order; unknown ids are left out.
pub async fn find_enrollments(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = EnrollmentId>,
) -> Result<Vec<Enrollment>> {
    enrollments_find(tx, ids).await
}

/// A page of what happened on each way, in its order.
pub async fn paths(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    enrollments: &[EnrollmentId],
    page: Ahead<StepId>,
) -> Result<HashMap<EnrollmentId, Paged<StepRecord>>> {
    steps_of(tx, enrollments, page).await
}

/// Whether everybody of the tenant is held.
pub async fn are_workflows_held(grant: &Grant<ReadWorkflows>, tx: &mut TenantTx) -> Result<bool> {
    Ok(!pauses_seen(tx, [grant.tenant().0]).await?.is_empty())
}

/// Which of these contacts are held on all workflows.
pub async fn held_contacts(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    contacts: &[ContactId],
) -> Result<HashSet<ContactId>> {
    Ok(pauses_seen(tx, contacts.iter().map(|id| id.0)).await?.into_iter().map(ContactId).collect())
}

/// Numbers of each version's nodes, by node and variant; versions that nobody was on are left out.
pub async fn node_answers(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    versions: &[WorkflowVersionId],
) -> Result<HashMap<WorkflowVersionId, Vec<NodeAnswer>>> {
    let [steps, waiting, mails] = counts_of(tx, versions).await?;
    let mut book = Book::new();
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
    let mut answers: HashMap<WorkflowVersionId, Vec<NodeAnswer>> = HashMap::new();
    for ((version, ..), node) in book {
        let nodes = answers.entry(version).or_default();
        if nodes.len() < ROWS_MAX {
            nodes.push(node);
        }
    }
    Ok(answers)
}

/// Nodes by version, name and variant.
type Book = BTreeMap<(WorkflowVersionId, String, Option<String>), NodeAnswer>;

fn at<'a>(book: &'a mut Book, row: &CountRow) -> &'a mut NodeAnswer {
    let node = row.node.clone().unwrap_or_default();
    let new = NodeAnswer { node: node.clone(), variant: row.variant.clone(), ..NodeAnswer::default() };
    book.entry((row.version_id, node, row.variant.clone())).or_insert(new)
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

/// What the people of each variant of the versions' splits did, over all versions of a workflow: an address stays in its
/// variant when the workflow changes (A3.8). Versions without a split are left out.
pub async fn variant_answers(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    versions: &[WorkflowVersionId],
) -> Result<HashMap<WorkflowVersionId, Vec<VariantAnswer>>> {
    let versions = versions_find(tx, versions.iter().copied()).await?;
    let mut splits = Vec::new();
    for version in &versions {
        for (node, variants, conversion) in version.definition.iter().flat_map(Definition::splits) {
            let event = conversion.and_then(|one| one.event_id);
            splits.push((version.id, SplitAsked { workflow: version.workflow, node: node.clone(), event }, variants));
        }
    }
    let mut rows = variants_of(tx, splits.iter().map(|(_, split, _)| split.clone()).collect()).await?;
    let mut answers: HashMap<WorkflowVersionId, Vec<VariantAnswer>> = HashMap::new();
    for (version, split, variants) in splits {
        let of_split = rows.entry(split.clone()).or_default();
        let answer = |variant: &Variant| {
            let row = of_split.get(&variant.label);
            let number = |of: fn(&VariantRow) -> i64| row.map_or(0, of);
            // Who is not tracked is not somebody who did nothing (C-77).
            let (exposed, tracked) = (number(|row| row.exposed), number(|row| row.tracked));
            VariantAnswer {
                node: split.node.clone(),
                label: variant.label.clone(),
                weight_bp: variant.weight_bp,
                exposed,
                opened: wilson(number(|row| row.opened), tracked),
                clicked: wilson(number(|row| row.clicked), tracked),
                converted: split.event.map(|_| wilson(number(|row| row.converted), exposed)),
            }
        };
        answers.entry(version).or_default().extend(variants.iter().map(answer));
    }
    Ok(answers)
}
