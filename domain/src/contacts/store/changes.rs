//! Rows of `contact_changes`, which only ever grow.

use std::collections::HashMap;

use carillon_entities::ids::{ContactChangeId, ContactId};
use carillon_entities::rows::contacts::contact_changes;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx, Value, WallError};
use serde_json::Value as Json;
use uuid::Uuid;

use super::run;
use crate::contacts::history::{Change, ChangeRow};
use crate::error::{Error, Result};
use crate::paging::{Ahead, Paged};

statements! {
    /// Appends to the history.
    CHANGE_APPEND(Text, Uuid, Text, Uuid, Time) [id: Uuid, contact_id: Uuid, kind: Text, fields: Json, sealed: Bytes] =
        "INSERT INTO contact_changes (tenant_id, id, contact_id, kind, actor_kind, actor_id, source_kind, source_id, \
            fields, sealed, at) \
         SELECT $1, b.id, b.contact_id, b.kind, $2, $3, $4, $5, b.fields, b.sealed, $6 FROM ({batch}) AS b WHERE true";
    /// Entries of contacts' histories, so many of each, behind one.
    CHANGES_OF(Uuid, BigInt) [contact_id: Uuid] =
        "SELECT * FROM (SELECT c.tenant_id, c.id, c.contact_id, c.kind, c.actor_kind, c.actor_id, c.source_kind, \
         c.source_id, c.fields, c.sealed, c.at, \
         ROW_NUMBER() OVER (PARTITION BY c.contact_id ORDER BY c.id) AS nth \
         FROM ({batch}) AS b JOIN contact_changes c ON c.tenant_id = $1 AND c.contact_id = b.contact_id \
         WHERE c.id > $2) AS numbered WHERE nth <= $3 ORDER BY contact_id, id";
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

/// A page of each contact's history, with the sealed values as they are stored.
pub(in crate::contacts) async fn changes_of(
    tx: &mut TenantTx,
    contacts: &[ContactId],
    page: Ahead<ContactChangeId>,
) -> Result<HashMap<ContactId, Paged<(Change, Option<Vec<u8>>)>>> {
    let after = page.after.map_or(Uuid::nil(), |id| id.0);
    let batch = contacts.iter().map(|id| vec![id.0.into()]);
    let args = Args::of([after.into(), page.limit().into()]).with_batch(batch);
    let rows: Vec<contact_changes::Model> = tx.sql(&CHANGES_OF, args)?.all().await?;
    let read = |mut row: contact_changes::Model| {
        let (contact, sealed) = (row.contact_id, row.sealed.take());
        Ok::<_, Error>((contact, (change(row)?, sealed)))
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
