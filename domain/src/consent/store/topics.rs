//! `brands` and `topics`.

use std::collections::BTreeSet;

use carillon_entities::ids::{BrandId, TopicId};
use carillon_entities::rows::consent::{brands, topics};
use carillon_entities::wall::{OnConflict, TenantTx, WallError};
use sea_orm::ActiveValue::{NotSet, Set};

use crate::consent::{Brand, Topic};
use crate::paging::{Page, Paged};

pub async fn brand_insert(tx: &mut TenantTx, brand: &Brand) -> Result<(), WallError> {
    tx.insert(brands::ActiveModel {
        tenant_id: NotSet,
        id: Set(brand.id),
        name: Set(brand.name.clone()),
        is_default: Set(brand.is_default),
        created_at: Set(brand.created_at),
    })
    .await
}

pub async fn brand_find(tx: &mut TenantTx, id: BrandId) -> Result<Option<Brand>, WallError> {
    Ok(tx.select::<brands::Entity>().eq(brands::Column::Id, id).one().await?.map(brand))
}

pub async fn brand_default(tx: &mut TenantTx) -> Result<Option<Brand>, WallError> {
    Ok(tx.select::<brands::Entity>().eq(brands::Column::IsDefault, true).one().await?.map(brand))
}

pub async fn brands_of(tx: &mut TenantTx, ids: &[BrandId]) -> Result<Vec<Brand>, WallError> {
    let rows = tx.select::<brands::Entity>().is_in(brands::Column::Id, ids.iter().copied()).all().await?;
    Ok(rows.into_iter().map(brand).collect())
}

pub async fn brands_page(tx: &mut TenantTx, page: &Page<BrandId>) -> Result<Paged<Brand>, WallError> {
    let rows = page.keyset(tx.select::<brands::Entity>(), brands::Column::Id).all().await?;
    Ok(page.finish(rows).map(brand))
}

/// False when the brand has a topic of this key.
pub async fn topic_insert(tx: &mut TenantTx, topic: &Topic) -> Result<bool, WallError> {
    let row = topics::ActiveModel {
        tenant_id: NotSet,
        id: Set(topic.id),
        brand_id: Set(topic.brand),
        key: Set(topic.key.clone()),
        name: Set(topic.name.clone()),
        purpose: Set(topic.purpose.as_str().to_owned()),
        created_at: Set(topic.created_at),
    };
    Ok(tx.insert_many(vec![row], OnConflict::Keep).await? == 1)
}

pub async fn topics_of(tx: &mut TenantTx, ids: &[TopicId]) -> Result<Vec<Topic>, WallError> {
    let rows = tx.select::<topics::Entity>().is_in(topics::Column::Id, ids.iter().copied()).all().await?;
    rows.into_iter().map(topic).collect()
}

/// Topics of these keys in a brand.
pub async fn topic_by_key(tx: &mut TenantTx, brand: BrandId, key: &str) -> Result<Option<Topic>, WallError> {
    let select = tx.select::<topics::Entity>().eq(topics::Column::BrandId, brand).eq(topics::Column::Key, key);
    select.one().await?.map(topic).transpose()
}

/// The reserved topics of brands.
pub async fn all_marketing_of(tx: &mut TenantTx, brands: &BTreeSet<BrandId>) -> Result<Vec<Topic>, WallError> {
    let select = tx.select::<topics::Entity>().is_in(topics::Column::BrandId, brands.iter().copied());
    let rows = select.eq(topics::Column::Key, Topic::ALL_MARKETING).all().await?;
    rows.into_iter().map(topic).collect()
}

pub async fn topics_page(tx: &mut TenantTx, page: &Page<TopicId>) -> Result<Paged<Topic>, WallError> {
    let rows = page.keyset(tx.select::<topics::Entity>(), topics::Column::Id).all().await?;
    Ok(page.finish(rows.into_iter().map(topic).collect::<Result<Vec<_>, _>>()?))
}

fn brand(row: brands::Model) -> Brand {
    Brand { id: row.id, name: row.name, is_default: row.is_default, created_at: row.created_at }
}

fn topic(row: topics::Model) -> Result<Topic, WallError> {
    Ok(Topic {
        id: row.id,
        brand: row.brand_id,
        purpose: super::code(&row.purpose)?,
        key: row.key,
        name: row.name,
        created_at: row.created_at,
    })
}
