//! Rows of `contact_identities`: the only way to find a contact by what it is known by.

use std::collections::HashMap;

use carillon_entities::ids::ContactId;
use carillon_entities::rows::contacts::contact_identities;
use carillon_entities::statements;
use carillon_entities::wall::{TenantTx, Value, WallError};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::{lost_race, read, run};
use crate::contacts::contact::Identity;
use crate::error::{Error, Result};
use crate::time::Timestamp;

statements! {
    /// Who has each of the identities. A sub-select for each, so that no plan made while the table was small reads all
    /// of it when it is large.
    IDENTITY_OWNERS() [kind: Text, value_norm: Text] =
        "SELECT b.kind AS kind, b.value_norm AS value_norm, (SELECT i.contact_id FROM contact_identities AS i \
            WHERE i.tenant_id = $1 AND i.kind = b.kind AND i.value_norm = b.value_norm) AS contact_id \
         FROM ({batch}) AS b";
    /// Gives identities to contacts.
    IDENTITY_INSERT(Time) [kind: Text, value_norm: Text, contact_id: Uuid] =
        "INSERT INTO contact_identities (tenant_id, kind, value_norm, contact_id, created_at) \
         SELECT $1, b.kind, b.value_norm, b.contact_id, $2 FROM ({batch}) AS b WHERE true";
    /// Takes identities away.
    IDENTITY_DELETE() [kind: Text, value_norm: Text] =
        "DELETE FROM contact_identities WHERE tenant_id = $1 \
         AND (kind, value_norm) IN (SELECT b.kind, b.value_norm FROM ({batch}) AS b)";
}

#[derive(Debug, FromQueryResult)]
struct Owner {
    kind: String,
    value_norm: String,
    contact_id: Option<Uuid>,
}

/// Who has the identities; those nobody has are left out.
pub(in crate::contacts) async fn identity_owners(
    tx: &mut TenantTx,
    identities: Vec<&Identity>,
) -> Result<HashMap<Identity, ContactId>> {
    let rows = identities.into_iter().map(cells).collect();
    let found: Vec<Owner> = read(tx, &IDENTITY_OWNERS, rows).await?;
    found
        .into_iter()
        .filter_map(|row| row.contact_id.map(|id| (row.kind, row.value_norm, ContactId(id))))
        .map(|(kind, value, id)| Ok(((kind.parse().map_err(Error::fault)?, value), id)))
        .collect()
}

pub(in crate::contacts) async fn identities_insert(
    tx: &mut TenantTx,
    given: &[(Identity, ContactId)],
    now: Timestamp,
) -> Result<(), WallError> {
    let row = |(identity, contact): &(Identity, ContactId)| {
        let mut row = cells(identity);
        row.push(contact.0.into());
        row
    };
    run(tx, &IDENTITY_INSERT, &[now.into()], given.iter().map(row).collect()).await.map(drop).map_err(lost_race)
}

pub(in crate::contacts) async fn identities_delete(tx: &mut TenantTx, gone: &[Identity]) -> Result<(), WallError> {
    run(tx, &IDENTITY_DELETE, &[], gone.iter().map(cells).collect()).await.map(drop)
}

/// Takes all identities of one contact away.
pub(in crate::contacts) async fn identities_of_delete(tx: &mut TenantTx, id: ContactId) -> Result<(), WallError> {
    tx.delete::<contact_identities::Entity>().eq(contact_identities::Column::ContactId, id).execute().await.map(drop)
}

fn cells((kind, value): &Identity) -> Vec<Value> {
    vec![kind.as_str().into(), value.as_str().into()]
}
