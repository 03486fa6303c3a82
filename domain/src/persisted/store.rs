//! Rows of persisted documents and of sets.

use std::collections::{BTreeSet, HashMap};

use carillon_entities::ids::{DocumentSetId, PersistedDocumentId};
use carillon_entities::rows::persisted::{
    document_set_members as members_of, document_set_versions as versions, document_sets as sets,
    persisted_documents as rows,
};
use carillon_entities::wall::{OnConflict, TenantTx};
use sea_orm::ActiveValue::Set;

use super::{DocumentHash, DocumentSet, PersistedDocument, SetVersion};
use crate::error::{Error, Result};
use crate::paging::{Page, Paged};
use crate::time::Timestamp;

/// A version of a set.
type At = (DocumentSetId, i32);

fn hash(bytes: &[u8]) -> Result<DocumentHash> {
    DocumentHash::from_slice(bytes).ok_or_else(|| Error::fault("a stored hash of a document is none"))
}

fn document(row: rows::Model) -> Result<PersistedDocument> {
    Ok(PersistedDocument { id: row.id, hash: hash(&row.hash)?, text: row.body, created_at: row.created_at })
}

fn set(row: sets::Model) -> DocumentSet {
    DocumentSet {
        id: row.id,
        name: row.name,
        active: row.active_number,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

fn version(row: &versions::Model) -> SetVersion {
    SetVersion { set: row.set_id, number: row.number, documents: row.documents, created_at: row.created_at }
}

/// The rows of the documents that are registered.
pub(super) async fn documents_by_hash(
    tx: &mut TenantTx,
    hashes: impl IntoIterator<Item = DocumentHash>,
) -> Result<HashMap<DocumentHash, PersistedDocumentId>> {
    let hashes = hashes.into_iter().map(DocumentHash::to_vec);
    let found = tx.select::<rows::Entity>().is_in(rows::Column::Hash, hashes).all().await?;
    found.into_iter().map(|row| Ok((hash(&row.hash)?, row.id))).collect()
}

pub(super) async fn documents_count(tx: &mut TenantTx) -> Result<i64> {
    Ok(tx.select::<rows::Entity>().count().await?)
}

/// Those that are there stay.
pub(super) async fn documents_insert(
    tx: &mut TenantTx,
    documents: impl IntoIterator<Item = PersistedDocument>,
) -> Result<()> {
    let row = |document: PersistedDocument| rows::ActiveModel {
        id: Set(document.id),
        hash: Set(document.hash.to_vec()),
        body: Set(document.text),
        created_at: Set(document.created_at),
        ..Default::default()
    };
    tx.insert_many(documents.into_iter().map(row).collect(), OnConflict::Keep).await?;
    Ok(())
}

pub(super) async fn documents_delete(tx: &mut TenantTx, hashes: impl IntoIterator<Item = DocumentHash>) -> Result<()> {
    let hashes = hashes.into_iter().map(DocumentHash::to_vec);
    tx.delete::<rows::Entity>().is_in(rows::Column::Hash, hashes).execute().await?;
    Ok(())
}

/// The text of a document that is registered.
pub(super) async fn document_body(tx: &mut TenantTx, hash: DocumentHash) -> Result<Option<String>> {
    let row = tx.select::<rows::Entity>().eq(rows::Column::Hash, hash.to_vec()).one().await?;
    Ok(row.map(|row| row.body))
}

pub(super) async fn documents_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = PersistedDocumentId>,
) -> Result<Vec<PersistedDocument>> {
    let select = tx.select::<rows::Entity>().is_in(rows::Column::Id, ids);
    select.limit(1_000).all().await?.into_iter().map(document).collect()
}

/// A page of documents, or of those with one of these hashes; oldest first.
pub(super) async fn documents_page(
    tx: &mut TenantTx,
    hashes: Option<Vec<DocumentHash>>,
    page: &Page<PersistedDocumentId>,
) -> Result<Paged<PersistedDocument>> {
    let select = tx.select::<rows::Entity>();
    let select = match hashes {
        Some(hashes) => select.is_in(rows::Column::Hash, hashes.into_iter().map(DocumentHash::to_vec)),
        None => select,
    };
    let found = page.keyset(select, rows::Column::Id).all().await?;
    Ok(page.finish(found.into_iter().map(document).collect::<Result<_>>()?))
}

pub(super) async fn sets_count(tx: &mut TenantTx) -> Result<i64> {
    Ok(tx.select::<sets::Entity>().count().await?)
}

pub(super) async fn set_insert(tx: &mut TenantTx, set: &DocumentSet) -> Result<()> {
    let row = sets::ActiveModel {
        id: Set(set.id),
        name: Set(set.name.clone()),
        active_number: Set(set.active),
        version: Set(set.version),
        created_at: Set(set.created_at),
        updated_at: Set(set.updated_at),
        ..Default::default()
    };
    Ok(tx.insert(row).await?)
}

pub(super) async fn set_find(tx: &mut TenantTx, id: DocumentSetId) -> Result<Option<DocumentSet>> {
    Ok(tx.select::<sets::Entity>().eq(sets::Column::Id, id).one().await?.map(set))
}

/// The set, until the end of the transaction nobody else's to change.
pub(super) async fn set_lock(tx: &mut TenantTx, id: DocumentSetId) -> Result<Option<DocumentSet>> {
    Ok(tx.select::<sets::Entity>().eq(sets::Column::Id, id).for_update().one().await?.map(set))
}

pub(super) async fn sets_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = DocumentSetId>,
) -> Result<Vec<DocumentSet>> {
    let select = tx.select::<sets::Entity>().is_in(sets::Column::Id, ids);
    Ok(select.limit(1_000).all().await?.into_iter().map(set).collect())
}

pub(super) async fn sets_page(tx: &mut TenantTx, page: &Page<DocumentSetId>) -> Result<Paged<DocumentSet>> {
    let found = page.keyset(tx.select::<sets::Entity>(), sets::Column::Id).all().await?;
    Ok(page.finish(found.into_iter().map(set).collect()))
}

/// Has a version hold; the set is locked and at the version that is named.
pub(super) async fn set_activate(tx: &mut TenantTx, at: At, seen: i64, now: Timestamp) -> Result<()> {
    let update = tx.update::<sets::Entity>().eq(sets::Column::Id, at.0).eq(sets::Column::Version, seen);
    let update = update.set(sets::Column::ActiveNumber, at.1).set(sets::Column::Version, seen + 1);
    update.set(sets::Column::UpdatedAt, now).execute().await?;
    Ok(())
}

pub(super) async fn version_newest(tx: &mut TenantTx, set: DocumentSetId) -> Result<Option<i32>> {
    let select = tx.select::<versions::Entity>().eq(versions::Column::SetId, set);
    Ok(select.order_by_desc(versions::Column::Number).one().await?.map(|row| row.number))
}

pub(super) async fn version_exists(tx: &mut TenantTx, set: DocumentSetId, number: i32) -> Result<bool> {
    let select = tx.select::<versions::Entity>().eq(versions::Column::SetId, set);
    Ok(select.eq(versions::Column::Number, number).one().await?.is_some())
}

pub(super) async fn version_insert(
    tx: &mut TenantTx,
    version: SetVersion,
    members: &BTreeSet<DocumentHash>,
) -> Result<()> {
    tx.insert(versions::ActiveModel {
        set_id: Set(version.set),
        number: Set(version.number),
        documents: Set(version.documents),
        created_at: Set(version.created_at),
        ..Default::default()
    })
    .await?;
    let row = |hash: &DocumentHash| members_of::ActiveModel {
        set_id: Set(version.set),
        number: Set(version.number),
        hash: Set(hash.to_vec()),
        ..Default::default()
    };
    tx.insert_many(members.iter().map(row).collect(), OnConflict::Fail).await?;
    Ok(())
}

/// The versions of sets, the newest first.
pub(super) async fn versions_of(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = DocumentSetId>,
) -> Result<Vec<SetVersion>> {
    let select = tx.select::<versions::Entity>().is_in(versions::Column::SetId, ids);
    let found = select.order_by_desc(versions::Column::Number).all().await?;
    Ok(found.iter().map(version).collect())
}

/// Deletes the versions of a set up to one.
pub(super) async fn versions_forget(tx: &mut TenantTx, set: DocumentSetId, last: i32) -> Result<()> {
    let members = tx.delete::<members_of::Entity>().eq(members_of::Column::SetId, set);
    members.lt(members_of::Column::Number, last.saturating_add(1)).execute().await?;
    let old = tx.delete::<versions::Entity>().eq(versions::Column::SetId, set);
    old.lt(versions::Column::Number, last.saturating_add(1)).execute().await?;
    Ok(())
}

/// Whether a version of a set has a document.
pub(super) async fn is_member(tx: &mut TenantTx, at: At, hash: DocumentHash) -> Result<bool> {
    let select = tx.select::<members_of::Entity>().eq(members_of::Column::SetId, at.0);
    let select = select.eq(members_of::Column::Number, at.1).eq(members_of::Column::Hash, hash.to_vec());
    Ok(select.one().await?.is_some())
}

/// The documents of a version, registered or not.
pub(super) async fn members(tx: &mut TenantTx, at: At) -> Result<Vec<DocumentHash>> {
    let select = tx.select::<members_of::Entity>().eq(members_of::Column::SetId, at.0);
    let found = select.eq(members_of::Column::Number, at.1).all().await?;
    found.iter().map(|row| hash(&row.hash)).collect()
}
