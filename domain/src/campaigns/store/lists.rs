//! Static lists and who is on them.

use std::collections::{BTreeSet, HashMap};

use carillon_entities::ids::{ContactId, ListId};
use carillon_entities::rows::campaigns::{list_members, lists};
use carillon_entities::statements;
use carillon_entities::wall::{Args, OnConflict, TenantTx};
use sea_orm::{ActiveValue::Set, FromQueryResult, Value};
use uuid::Uuid;

use crate::campaigns::ContactList;
use crate::error::Result;
use crate::paging::{Ahead, Page, Paged};
use crate::time::Timestamp;

statements! {
    /// Which lists there are, kept so until the transaction ends.
    LISTS_SHARE() [id: Uuid] =
        "SELECT id FROM lists WHERE tenant_id = $1 AND id IN (SELECT b.id FROM ({batch}) AS b) ORDER BY id {for_share}";
    /// A page of who is on each list: one probe for each of them, so that no more are read of a million.
    LIST_MEMBERS_OF(Uuid, BigInt) [list_id: Uuid] =
        "WITH RECURSIVE page (list_id, contact_id, nth) AS (\
            SELECT b.list_id, (SELECT p.contact_id FROM list_members p WHERE p.tenant_id = $1 \
                AND p.list_id = b.list_id AND p.contact_id > $2 ORDER BY p.contact_id LIMIT 1), CAST(1 AS BIGINT) \
            FROM ({batch}) AS b \
            UNION ALL SELECT page.list_id, (SELECT p.contact_id FROM list_members p WHERE p.tenant_id = $1 \
                AND p.list_id = page.list_id AND p.contact_id > page.contact_id ORDER BY p.contact_id LIMIT 1), \
                page.nth + 1 FROM page WHERE page.nth < $3 AND page.contact_id IS NOT NULL) \
         SELECT list_id, contact_id FROM page WHERE contact_id IS NOT NULL ORDER BY list_id, contact_id";
    /// How many are on lists.
    LIST_SIZES() [list_id: Uuid] =
        "SELECT m.list_id, COUNT(*) AS people FROM ({batch}) AS b JOIN list_members m ON m.tenant_id = $1 \
         AND m.list_id = b.list_id GROUP BY m.list_id";
    /// Takes people off a list.
    LIST_MEMBERS_REMOVE(Uuid) [contact_id: Uuid] =
        "DELETE FROM list_members WHERE tenant_id = $1 AND list_id = $2 \
         AND contact_id IN (SELECT b.contact_id FROM ({batch}) AS b)";
}

pub(in crate::campaigns) async fn list_insert(tx: &mut TenantTx, list: &ContactList) -> Result<()> {
    let row = lists::ActiveModel {
        id: Set(list.id),
        name: Set(list.name.clone()),
        version: Set(list.version),
        created_at: Set(list.created_at),
        updated_at: Set(list.updated_at),
        ..Default::default()
    };
    Ok(tx.insert(row).await?)
}

/// Locks a list.
pub(in crate::campaigns) async fn list_lock(tx: &mut TenantTx, id: ListId) -> Result<Option<ContactList>> {
    let row = tx.select::<lists::Entity>().eq(lists::Column::Id, id).for_update().one().await?;
    Ok(row.map(list))
}

pub(in crate::campaigns) async fn list_update(tx: &mut TenantTx, list: &ContactList) -> Result<()> {
    use lists::Column;
    let update = tx
        .update::<lists::Entity>()
        .eq(Column::Id, list.id)
        .set(Column::Name, list.name.as_str())
        .set(Column::Version, list.version)
        .set(Column::UpdatedAt, list.updated_at);
    update.execute().await?;
    Ok(())
}

/// Deletes a list, which is locked, and takes everybody off it.
pub(in crate::campaigns) async fn list_delete(tx: &mut TenantTx, id: ListId) -> Result<()> {
    tx.delete::<list_members::Entity>().eq(list_members::Column::ListId, id).execute().await?;
    tx.delete::<lists::Entity>().eq(lists::Column::Id, id).execute().await?;
    Ok(())
}

pub(in crate::campaigns) async fn lists_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = ListId>,
) -> Result<Vec<ContactList>> {
    let select = tx.select::<lists::Entity>().is_in(lists::Column::Id, ids).limit(1_000);
    Ok(select.all().await?.into_iter().map(list).collect())
}

/// Which of the lists there are; whoever deletes one waits for the end of this transaction.
pub(in crate::campaigns) async fn lists_share(tx: &mut TenantTx, ids: BTreeSet<ListId>) -> Result<BTreeSet<ListId>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: ListId,
    }
    let batch = ids.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<Row> = tx.sql(&LISTS_SHARE, Args::batch(batch))?.all().await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// A page of lists, oldest first.
pub(in crate::campaigns) async fn lists_page(tx: &mut TenantTx, page: &Page<ListId>) -> Result<Paged<ContactList>> {
    let rows = page.keyset(tx.select::<lists::Entity>(), lists::Column::Id).all().await?;
    Ok(page.finish(rows.into_iter().map(list).collect()))
}

fn list(row: lists::Model) -> ContactList {
    ContactList {
        id: row.id,
        name: row.name,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// Puts people on a list; returns how many were not on it.
pub(in crate::campaigns) async fn members_add(
    tx: &mut TenantTx,
    list: ListId,
    contacts: &[ContactId],
    now: Timestamp,
) -> Result<u64> {
    let rows = contacts.iter().map(|contact| list_members::ActiveModel {
        list_id: Set(list),
        contact_id: Set(*contact),
        added_at: Set(now),
        ..Default::default()
    });
    Ok(tx.insert_many(rows.collect(), OnConflict::Keep).await?)
}

/// Takes people off a list; returns how many were on it.
pub(in crate::campaigns) async fn members_remove(
    tx: &mut TenantTx,
    list: ListId,
    contacts: &[ContactId],
) -> Result<u64> {
    let batch = contacts.iter().map(|id| vec![Value::from(*id)]);
    let args = Args::of([list.into()]).with_batch(batch);
    Ok(tx.sql(&LIST_MEMBERS_REMOVE, args)?.execute().await?)
}

/// A page of who is on each list, in the order of their ids.
pub(in crate::campaigns) async fn members_of(
    tx: &mut TenantTx,
    lists: &[ListId],
    page: Ahead<ContactId>,
) -> Result<HashMap<ListId, Paged<ContactId>>> {
    #[derive(FromQueryResult)]
    struct Row {
        list_id: ListId,
        contact_id: ContactId,
    }
    // One named twice would have each row twice.
    let lists: BTreeSet<ListId> = lists.iter().copied().collect();
    let batch = lists.into_iter().map(|id| vec![Value::from(id)]);
    let after = page.after.unwrap_or(ContactId(Uuid::nil()));
    let args = Args::of([after.into(), page.limit().into()]).with_batch(batch);
    let rows: Vec<Row> = tx.sql(&LIST_MEMBERS_OF, args)?.all().await?;
    Ok(page.finish(rows.into_iter().map(|row| (row.list_id, row.contact_id))))
}

/// How many are on lists; of empty ones nothing is said.
pub(in crate::campaigns) async fn sizes_of(tx: &mut TenantTx, lists: &[ListId]) -> Result<HashMap<ListId, i64>> {
    #[derive(FromQueryResult)]
    struct Row {
        list_id: ListId,
        people: i64,
    }
    let lists: BTreeSet<ListId> = lists.iter().copied().collect();
    let batch = lists.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<Row> = tx.sql(&LIST_SIZES, Args::batch(batch))?.all().await?;
    Ok(rows.into_iter().map(|row| (row.list_id, row.people)).collect())
}
