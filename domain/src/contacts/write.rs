//! Writing a batch of contacts: look up, lock, plan, write; a constant number of statements whatever the batch (L5).
//!
//! Whoever gets another address takes along what they had ended at the old one (C-126, C-128): here, for all that plans.

use std::collections::{BTreeSet, HashMap, HashSet};

use carillon_entities::ids::ContactId;
use carillon_entities::wall::{TenantTx, WallError};
use uuid::Uuid;

use super::Contact;
use super::contact::Identity;
use super::definitions::Definitions;
use super::endpoints::{hold, recipients_of_moves};
use super::history::{Author, ChangeKind, Entry, history_append};
use super::plan::{Addresses, Find, Known, Plan, Touched, Wish, plan};
use super::store::attributes::attributes_write;
use super::store::contacts::{contacts_change, contacts_get, contacts_insert, contacts_lock};
use super::store::identities::{identities_delete, identities_insert, identity_owners};
use super::store::tags::{tags_add, tags_of};
use crate::consent::{Endpoints, follow};
use crate::error::Result;
use crate::ports::Ports;
use crate::workflows::react_to_contacts;

/// What the database knows of a batch before anything is locked.
pub(crate) struct Sought {
    owners: HashMap<Identity, ContactId>,
    ids: Vec<ContactId>,
    /// What will be planned of addresses, if nobody changes the contacts before they are locked.
    pub addresses: Addresses,
}

/// Looks up whom the wishes are about; locks nothing.
pub(crate) async fn seek(tx: &mut TenantTx, ports: &Ports, wishes: &[Wish]) -> Result<Sought> {
    let identities: HashSet<Identity> = wishes.iter().flat_map(Wish::identities).collect();
    let owners = identity_owners(tx, identities.iter().collect()).await?;
    let named = wishes.iter().filter_map(|wish| match wish.find {
        Find::Id(id, _) => Some(id),
        Find::New | Find::By(_) | Find::Any => None,
    });
    let ids: BTreeSet<ContactId> = owners.values().copied().chain(named).collect();
    let ids: Vec<ContactId> = ids.into_iter().collect();
    let contacts = contacts_get(tx, &ids).await?;
    let known = known(tx, wishes, owners.clone(), contacts).await?;
    // Nothing of this plan is written, so its ids need only differ.
    let mut made = 0;
    let new_id = || {
        made += 1;
        ContactId(Uuid::from_u128(made))
    };
    let addresses = plan(known, wishes, ports.now(), new_id).addresses;
    Ok(Sought { owners, ids, addresses })
}

/// What planning begins with.
async fn known(
    tx: &mut TenantTx,
    wishes: &[Wish],
    owners: HashMap<Identity, ContactId>,
    contacts: Vec<Contact>,
) -> Result<Known> {
    let mut tags = HashMap::new();
    if wishes.iter().any(|wish| !wish.tags.is_empty()) {
        let ids: Vec<ContactId> = contacts.iter().map(|contact| contact.id).collect();
        tags = tags_of(tx, &ids).await?;
    }
    Ok(Known { owners, contacts: contacts.into_iter().map(|one| (one.id, one)).collect(), tags })
}

/// Does what wishes say.
pub(crate) async fn write(
    tx: &mut TenantTx,
    ports: &Ports,
    author: Author,
    (definitions, wishes): (&Definitions, &[Wish]),
) -> Result<Plan> {
    let sought = seek(tx, ports, wishes).await?;
    let mut endpoints = hold(tx, ports, wishes, &sought.addresses, Vec::new()).await?;
    write_held(tx, ports, author, (definitions, wishes), (sought, &mut endpoints)).await
}

/// Locks the contacts that were found, plans and writes, under endpoints from [`hold`]: they are locked before contacts
/// everywhere.
pub(crate) async fn write_held(
    tx: &mut TenantTx,
    ports: &Ports,
    author: Author,
    (definitions, wishes): (&Definitions, &[Wish]),
    (sought, endpoints): (Sought, &mut Endpoints),
) -> Result<Plan> {
    let locked = contacts_lock(tx, &sought.ids).await?;
    let known = known(tx, wishes, sought.owners, locked).await?;
    // Between look-up and lock somebody may have given an identity away: then all of it is done again.
    let holds = |(identity, id): (&Identity, &ContactId)| {
        known.contacts.get(id).is_some_and(|contact| contact.identities().any(|own| own == *identity))
    };
    if !known.owners.iter().all(holds) {
        return Err(WallError::Retry.into());
    }
    let plan = plan(known, wishes, ports.now(), || ports.new_id());
    // Or somebody changed an address.
    if plan.addresses != sought.addresses {
        return Err(WallError::Retry.into());
    }
    let (new, old): (Vec<&Touched>, Vec<&Touched>) = plan.touched.iter().partition(|one| one.before.is_none());
    contacts_insert(tx, author.import, new.iter().map(|one| &one.after).collect()).await?;
    let changed = old.iter().filter(|one| !one.changed.is_empty()).map(|one| &one.after).collect();
    contacts_change(tx, changed).await?;
    let (gone, given) = plan.identity_moves();
    identities_delete(tx, &gone).await?;
    identities_insert(tx, &given, ports.now()).await?;
    attributes_write(tx, plan.attribute_writes(definitions).collect()).await?;
    let tags = plan.touched.iter().flat_map(|one| one.tags.iter().map(|tag| (tag.as_str(), one.after.id)));
    tags_add(tx, tags.collect(), ports.now()).await?;
    history_append(tx, ports, author, plan.touched.iter().filter_map(entry).collect()).await?;
    let moves = recipients_of_moves(&ports.keys.address_hasher(tx.tenant()), &plan.addresses);
    follow(tx, ports, author.actor, &moves, endpoints).await?;
    // Nobody new is in a workflow, and who was written as they were has not changed (A3.7).
    let changed = plan.touched.iter().filter(|one| one.before.is_some() && one.is_changed());
    let changed: Vec<ContactId> = changed.map(|one| one.after.id).collect();
    react_to_contacts(tx, ports, &changed).await?;
    Ok(plan)
}

fn entry(touched: &Touched) -> Option<Entry> {
    let mut fields: Vec<String> = touched.changed.iter().cloned().collect();
    fields.extend((!touched.tags.is_empty()).then(|| "tags".to_owned()));
    let (kind, values) = match &touched.before {
        None => (ChangeKind::Created, None),
        Some(_) if fields.is_empty() => return None,
        Some(_) if touched.changed.is_empty() => (ChangeKind::Tagged, Some(touched.values())),
        Some(_) => (ChangeKind::Updated, Some(touched.values())),
    };
    Some(Entry { contact: touched.after.id, kind, fields, values })
}
