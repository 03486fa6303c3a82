//! Static lists: contacts that somebody put together by hand.

use std::collections::{BTreeSet, HashMap};

use carillon_entities::ids::{ContactId, ListId};
use carillon_entities::wall::{TenantTx, WallError};

use super::ContactList;
use super::store::campaigns::audiences_asking;
use super::store::lists as store;
use crate::contacts::{ContactState, contacts_get, one_line};
use crate::error::{Error, Refusal, Result};
use crate::paging::{Ahead, Page, Paged};
use crate::ports::Ports;
use crate::tenancy::{Grant, ReadContacts, WriteContacts};

/// The longest name, in octets.
pub(super) const NAME_MAX: usize = 200;
/// Contacts that one call may put on a list, or take off it.
pub const LIST_CHANGE_MAX: usize = 500;

/// Makes a list with nobody on it.
pub async fn create_list(
    _: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    name: &str,
) -> Result<ContactList> {
    let now = ports.now();
    let list = ContactList { id: ports.new_id(), name: name_of(name)?, version: 1, created_at: now, updated_at: now };
    unless_taken(store::list_insert(tx, &list).await)?;
    Ok(list)
}

/// Gives a list that is at the version seen another name.
pub async fn rename_list(
    _: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    (id, seen): (ListId, i64),
    name: &str,
) -> Result<ContactList> {
    let name = name_of(name)?;
    let mut list = lock(tx, id, "id").await?;
    at(&list, seen)?;
    list.name = name;
    list.version += 1;
    list.updated_at = ports.now();
    unless_taken(store::list_update(tx, &list).await)?;
    Ok(list)
}

/// Deletes a list that is at the version seen; nobody on it is.
///
/// # Errors
/// `LIST_IN_USE` while a campaign has yet to ask who is on it.
pub async fn delete_list(_: &Grant<WriteContacts>, tx: &mut TenantTx, (id, seen): (ListId, i64)) -> Result<ListId> {
    let list = lock(tx, id, "id").await?;
    at(&list, seen)?;
    if audiences_asking(tx).await?.iter().any(|audience| audience.all_lists().any(|named| named == id)) {
        return Err(Refusal::new("LIST_IN_USE", "id", "A campaign has yet to ask who is on the list.").into());
    }
    store::list_delete(tx, id).await?;
    Ok(id)
}

/// Puts contacts on a list; returns how many were not on it before.
///
/// # Errors
/// `BATCH_SIZE` for none or more than 500, `NOT_FOUND` for a list or a contact that is not there.
pub async fn add_to_list(
    _: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: ListId,
    contacts: &[ContactId],
) -> Result<u64> {
    let contacts = of_a_call(contacts)?;
    lock(tx, id, "listId").await?;
    let found = contacts_get(tx, &contacts).await?;
    if found.iter().filter(|contact| contact.state != ContactState::Deleted).count() < contacts.len() {
        return Err(Refusal::not_found("contactIds").into());
    }
    store::members_add(tx, id, &contacts, ports.now()).await
}

/// Takes contacts off a list; returns how many were on it.
///
/// # Errors
/// As [`add_to_list`], but that a deleted contact can be taken off.
pub async fn remove_from_list(
    _: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    id: ListId,
    contacts: &[ContactId],
) -> Result<u64> {
    let contacts = of_a_call(contacts)?;
    lock(tx, id, "listId").await?;
    if contacts_get(tx, &contacts).await?.len() < contacts.len() {
        return Err(Refusal::not_found("contactIds").into());
    }
    store::members_remove(tx, id, &contacts).await
}

/// Lists by id; unknown ids are left out.
pub async fn find_lists(
    _: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = ListId>,
) -> Result<Vec<ContactList>> {
    store::lists_find(tx, ids).await
}

/// A page of lists, oldest first.
pub async fn lists(_: &Grant<ReadContacts>, tx: &mut TenantTx, page: &Page<ListId>) -> Result<Paged<ContactList>> {
    store::lists_page(tx, page).await
}

/// A page of who is on each list, in one statement for all of them; lists with nobody are left out.
pub async fn list_members(
    _: &Grant<ReadContacts>,
    tx: &mut TenantTx,
    lists: &[ListId],
    page: Ahead<ContactId>,
) -> Result<HashMap<ListId, Paged<ContactId>>> {
    store::members_of(tx, lists, page).await
}

/// How many are on lists; those with nobody are left out.
pub async fn list_sizes(_: &Grant<ReadContacts>, tx: &mut TenantTx, lists: &[ListId]) -> Result<HashMap<ListId, i64>> {
    store::sizes_of(tx, lists).await
}

async fn lock(tx: &mut TenantTx, id: ListId, field: &str) -> Result<ContactList> {
    Ok(store::list_lock(tx, id).await?.ok_or_else(|| Refusal::not_found(field))?)
}

fn at(list: &ContactList, seen: i64) -> Result<(), Refusal> {
    if list.version == seen {
        return Ok(());
    }
    let message = format!("Somebody changed the list; its version is {}.", list.version);
    Err(Refusal::new("CONFLICT", "version", message))
}

fn of_a_call(contacts: &[ContactId]) -> Result<Vec<ContactId>, Refusal> {
    let contacts: BTreeSet<ContactId> = contacts.iter().copied().collect();
    if contacts.is_empty() || contacts.len() > LIST_CHANGE_MAX {
        let message = format!("There are 1 to {LIST_CHANGE_MAX} contacts in a call.");
        return Err(Refusal::new("BATCH_SIZE", "contactIds", message));
    }
    Ok(contacts.into_iter().collect())
}

pub(super) fn name_of(name: &str) -> Result<String, Refusal> {
    one_line(name, NAME_MAX).map_err(|why| Refusal::new("BAD_NAME", "name", why.to_string()))
}

/// A name that somebody else has is a refusal.
pub(super) fn unless_taken(written: Result<()>) -> Result<()> {
    match written {
        Err(Error::Wall(WallError::Conflict { .. })) => {
            Err(Refusal::new("TAKEN", "name", "There is one of this name.").into())
        }
        written => written,
    }
}
