//! Rows of `attribute_definitions` and `contact_attribute_values`.

use carillon_entities::ids::{AttributeId, ContactId};
use carillon_entities::rows::contacts::{attribute_definitions, contact_attribute_values};
use carillon_entities::statements;
use carillon_entities::wall::{TenantTx, Value, WallError};
use sea_orm::ActiveValue::Set;

use super::{lost_race, run};
use crate::contacts::{AttributeDefinition, AttributeName, AttributeValue, Definitions};
use crate::error::{Error, Result};
use crate::paging::{Page, Paged};
use crate::time::Timestamp;

statements! {
    /// Writes values over whatever was there.
    ATTRIBUTE_PUT() [contact_id: Uuid, attribute_id: Uuid, text_value: Text, number_value: Float, bool_value: Bool,
        date_value: Date] =
        "INSERT INTO contact_attribute_values (tenant_id, contact_id, attribute_id, text_value, number_value, \
            bool_value, date_value) \
         SELECT $1, b.contact_id, b.attribute_id, b.text_value, b.number_value, b.bool_value, b.date_value \
         FROM ({batch}) AS b WHERE true \
         ON CONFLICT (tenant_id, contact_id, attribute_id) DO UPDATE SET text_value = excluded.text_value, \
            number_value = excluded.number_value, bool_value = excluded.bool_value, date_value = excluded.date_value";
    /// Takes values away.
    ATTRIBUTE_DROP() [contact_id: Uuid, attribute_id: Uuid] =
        "DELETE FROM contact_attribute_values WHERE tenant_id = $1 \
         AND (contact_id, attribute_id) IN (SELECT b.contact_id, b.attribute_id FROM ({batch}) AS b)";
}

pub(crate) async fn definitions_load(tx: &mut TenantTx) -> Result<Definitions> {
    let rows = tx.select::<attribute_definitions::Entity>().all().await?;
    rows.iter().map(definition).collect()
}

pub(in crate::contacts) async fn definitions_find(
    tx: &mut TenantTx,
    ids: &[AttributeId],
) -> Result<Vec<AttributeDefinition>> {
    let select = tx.select::<attribute_definitions::Entity>();
    let rows = select.is_in(attribute_definitions::Column::Id, ids.iter().copied()).all().await?;
    rows.iter().map(definition).collect()
}

pub(in crate::contacts) async fn definitions_page(
    tx: &mut TenantTx,
    page: Page<AttributeId>,
) -> Result<Paged<AttributeDefinition>> {
    let select = tx.select::<attribute_definitions::Entity>();
    let rows = page.keyset(select, attribute_definitions::Column::Id).all().await?;
    Ok(page.finish(rows.iter().map(definition).collect::<Result<Vec<_>>>()?))
}

/// Declares attributes whose names nobody has declared; a name declared meanwhile makes the transaction run again.
pub(in crate::contacts) async fn definitions_insert(
    tx: &mut TenantTx,
    new: &[AttributeDefinition],
    now: Timestamp,
) -> Result<(), WallError> {
    let row = |definition: &AttributeDefinition| attribute_definitions::ActiveModel {
        id: Set(definition.id),
        name: Set(definition.name.as_str().to_owned()),
        kind: Set(definition.kind.as_str().to_owned()),
        created_at: Set(now),
        ..Default::default()
    };
    let rows = new.iter().map(row).collect();
    tx.insert_many(rows, carillon_entities::wall::OnConflict::Fail).await.map(drop).map_err(lost_race)
}

/// Writes values, and takes away those that are `None`.
pub(in crate::contacts) async fn attributes_write(
    tx: &mut TenantTx,
    writes: Vec<(ContactId, AttributeId, Option<&AttributeValue>)>,
) -> Result<(), WallError> {
    let (mut put, mut gone) = (Vec::new(), Vec::new());
    for (contact, attribute, value) in writes {
        let mut row: Vec<Value> = vec![contact.0.into(), attribute.0.into()];
        if let Some(value) = value {
            row.extend(value_cells(value));
            put.push(row);
        } else {
            gone.push(row);
        }
    }
    run(tx, &ATTRIBUTE_DROP, &[], gone).await?;
    run(tx, &ATTRIBUTE_PUT, &[], put).await?;
    Ok(())
}

pub(in crate::contacts) async fn attributes_of_delete(tx: &mut TenantTx, id: ContactId) -> Result<(), WallError> {
    let values = tx.delete::<contact_attribute_values::Entity>();
    values.eq(contact_attribute_values::Column::ContactId, id).execute().await.map(drop)
}

/// Text, number, boolean and day: one of them set.
fn value_cells(value: &AttributeValue) -> [Value; 4] {
    let mut cells = [Value::String(None), Value::Double(None), Value::Bool(None), Value::ChronoDate(None)];
    match value {
        AttributeValue::String(text) => cells[0] = text.as_str().into(),
        AttributeValue::Number(number) => cells[1] = (*number).into(),
        AttributeValue::Boolean(yes) => cells[2] = (*yes).into(),
        AttributeValue::Date(day) => cells[3] = (*day).into(),
    }
    cells
}

fn definition(row: &attribute_definitions::Model) -> Result<AttributeDefinition> {
    Ok(AttributeDefinition {
        id: row.id,
        name: AttributeName::parse(&row.name).map_err(Error::fault)?,
        kind: row.kind.parse().map_err(Error::fault)?,
    })
}
