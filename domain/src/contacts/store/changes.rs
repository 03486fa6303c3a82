//! Rows of `contact_changes`, which only ever grow.

use carillon_entities::ids::{ContactChangeId, ContactId};
use carillon_entities::rows::contacts::contact_changes;
use carillon_entities::statements;
use carillon_entities::wall::{TenantTx, Value, WallError};
use serde_json::Value as Json;

use super::run;
use crate::contacts::history::{Change, ChangeRow};
use crate::error::{Error, Result};
use crate::paging::{Page, Paged};

statements! {
    /// Appends to the history.
    CHANGE_APPEND(Text, Uuid, Text, Uuid, Time) [id: Uuid, contact_id: Uuid, kind: Text, fields: Json, sealed: Bytes] =
        "INSERT INTO contact_changes (tenant_id, id, contact_id, kind, actor_kind, actor_id, source_kind, source_id, \
            fields, sealed, at) \
         SELECT $1, b.id, b.contact_id, b.kind, $2, $3, $4, $5, b.fields, b.sealed, $6 FROM ({batch}) AS b WHERE true";
}

/// Who did it, from where, and when: `(actor kind, actor, source kind, source, time)`.
pub(in crate::contacts) async fn changes_append(
    tx: &mut TenantTx,
    scalars: [Value; 5],
    rows: Vec<ChangeRow>,
) -> Result<(), WallError> {
    let cells = |row: ChangeRow| {
        vec![
            row.id.0.into(),
            row.contact.0.into(),
            row.kind.as_str().into(),
            Json::from(row.fields).into(),
            Value::Bytes(row.sealed),
        ]
    };
    run(tx, &CHANGE_APPEND, &scalars, rows.into_iter().map(cells).collect()).await.map(drop)
}

/// A page of a contact's history, with the sealed values as they are stored.
pub(in crate::contacts) async fn changes_page(
    tx: &mut TenantTx,
    contact: ContactId,
    page: Page<ContactChangeId>,
) -> Result<Paged<(Change, Option<Vec<u8>>)>> {
    let select = tx.select::<contact_changes::Entity>().eq(contact_changes::Column::ContactId, contact);
    let rows = page.keyset(select, contact_changes::Column::Id).all().await?;
    let read = |mut row: contact_changes::Model| {
        let sealed = row.sealed.take();
        Ok::<_, Error>((change(row)?, sealed))
    };
    Ok(page.finish(rows.into_iter().map(read).collect::<Result<Vec<_>>>()?))
}

fn change(row: contact_changes::Model) -> Result<Change> {
    Ok(Change {
        id: row.id,
        kind: row.kind.parse().map_err(Error::fault)?,
        actor_kind: row.actor_kind.parse().map_err(Error::fault)?,
        actor_id: row.actor_id,
        source_kind: row.source_kind.parse().map_err(Error::fault)?,
        source_id: row.source_id,
        fields: serde_json::from_value(row.fields).map_err(Error::fault)?,
        values: None,
        at: row.at,
    })
}
