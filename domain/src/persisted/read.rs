//! Reading documents and sets, and the one question that running a document asks.

use carillon_entities::ids::{DocumentSetId, PersistedDocumentId};
use carillon_entities::wall::TenantTx;

use super::{DocumentHash, DocumentSet, PersistedDocument, SetVersion, store};
use crate::error::{Refusal, Result};
use crate::paging::{Page, Paged};
use crate::tenancy::{AdministerTenant, Grant, ReadDocuments, RunDocuments};

/// The documents of a set's version that are registered.
#[derive(Debug, Clone, Copy)]
pub struct Within {
    /// Which set.
    pub set: DocumentSetId,
    /// Which of its versions; the one that holds if none is named.
    pub number: Option<i32>,
}

/// The text of a document that the caller may run: one that is registered, and in the version that holds of the set that they
/// are held to.
pub async fn document_text(
    _: &Grant<RunDocuments>,
    tx: &mut TenantTx,
    held_to: Option<DocumentSetId>,
    hash: DocumentHash,
) -> Result<Option<String>> {
    if let Some(set) = held_to {
        let active = store::set_find(tx, set).await?.and_then(|set| set.active);
        let Some(number) = active else { return Ok(None) };
        if !store::is_member(tx, (set, number), hash).await? {
            return Ok(None);
        }
    }
    store::document_body(tx, hash).await
}

/// A page of documents, oldest first.
///
/// # Errors
/// `NOT_FOUND` for a set or a version that is not there.
pub async fn documents(
    _: &Grant<ReadDocuments>,
    tx: &mut TenantTx,
    within: Option<Within>,
    page: &Page<PersistedDocumentId>,
) -> Result<Paged<PersistedDocument>> {
    let Some(Within { set, number }) = within else { return store::documents_page(tx, None, page).await };
    let found = store::set_find(tx, set).await?.ok_or_else(|| Refusal::not_found("documentSetId"))?;
    let members = match number.or(found.active) {
        Some(number) if store::version_exists(tx, set, number).await? => store::members(tx, (set, number)).await?,
        Some(_) => return Err(Refusal::not_found("number").into()),
        None => Vec::new(),
    };
    store::documents_page(tx, Some(members), page).await
}

/// Documents by id, in no order; unknown ids are left out.
pub async fn find_documents(
    _: &Grant<ReadDocuments>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = PersistedDocumentId>,
) -> Result<Vec<PersistedDocument>> {
    store::documents_find(tx, ids).await
}

/// A page of sets, oldest first.
pub async fn document_sets(
    _: &Grant<ReadDocuments>,
    tx: &mut TenantTx,
    page: &Page<DocumentSetId>,
) -> Result<Paged<DocumentSet>> {
    store::sets_page(tx, page).await
}

/// Sets by id, in no order; unknown ids are left out.
pub async fn find_document_sets(
    _: &Grant<ReadDocuments>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = DocumentSetId>,
) -> Result<Vec<DocumentSet>> {
    store::sets_find(tx, ids).await
}

/// The versions of sets that are kept, the newest first.
pub async fn versions_of_sets(
    _: &Grant<ReadDocuments>,
    tx: &mut TenantTx,
    sets: impl IntoIterator<Item = DocumentSetId>,
) -> Result<Vec<SetVersion>> {
    store::versions_of(tx, sets).await
}

/// Refuses a set that is not there, before a key is held to it: sets are never deleted.
pub(crate) async fn assert_document_set(
    grant: &Grant<AdministerTenant>,
    set: DocumentSetId,
    field: &'static str,
) -> Result<()> {
    let mut tx = grant.begin_read().await?;
    let found = store::set_find(&mut tx, set).await?;
    tx.commit().await?;
    if found.is_some() { Ok(()) } else { Err(Refusal::not_found(field).into()) }
}
