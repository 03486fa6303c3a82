//! Partials, and the names that templates may use: declared attributes, events and their properties.

use std::collections::BTreeMap;

use carillon_entities::ids::{EventDefinitionId, PartialId};
use carillon_entities::rows::contacts::{attribute_definitions, event_definitions, event_properties as properties};
use carillon_entities::rows::messaging::template_partials;
use carillon_entities::wall::TenantTx;
use sea_orm::ActiveValue::Set;

use crate::error::Result;
use crate::messaging::partials::Partial;
use crate::paging::{Page, Paged};

pub(in crate::messaging) async fn partial_insert(tx: &mut TenantTx, partial: &Partial) -> Result<()> {
    let row = template_partials::ActiveModel {
        id: Set(partial.id),
        name: Set(partial.name.clone()),
        html: Set(partial.html.clone()),
        body_text: Set(partial.text.clone()),
        version: Set(partial.version),
        created_at: Set(partial.created_at),
        updated_at: Set(partial.updated_at),
        ..Default::default()
    };
    Ok(tx.insert(row).await?)
}

/// Writes a partial if it still is at the version that was seen.
pub(in crate::messaging) async fn partial_update(tx: &mut TenantTx, partial: &Partial, seen: i64) -> Result<u64> {
    use template_partials::Column;
    let update = tx.update::<template_partials::Entity>().eq(Column::Id, partial.id).eq(Column::Version, seen);
    let update = update.set(Column::Html, partial.html.clone()).set(Column::BodyText, partial.text.clone());
    let update = update.set(Column::Version, partial.version).set(Column::UpdatedAt, partial.updated_at);
    Ok(update.execute().await?)
}

pub(in crate::messaging) async fn partial_find(tx: &mut TenantTx, id: PartialId) -> Result<Option<Partial>> {
    let row = tx.select::<template_partials::Entity>().eq(template_partials::Column::Id, id).one().await?;
    Ok(row.map(partial))
}

pub(in crate::messaging) async fn partials_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = PartialId>,
) -> Result<Vec<Partial>> {
    let select = tx.select::<template_partials::Entity>().is_in(template_partials::Column::Id, ids);
    Ok(select.limit(1_000).all().await?.into_iter().map(partial).collect())
}

pub(in crate::messaging) async fn partials_named(
    tx: &mut TenantTx,
    names: impl IntoIterator<Item = String>,
) -> Result<Vec<Partial>> {
    let select = tx.select::<template_partials::Entity>().is_in(template_partials::Column::Name, names);
    Ok(select.all().await?.into_iter().map(partial).collect())
}

pub(in crate::messaging) async fn partials_count(tx: &mut TenantTx) -> Result<i64> {
    Ok(tx.select::<template_partials::Entity>().count().await?)
}

/// A page of partials, oldest first.
pub(in crate::messaging) async fn partials_list(tx: &mut TenantTx, page: &Page<PartialId>) -> Result<Paged<Partial>> {
    use template_partials::Column::Id;
    let rows = page.keyset(tx.select::<template_partials::Entity>(), Id).all().await?;
    Ok(page.finish(rows.into_iter().map(partial).collect()))
}

fn partial(row: template_partials::Model) -> Partial {
    Partial {
        id: row.id,
        name: row.name,
        html: row.html,
        text: row.body_text,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// Declared attributes with their kinds.
pub(in crate::messaging) async fn attribute_kinds(tx: &mut TenantTx) -> Result<BTreeMap<String, String>> {
    let rows = tx.select::<attribute_definitions::Entity>().all().await?;
    Ok(rows.into_iter().map(|row| (row.name, row.kind)).collect())
}

pub(in crate::messaging) async fn event_find(tx: &mut TenantTx, name: &str) -> Result<Option<EventDefinitionId>> {
    let select = tx.select::<event_definitions::Entity>().eq(event_definitions::Column::Name, name);
    Ok(select.one().await?.map(|row| row.id))
}

/// The properties of an event, declared or learned, with their kinds.
pub(in crate::messaging) async fn event_properties(
    tx: &mut TenantTx,
    event: EventDefinitionId,
) -> Result<BTreeMap<String, String>> {
    let rows = tx.select::<properties::Entity>().eq(properties::Column::EventId, event).all().await?;
    Ok(rows.into_iter().map(|row| (row.name, row.kind)).collect())
}
