//! What a workflow may use of a tenant's senders, templates and daily messages, and what it takes back.

use std::collections::{BTreeMap, HashMap};

use carillon_entities::ids::{BrandId, EnrollmentId, EventDefinitionId, SenderId, TemplateId, TemplateVersionId};
use carillon_entities::wall::TenantTx;
use serde_json::json;

use super::tell::tell_ends;
use super::{Ending, MessageClass, store};
use crate::error::Result;
use crate::ports::Ports;
use crate::time::Timestamp;

/// A template with its newest contents.
#[derive(Debug, Clone)]
pub(crate) struct UsableTemplate {
    /// What its mails are.
    pub class: MessageClass,
    /// The newest version of each locale, and the event whose properties it uses.
    pub content: BTreeMap<String, (TemplateVersionId, Option<EventDefinitionId>)>,
}

/// Templates by id with their newest versions; unknown ids are left out.
pub(crate) async fn usable_templates(
    tx: &mut TenantTx,
    ids: &[TemplateId],
) -> Result<HashMap<TemplateId, UsableTemplate>> {
    let templates = store::templates_find(tx, ids.iter().copied()).await?;
    let mut usable: HashMap<TemplateId, UsableTemplate> = templates
        .into_iter()
        .map(|template| (template.id, UsableTemplate { class: template.class, content: BTreeMap::new() }))
        .collect();
    for version in store::versions_of(tx, ids.iter().copied()).await? {
        if let Some(template) = usable.get_mut(&version.template) {
            template.content.insert(version.locale, (version.id, version.event));
        }
    }
    Ok(usable)
}

/// The brands of senders; unknown ids are left out.
pub(crate) async fn usable_senders(tx: &mut TenantTx, ids: &[SenderId]) -> Result<HashMap<SenderId, BrandId>> {
    Ok(store::senders_brands(tx, ids.iter().copied()).await?.into_iter().collect())
}

/// How many more messages the tenant may send today. Nothing is locked or reserved: somebody else may take of it before they
/// are sent, and then `send_messages` counts, under the lock of the day's row, and says `QUOTA_EXCEEDED`.
pub(crate) async fn messages_left_today(tx: &mut TenantTx, now: Timestamp) -> Result<usize> {
    Ok(usize::try_from(store::usage_room(tx, now).await?).unwrap_or(0))
}

/// Cancels what is queued of ways that have ended (C-184); what is on its way meets the gate.
pub(crate) async fn cancel_of_ways(tx: &mut TenantTx, ports: &Ports, ways: &[EnrollmentId]) -> Result<()> {
    let now = ports.now();
    let cancelled = store::messages_cancel_of_ways(tx, ways, now).await?;
    let events = cancelled.iter().map(|id| (*id, "cancelled", json!({ "reason": "way_ended" })));
    store::message_events_append(tx, ports, events, now).await?;
    let ended = cancelled.into_iter().map(|id| (id, Ending::Cancelled, Some("way_ended".to_owned())));
    tell_ends(tx, ports, ended.collect()).await
}
