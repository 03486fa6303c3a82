//! Publishing: a draft that has no error becomes a version that never changes (L7), named by the hash of what it says.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use carillon_entities::ids::{EventDefinitionId, SenderId, TemplateId, TopicId, WorkflowId};
use carillon_entities::wall::{TenantTx, WallError};

use super::assign::allot;
use super::check::{Finding, Known, Severity, check};
use super::manage::{lock_at, look_at};
use super::parse::parse;
use super::store::events::events_named;
use super::store::workflows::{listeners_replace, version_insert, version_last, versions_find, workflow_update};
use super::{Definition, End, Node, Version, Workflow, WorkflowState};
use crate::consent::store::topics::topics_of;
use crate::contacts::definitions_load;
use crate::contacts::events::properties_of;
use crate::error::{Error, Refusal, Result};
use crate::messaging::{usable_senders, usable_templates};
use crate::ports::Ports;
use crate::tenancy::{Grant, PublishWorkflows, ReadWorkflows};

/// A version that was published.
#[derive(Debug, Clone)]
pub struct PublishedWorkflow {
    /// The version; the one that is live already if nothing about it changed.
    pub version: Version,
    /// What its author should know.
    pub warnings: Vec<Finding>,
}

/// Publishes a workflow's draft. Who is on it goes on as they began; who comes, enters the new version.
///
/// # Errors
/// All findings that are errors; `CONFLICT` when somebody changed the draft meanwhile.
pub async fn publish_workflow(
    grant: &Grant<PublishWorkflows>,
    tx: &mut TenantTx,
    ports: &Ports,
    (id, seen): (WorkflowId, i64),
) -> Result<PublishedWorkflow> {
    // Read before it is locked: what is locked then is the same version, and says the same.
    let definition = parse(&look_at(tx, id, seen).await?.draft).map_err(refused)?;
    let mut workflow = lock_at(tx, id, seen).await?;
    let known = known_of(tx, &[&definition]).await?;
    let (errors, warnings): (Vec<_>, Vec<_>) =
        check(&definition, &known).into_iter().partition(|finding| finding.severity == Severity::Error);
    if !errors.is_empty() {
        return Err(refused(errors));
    }
    let live = versions_find(tx, workflow.live_version).await?.pop();
    let before = live.as_ref().and_then(|version| version.definition.as_ref());
    let definition = pin(definition, &known, before);
    let json = serde_json::to_value(&definition).map_err(Error::fault)?;
    let content_hash = digest(&SHA256, json.to_string().as_bytes()).as_ref().to_vec();
    if let Some(live) = live.filter(|live| live.content_hash == content_hash) {
        return Ok(PublishedWorkflow { version: live, warnings });
    }
    let watches = definition.watches(&known.events).into_iter().collect();
    let version = Version {
        id: ports.new_id(),
        workflow: id,
        number: version_last(tx, id).await? + 1,
        json,
        definition: Some(definition),
        content_hash,
        published_at: ports.now(),
    };
    match version_insert(tx, &version, (grant.actor().kind().as_str(), grant.actor().id())).await {
        Err(Error::Wall(WallError::Conflict { .. })) => return Err(WallError::Retry.into()),
        inserted => inserted?,
    }
    listeners_replace(tx, (id, version.id), watches).await?;
    if workflow.state == WorkflowState::Draft {
        workflow.state = WorkflowState::Live;
    }
    workflow.live_version = Some(version.id);
    touch(&mut workflow, ports);
    workflow_update(tx, &workflow).await?;
    Ok(PublishedWorkflow { version, warnings })
}

/// What stands against publishing each draft, and what its author should know, in their order.
pub async fn check_workflows(
    _: &Grant<ReadWorkflows>,
    tx: &mut TenantTx,
    workflows: &[Workflow],
) -> Result<Vec<Vec<Finding>>> {
    let parsed: Vec<_> = workflows.iter().map(|workflow| parse(&workflow.draft)).collect();
    let readable: Vec<&Definition> = parsed.iter().flatten().collect();
    let known = known_of(tx, &readable).await?;
    Ok(parsed.iter().map(|one| one.as_ref().map_or_else(Clone::clone, |one| check(one, &known))).collect())
}

fn refused(findings: Vec<Finding>) -> Error {
    Error::Refused(findings.into_iter().map(Refusal::from).collect())
}

pub(super) fn touch(workflow: &mut Workflow, ports: &Ports) {
    workflow.version += 1;
    workflow.updated_at = ports.now();
}

/// What the tenant has of what definitions name: a handful of statements.
async fn known_of(tx: &mut TenantTx, definitions: &[&Definition]) -> Result<Known> {
    let (mut templates, mut senders) = (BTreeSet::new(), BTreeSet::new());
    let (mut topics, mut events) = (BTreeSet::new(), BTreeSet::new());
    for definition in definitions {
        topics.extend(definition.needs().topics);
        events.extend(definition.event_names());
    }
    for node in definitions.iter().flat_map(|definition| definition.nodes.values()) {
        if let Node::Send { template, sender, topic, .. } = node {
            templates.insert(*template);
            senders.insert(*sender);
            topics.extend(*topic);
        }
    }
    let templates: Vec<TemplateId> = templates.into_iter().collect();
    let senders: Vec<SenderId> = senders.into_iter().collect();
    let topics: Vec<TopicId> = topics.into_iter().collect();
    let events = events_named(tx, events).await?;
    let ids: Vec<EventDefinitionId> = events.values().copied().collect();
    Ok(Known {
        properties: properties_of(tx, &ids).await?,
        events,
        attributes: definitions_load(tx).await?,
        topics: topics_of(tx, &topics).await?.into_iter().map(|topic| (topic.id, topic.brand)).collect(),
        senders: usable_senders(tx, &senders).await?,
        templates: usable_templates(tx, &templates).await?,
    })
}

/// Puts in what names stand for now, so that the version means the same for ever: ids of events, versions of contents,
/// buckets of variants.
fn pin(mut definition: Definition, known: &Known, before: Option<&Definition>) -> Definition {
    let event = |name: &String| known.events.get(name).copied();
    definition.trigger.event_id = event(&definition.trigger.event);
    for end in definition.goal.iter_mut().chain(&mut definition.exits) {
        if let End::Event { event: name, event_id, .. } = end {
            *event_id = event(name);
        }
    }
    for (name, node) in &mut definition.nodes {
        match node {
            Node::Send { template, content, uses_event, .. } => {
                let Some(template) = known.templates.get(template) else { continue };
                *content = template.content.iter().map(|(locale, (id, _))| (locale.clone(), *id)).collect();
                *uses_event = template.content.values().any(|(_, event)| event.is_some());
            }
            Node::Split { variants, conversion } => {
                let former = match before.and_then(|before| before.nodes.get(name)) {
                    Some(Node::Split { variants, .. }) => variants.as_slice(),
                    _ => &[],
                };
                allot(former, variants);
                if let Some(conversion) = conversion {
                    conversion.event_id = event(&conversion.event);
                }
            }
            _ => {}
        }
    }
    definition
}
