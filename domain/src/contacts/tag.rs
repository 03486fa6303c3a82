//! Putting tags on contacts and taking them off.

use std::collections::{BTreeSet, HashMap};

use carillon_entities::ids::ContactId;
use carillon_entities::wall::TenantTx;
use serde_json::json;

use super::history::{Author, ChangeKind, Entry, history_append};
use super::store::contacts::contacts_lock;
use super::store::tags::{tags_add, tags_of, tags_remove};
use super::{Contact, ContactState, MAX_UPSERT, Tag};
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, WriteContacts};
use crate::workflows::react_to_contacts;

/// Tags for contacts; a tag that is both added and removed ends up on them.
#[derive(Debug, Clone)]
pub struct TagContacts {
    /// Of whom, at most [`MAX_UPSERT`].
    pub contacts: Vec<ContactId>,
    /// To put on.
    pub add: Vec<Tag>,
    /// To take off.
    pub remove: Vec<Tag>,
}

/// Changes the tags of contacts, all of them or none.
pub async fn tag_contacts(
    grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: TagContacts,
) -> Result<Vec<Contact>> {
    let TagContacts { contacts: ids, add, remove } = command;
    if ids.is_empty() || ids.len() > MAX_UPSERT || add.len() + remove.len() > Tag::MAX_PER_CONTACT {
        let message = format!("A call takes 1 to {MAX_UPSERT} contacts and {} tags.", Tag::MAX_PER_CONTACT);
        return Err(Refusal::new("BATCH_SIZE", "contactIds", message).into());
    }
    let contacts = contacts_lock(tx, &ids).await?;
    let there: BTreeSet<ContactId> =
        contacts.iter().filter(|one| one.state != ContactState::Deleted).map(|one| one.id).collect();
    let missing = ids.iter().enumerate().filter(|(_, id)| !there.contains(id));
    let missing: Vec<Refusal> = missing.map(|(i, _)| Refusal::not_found(format!("contactIds.{i}"))).collect();
    if !missing.is_empty() {
        return Err(crate::error::Error::Refused(missing));
    }
    let before = tags_of(tx, &ids).await?;
    let changes = changes(&there, &before, &add, &remove)?;
    let gone = changes.iter().flat_map(|change| change.removed.iter().map(|tag| (*tag, change.contact)));
    tags_remove(tx, gone.collect()).await?;
    let new = changes.iter().flat_map(|change| change.added.iter().map(|tag| (*tag, change.contact)));
    tags_add(tx, new.collect(), ports.now()).await?;
    let entries = changes.iter().map(TagChange::entry).collect();
    history_append(tx, ports, Author::caller(grant.actor()), entries).await?;
    let others: Vec<ContactId> = changes.iter().map(|change| change.contact).collect();
    react_to_contacts(tx, ports, &others).await?;
    Ok(contacts)
}

/// What really changes for one contact.
struct TagChange<'a> {
    contact: ContactId,
    added: Vec<&'a str>,
    removed: Vec<&'a str>,
}

impl TagChange<'_> {
    fn entry(&self) -> Entry {
        let values = json!({"tags": {"added": self.added, "removed": self.removed}});
        let fields = vec!["tags".to_owned()];
        Entry { contact: self.contact, kind: ChangeKind::Tagged, fields, values: Some(values) }
    }
}

fn changes<'a>(
    contacts: &BTreeSet<ContactId>,
    before: &HashMap<ContactId, Vec<String>>,
    add: &'a [Tag],
    remove: &'a [Tag],
) -> Result<Vec<TagChange<'a>>, Refusal> {
    let add: BTreeSet<&str> = add.iter().map(Tag::as_str).collect();
    let remove: BTreeSet<&str> = remove.iter().map(Tag::as_str).filter(|tag| !add.contains(tag)).collect();
    let mut changes = Vec::new();
    for contact in contacts {
        let own = before.get(contact).map_or(&[][..], Vec::as_slice);
        let has = |tag: &&str| own.iter().any(|one| one == tag);
        let added: Vec<&str> = add.iter().copied().filter(|tag| !has(tag)).collect();
        let removed: Vec<&str> = remove.iter().copied().filter(has).collect();
        // Whoever has too many can still get rid of some.
        if !added.is_empty() && own.len() + added.len() - removed.len() > Tag::MAX_PER_CONTACT {
            let message = format!("A contact has at most {} tags.", Tag::MAX_PER_CONTACT);
            return Err(Refusal::new("TOO_MANY_TAGS", "add", message));
        }
        if !added.is_empty() || !removed.is_empty() {
            changes.push(TagChange { contact: *contact, added, removed });
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(names: &[&str]) -> Vec<Tag> {
        names.iter().map(|name| Tag::parse(name).expect("a tag")).collect()
    }

    #[test]
    fn only_what_changes_is_written() {
        let id = ContactId(uuid::Uuid::from_u128(1));
        let before = HashMap::from([(id, vec!["a".to_owned(), "b".to_owned()])]);
        let (add, remove) = (tags(&["a", "c", "b"]), tags(&["b", "d", "x"]));
        let changes = changes(&BTreeSet::from([id]), &before, &add, &remove).expect("few tags");
        assert_eq!((&changes[0].added[..], &changes[0].removed[..]), (&["c"][..], &[][..]));
    }

    #[test]
    fn a_contact_has_at_most_a_hundred_tags() {
        let id = ContactId(uuid::Uuid::from_u128(1));
        let full: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
        let before = HashMap::from([(id, full)]);
        assert!(changes(&BTreeSet::from([id]), &before, &tags(&["one more"]), &[]).is_err());
        assert!(changes(&BTreeSet::from([id]), &before, &tags(&["one more"]), &tags(&["t1"])).is_ok());
        let overfull = HashMap::from([(id, (0..150).map(|n| format!("t{n}")).collect())]);
        assert!(changes(&BTreeSet::from([id]), &overfull, &[], &tags(&["t1"])).is_ok());
        assert!(changes(&BTreeSet::from([id]), &overfull, &tags(&["t2"]), &tags(&["t1"])).is_ok(), "nothing is added");
    }
}
