//! Changes of many contacts at once, by Carillon itself on a tenant's behalf: a workflow's update nodes.

use std::collections::{BTreeMap, HashMap};

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;
use serde_json::{Value, json};

use super::history::{Author, ChangeKind, Entry, history_append};
use super::plan::{Fate, Find, Reach, Wish};
use super::store::attributes::definitions_load;
use super::store::contacts::contacts_get;
use super::store::tags::{tags_of, tags_remove};
use super::write::write;
use super::{ContactFields, Tag};
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::Actor;
use crate::workflows::react_to_contacts;

/// What is to be different about one contact.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContactChange {
    /// Attributes to set; null clears.
    pub set: BTreeMap<String, Value>,
    /// Tags to put on.
    pub add: Vec<Tag>,
    /// Tags to take off, unless they are put on, too.
    pub remove: Vec<Tag>,
}

/// Changes contacts that the caller holds, one change each; returns why some were not changed. Statements do not grow with their number.
pub(crate) async fn change_contacts(
    tx: &mut TenantTx,
    ports: &Ports,
    changes: &HashMap<ContactId, ContactChange>,
) -> Result<HashMap<ContactId, Refusal>> {
    let author = Author::caller(Actor::System);
    let ids: Vec<ContactId> = changes.keys().copied().collect();
    let definitions = definitions_load(tx).await?;
    let (mut wishes, mut wishing, mut refused) = (Vec::new(), Vec::new(), HashMap::new());
    for contact in contacts_get(tx, &ids).await? {
        let Some(change) = changes.get(&contact.id) else { continue };
        let fields =
            ContactFields { attributes: change.set.clone(), tags: change.add.clone(), ..ContactFields::default() };
        match fields.typed(&definitions, "") {
            Ok((patch, tags)) => {
                wishes.push(Wish { find: Find::Id(contact.id, contact.version), patch, tags, reach: Reach::Write });
                wishing.push(contact.id);
            }
            Err(mut refusals) => drop(refusals.pop().map(|refusal| refused.insert(contact.id, refusal))),
        }
    }
    let untagged = untag(tx, ports, author, changes).await?;
    let plan = write(tx, ports, author, (&definitions, &wishes)).await?;
    for (id, fate) in wishing.into_iter().zip(plan.fates) {
        if let Fate::Refused(mut refusals) = fate {
            drop(refusals.pop().map(|refusal| refused.insert(id, refusal)));
        }
    }
    react_to_contacts(tx, ports, &untagged).await?;
    Ok(refused)
}

/// Takes tags off; returns whom one was taken from.
async fn untag(
    tx: &mut TenantTx,
    ports: &Ports,
    author: Author,
    changes: &HashMap<ContactId, ContactChange>,
) -> Result<Vec<ContactId>> {
    let ids: Vec<ContactId> =
        changes.iter().filter(|(_, change)| !change.remove.is_empty()).map(|(id, _)| *id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let (mut gone, mut entries) = (Vec::new(), Vec::new());
    for (id, tags) in &tags_of(tx, &ids).await? {
        let Some(change) = changes.get(id) else { continue };
        let goes = |tag: &&Tag| tags.iter().any(|own| own == tag.as_str()) && !change.add.contains(tag);
        let removed: Vec<&str> = change.remove.iter().filter(goes).map(Tag::as_str).collect();
        if !removed.is_empty() {
            let values = Some(json!({ "tags": { "added": [], "removed": &removed } }));
            entries.push(Entry { contact: *id, kind: ChangeKind::Tagged, fields: vec!["tags".to_owned()], values });
            gone.extend(removed.into_iter().map(|tag| (tag, *id)));
        }
    }
    let contacts = entries.iter().map(|entry| entry.contact).collect();
    tags_remove(tx, gone).await?;
    history_append(tx, ports, author, entries).await?;
    Ok(contacts)
}
