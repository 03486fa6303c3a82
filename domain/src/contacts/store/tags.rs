//! Rows of `contact_tags`.

use std::collections::HashMap;

use carillon_entities::ids::ContactId;
use carillon_entities::rows::contacts::contact_tags;
use carillon_entities::statements;
use carillon_entities::wall::{TenantTx, Value, WallError};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::{read, run};
use crate::time::Timestamp;

statements! {
    /// Puts tags on contacts that do not have them.
    TAG_ADD(Time) [tag: Text, contact_id: Uuid] =
        "INSERT INTO contact_tags (tenant_id, tag, contact_id, created_at) \
         SELECT $1, b.tag, b.contact_id, $2 FROM ({batch}) AS b WHERE true \
         ON CONFLICT (tenant_id, tag, contact_id) DO NOTHING";
    /// Takes tags off contacts.
    TAG_REMOVE() [tag: Text, contact_id: Uuid] =
        "DELETE FROM contact_tags WHERE tenant_id = $1 \
         AND (tag, contact_id) IN (SELECT b.tag, b.contact_id FROM ({batch}) AS b)";
    /// The tags of contacts.
    TAGS_OF() [contact_id: Uuid] =
        "SELECT t.contact_id AS contact_id, t.tag AS tag FROM contact_tags AS t WHERE t.tenant_id = $1 \
         AND t.contact_id IN (SELECT b.contact_id FROM ({batch}) AS b) ORDER BY t.contact_id, t.tag";
}

#[derive(Debug, FromQueryResult)]
struct Tagged {
    contact_id: Uuid,
    tag: String,
}

pub(in crate::contacts) async fn tags_add(
    tx: &mut TenantTx,
    mut rows: Vec<(&str, ContactId)>,
    now: Timestamp,
) -> Result<(), WallError> {
    // In one order everywhere, so that two batches wait for each other instead of deadlocking.
    rows.sort_unstable();
    run(tx, &TAG_ADD, &[now.into()], rows.into_iter().map(cells).collect()).await.map(drop)
}

pub(in crate::contacts) async fn tags_remove(
    tx: &mut TenantTx,
    pairs: Vec<(&str, ContactId)>,
) -> Result<(), WallError> {
    run(tx, &TAG_REMOVE, &[], pairs.into_iter().map(cells).collect()).await.map(drop)
}

/// The tags of contacts, each contact's in order.
pub(crate) async fn tags_of(
    tx: &mut TenantTx,
    ids: &[ContactId],
) -> Result<HashMap<ContactId, Vec<String>>, WallError> {
    let rows: Vec<Tagged> = read(tx, &TAGS_OF, ids.iter().map(|id| vec![id.0.into()]).collect()).await?;
    let mut tags: HashMap<ContactId, Vec<String>> = HashMap::new();
    for row in rows {
        tags.entry(ContactId(row.contact_id)).or_default().push(row.tag);
    }
    Ok(tags)
}

pub(in crate::contacts) async fn tags_of_delete(tx: &mut TenantTx, id: ContactId) -> Result<(), WallError> {
    tx.delete::<contact_tags::Entity>().eq(contact_tags::Column::ContactId, id).execute().await.map(drop)
}

fn cells((tag, contact): (&str, ContactId)) -> Vec<Value> {
    vec![tag.into(), contact.0.into()]
}
