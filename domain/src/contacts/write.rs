//! Writing a batch of contacts: look up, lock, plan, write; a constant number of statements whatever the batch (L5).

use std::collections::{BTreeSet, HashMap, HashSet};

use carillon_entities::ids::ContactId;
use carillon_entities::wall::{TenantTx, WallError};

use super::contact::Identity;
use super::definitions::Definitions;
use super::history::{Author, ChangeKind, Entry, history_append};
use super::plan::{Find, Known, Plan, Touched, Wish, plan};
use super::store::attributes::attributes_write;
use super::store::contacts::{contacts_change, contacts_get, contacts_insert, contacts_lock};
use super::store::identities::{identities_delete, identities_insert, identity_owners};
use super::store::tags::{tags_add, tags_of};
use super::{Contact, EmailAddress};
use crate::error::Result;
use crate::ports::Ports;

/// What the database knows of a batch before anything is locked.
pub(crate) struct Sought {
    owners: HashMap<Identity, ContactId>,
    ids: Vec<ContactId>,
}

/// Looks up whom the wishes are about; locks nothing.
pub(crate) async fn seek(tx: &mut TenantTx, wishes: &[Wish]) -> Result<Sought> {
    let identities: HashSet<Identity> = wishes.iter().flat_map(Wish::identities).collect();
    let owners = identity_owners(tx, identities.iter().collect()).await?;
    let named = wishes.iter().filter_map(|wish| match wish.find {
        Find::Id(id, _) => Some(id),
        Find::New | Find::By(_) | Find::Any => None,
    });
    let ids: BTreeSet<ContactId> = owners.values().copied().chain(named).collect();
    Ok(Sought { owners, ids: ids.into_iter().collect() })
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

/// What [`write`] will plan of addresses, if nobody changes the contacts before it locks them.
pub(crate) async fn foresee(
    tx: &mut TenantTx,
    ports: &Ports,
    wishes: &[Wish],
    sought: &Sought,
) -> Result<HashMap<usize, EmailAddress>> {
    let contacts = contacts_get(tx, &sought.ids).await?;
    let known = known(tx, wishes, sought.owners.clone(), contacts).await?;
    Ok(plan(known, wishes, ports.now(), || ports.new_id()).addresses)
}

/// Locks the contacts that were found, plans and writes. The caller holds the endpoints it needs already: they are
/// locked before contacts everywhere.
pub(crate) async fn write(
    tx: &mut TenantTx,
    ports: &Ports,
    author: Author,
    (definitions, wishes): (&Definitions, &[Wish]),
    sought: Sought,
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
