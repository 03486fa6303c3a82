//! What many objects of one answer need, by one statement each.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use carillon_domain::ids::{DocumentSetId, PersistedDocumentId};
use carillon_domain::persisted::{
    DocumentSet, PersistedDocument, SetVersion, find_document_sets, find_documents, versions_of_sets,
};
use carillon_domain::tenancy::ReadDocuments;

use crate::graphql::loader::{LoadError, Rows};

/// The versions of a document set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionsOf(pub DocumentSetId);

impl Loader<PersistedDocumentId> for Rows {
    type Value = PersistedDocument;
    type Error = LoadError;

    async fn load(
        &self,
        keys: &[PersistedDocumentId],
    ) -> Result<HashMap<PersistedDocumentId, PersistedDocument>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadDocuments>().await?;
        let found = find_documents(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|document| (document.id, document)).collect())
    }
}

impl Loader<DocumentSetId> for Rows {
    type Value = DocumentSet;
    type Error = LoadError;

    async fn load(&self, keys: &[DocumentSetId]) -> Result<HashMap<DocumentSetId, DocumentSet>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadDocuments>().await?;
        let found = find_document_sets(&grant, &mut tx, keys.to_vec()).await?;
        Ok(found.into_iter().map(|set| (set.id, set)).collect())
    }
}

impl Loader<VersionsOf> for Rows {
    type Value = Vec<SetVersion>;
    type Error = LoadError;

    async fn load(&self, keys: &[VersionsOf]) -> Result<HashMap<VersionsOf, Vec<SetVersion>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadDocuments>().await?;
        let sets: Vec<DocumentSetId> = keys.iter().map(|key| key.0).collect();
        let mut found: HashMap<VersionsOf, Vec<SetVersion>> = HashMap::new();
        for version in versions_of_sets(&grant, &mut tx, sets).await? {
            found.entry(VersionsOf(version.set)).or_default().push(version);
        }
        Ok(found)
    }
}
