//! Drafting, holding and ending workflows.

use carillon_entities::ids::{ContactId, WorkflowId};
use carillon_entities::wall::{TenantTx, WallError};
use serde_json::Value as Json;

use super::publish::touch;
use super::store::pauses;
use super::store::workflows::{
    listeners_forget, workflow_close, workflow_insert, workflow_lock, workflow_update, workflows_find,
};
use super::{DEFINITION_MAX, Held, Workflow, WorkflowState};
use crate::contacts::{contacts_get, one_line};
use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, PublishWorkflows, WriteWorkflows};

/// The longest name.
const NAME_MAX: usize = 200;

/// Makes a workflow with a draft; anything that is JSON may be drafted.
pub async fn create_workflow(
    _: &Grant<WriteWorkflows>,
    tx: &mut TenantTx,
    ports: &Ports,
    name: &str,
    draft: Json,
) -> Result<Workflow> {
    let now = ports.now();
    let workflow = Workflow {
        id: ports.new_id(),
        name: name_of(name)?,
        state: WorkflowState::Draft,
        draft: draft_of(draft)?,
        version: 1,
        live_version: None,
        created_at: now,
        updated_at: now,
        archived_at: None,
    };
    match workflow_insert(tx, &workflow).await {
        Err(Error::Wall(WallError::Conflict { .. })) => Err(taken()),
        inserted => inserted.map(|()| workflow),
    }
}

/// What is to be different about a draft.
#[derive(Debug, Clone)]
pub struct UpdateWorkflow {
    /// Of which workflow.
    pub id: WorkflowId,
    /// The version the caller saw.
    pub version: i64,
    /// Another name.
    pub name: Option<String>,
    /// Another draft; what is published stays as it is.
    pub draft: Option<Json>,
}

/// Changes name and draft of a workflow.
pub async fn update_workflow(
    _: &Grant<WriteWorkflows>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: UpdateWorkflow,
) -> Result<Workflow> {
    let name = command.name.as_deref().map(name_of).transpose()?;
    let draft = command.draft.map(draft_of).transpose()?;
    let mut workflow = lock_at(tx, command.id, command.version).await?;
    workflow.name = name.unwrap_or(workflow.name);
    workflow.draft = draft.unwrap_or(workflow.draft);
    touch(&mut workflow, ports);
    match workflow_update(tx, &workflow).await {
        Err(Error::Wall(WallError::Conflict { .. })) => Err(taken()),
        updated => updated.map(|()| workflow),
    }
}

/// Locks a workflow that can still change, at the version that the caller saw.
pub(super) async fn lock_at(tx: &mut TenantTx, id: WorkflowId, seen: i64) -> Result<Workflow> {
    Ok(at(lock(tx, id).await?, seen)?)
}

/// The same, without its lock.
pub(super) async fn look_at(tx: &mut TenantTx, id: WorkflowId, seen: i64) -> Result<Workflow> {
    Ok(at(open(workflows_find(tx, [id]).await?.pop())?, seen)?)
}

fn at(workflow: Workflow, seen: i64) -> Result<Workflow, Refusal> {
    if workflow.version == seen {
        return Ok(workflow);
    }
    let message = format!("Somebody changed the workflow; its version is {}.", workflow.version);
    Err(Refusal::new("CONFLICT", "version", message))
}

async fn lock(tx: &mut TenantTx, id: WorkflowId) -> Result<Workflow> {
    Ok(open(workflow_lock(tx, id).await?)?)
}

fn open(workflow: Option<Workflow>) -> Result<Workflow, Refusal> {
    let workflow = workflow.ok_or_else(|| Refusal::not_found("id"))?;
    if workflow.state == WorkflowState::Archived {
        return Err(Refusal::new("ARCHIVED", "id", "The workflow is archived."));
    }
    Ok(workflow)
}

fn taken() -> Error {
    Refusal::new("WORKFLOW_EXISTS", "name", "There is a workflow with this name.").into()
}

fn name_of(name: &str) -> Result<String, Refusal> {
    one_line(name, NAME_MAX).map_err(|why| Refusal::new("BAD_NAME", "name", why.to_string()))
}

fn draft_of(draft: Json) -> Result<Json, Refusal> {
    if !draft.is_object() {
        return Err(Refusal::new("DEFINITION_UNREADABLE", "definition", "A definition is a JSON object."));
    }
    if draft.to_string().len() > DEFINITION_MAX {
        let message = format!("A definition has at most {DEFINITION_MAX} octets.");
        return Err(Refusal::new("DEFINITION_TOO_LARGE", "definition", message));
    }
    if has_nul(&draft) {
        let message = "Neither texts nor names in a definition have a NUL.";
        return Err(Refusal::new("DEFINITION_UNREADABLE", "definition", message));
    }
    Ok(draft)
}

/// NUL is what Postgres keeps in no text.
fn has_nul(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(has_nul),
        Json::Object(fields) => fields.iter().any(|(key, item)| key.contains('\0') || has_nul(item)),
    }
}

/// Holds a live workflow: people enter and stay where they are, and what is queued of it waits at the gate. Only the
/// workflow is written, which the engine and the gate ask.
pub async fn pause_workflow(
    _: &Grant<WriteWorkflows>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: WorkflowId,
) -> Result<Workflow> {
    let mut workflow = lock(tx, id).await?;
    match workflow.state {
        WorkflowState::Live => {}
        WorkflowState::Paused => return Ok(workflow),
        _ => return Err(Refusal::new("NOT_PUBLISHED", "id", "Nothing of the workflow is published.").into()),
    }
    workflow.state = WorkflowState::Paused;
    touch(&mut workflow, ports);
    workflow_update(tx, &workflow).await?;
    Ok(workflow)
}

/// Lets a held workflow go on: whoever was due meanwhile is due now.
pub async fn resume_workflow(
    _: &Grant<WriteWorkflows>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: WorkflowId,
) -> Result<Workflow> {
    let mut workflow = lock(tx, id).await?;
    if workflow.state == WorkflowState::Paused {
        workflow.state = WorkflowState::Live;
        touch(&mut workflow, ports);
        workflow_update(tx, &workflow).await?;
    }
    Ok(workflow)
}

/// Ends a workflow for good: nobody enters, nothing of it leaves any more, and the engine takes out whoever is on it.
pub async fn archive_workflow(
    _: &Grant<PublishWorkflows>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: WorkflowId,
) -> Result<Workflow> {
    let mut workflow = lock(tx, id).await?;
    let now = ports.now();
    workflow.state = WorkflowState::Archived;
    workflow.archived_at = Some(now);
    workflow.live_version = None;
    touch(&mut workflow, ports);
    workflow_update(tx, &workflow).await?;
    workflow_close(tx, id, now).await?;
    listeners_forget(tx, id).await?;
    Ok(workflow)
}

/// Holds or lets go everybody of the tenant.
pub async fn hold_all_workflows(
    _: &Grant<WriteWorkflows>,
    tx: &mut TenantTx,
    ports: &Ports,
    is_held: bool,
) -> Result<()> {
    hold(tx, ports, Held::Tenant, is_held).await
}

/// Holds a contact on all workflows, or lets them go.
pub async fn hold_contact(
    _: &Grant<WriteWorkflows>,
    tx: &mut TenantTx,
    ports: &Ports,
    contact: ContactId,
    is_held: bool,
) -> Result<()> {
    if contacts_get(tx, &[contact]).await?.is_empty() {
        return Err(Refusal::not_found("contactId").into());
    }
    hold(tx, ports, Held::Contact(contact), is_held).await
}

async fn hold(tx: &mut TenantTx, ports: &Ports, held: Held, is_held: bool) -> Result<()> {
    if is_held { pauses::pause(tx, held, ports.now()).await } else { pauses::resume(tx, held).await }
}
