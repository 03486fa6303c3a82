//! Persisted documents and sets, as the API shows them.

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use carillon_domain::ids::{DocumentSetId, PersistedDocumentId};
use carillon_domain::persisted as domain;
use chrono::{DateTime, Utc};

use super::loaders::VersionsOf;
use crate::graphql::loader;

/// A document that is run by its id.
#[derive(Debug, Clone)]
pub struct PersistedDocument(pub domain::PersistedDocument);

impl PersistedDocument {
    /// The document with this id.
    pub async fn find(ctx: &Context<'_>, id: PersistedDocumentId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

/// A GraphQL document that is run by the hash of its text.
#[Object]
impl PersistedDocument {
    /// Its id as an object.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// What it is run by, as `documentId` of a request: `sha256:` and the hash of the text in hexadecimal digits.
    async fn document_id(&self) -> String {
        self.0.hash.to_string()
    }

    /// Its text.
    async fn text(&self) -> &str {
        &self.0.text
    }

    /// When it was registered.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// Which documents an API key may run, if it is held to them.
#[derive(Debug, Clone)]
pub struct DocumentSet(pub domain::DocumentSet);

impl DocumentSet {
    /// The set with this id.
    pub async fn find(ctx: &Context<'_>, id: DocumentSetId) -> Result<Option<Self>> {
        Ok(loader::of(ctx).load_one(id).await?.map(Self))
    }
}

/// Which documents an API key may run, if it is held to them: the version of the set that holds says it.
#[Object]
impl DocumentSet {
    /// Its id.
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// Its name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The number of the version that holds; null before the first, when nothing may be run.
    async fn active_number(&self) -> Option<i32> {
        self.0.active
    }

    /// Counts changes; putting a version back names the one that was seen.
    async fn version(&self) -> i64 {
        self.0.version
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When another version began to hold.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }

    /// Its versions, the newest first: the fifty newest are kept.
    async fn versions(&self, ctx: &Context<'_>) -> Result<Vec<DocumentSetVersion>> {
        let versions = loader::of(ctx).load_one(VersionsOf(self.0.id)).await?;
        Ok(versions.unwrap_or_default().into_iter().map(DocumentSetVersion::from).collect())
    }
}

/// A version of a document set; it never changes. `persistedDocuments` tells what it has.
#[derive(Debug, SimpleObject)]
pub struct DocumentSetVersion {
    /// Counts from one.
    number: i32,
    /// How many documents it was published with.
    document_count: i32,
    /// When it was published.
    created_at: DateTime<Utc>,
}

impl From<domain::SetVersion> for DocumentSetVersion {
    fn from(version: domain::SetVersion) -> Self {
        Self { number: version.number, document_count: version.documents, created_at: version.created_at }
    }
}
