//! Reading persisted documents and sets.

use async_graphql::{Context, Object, Result};
use carillon_domain::error::Error;
use carillon_domain::persisted::{document_sets, documents};
use carillon_domain::tenancy::ReadDocuments;

use super::inputs::DocumentsWithinInput;
use super::types::{DocumentSet, PersistedDocument};
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::scope::RequestScope;

/// Queries of persisted documents.
#[derive(Debug, Default)]
pub struct PersistedQuery;

#[Object]
impl PersistedQuery {
    /// The tenant's persisted documents, oldest first.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn persisted_documents(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
        #[graphql(desc = "Those of a document set alone.")] within: Option<DocumentsWithinInput>,
    ) -> Result<List<PersistedDocument>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let within = within.as_ref().map(DocumentsWithinInput::parse).transpose().map_err(Error::from)?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadDocuments>().await?;
        let found = documents(&grant, &mut tx, within, &page).await?;
        Ok(list(found, |document| document.id, PersistedDocument))
    }

    /// The tenant's document sets, oldest first.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn document_sets(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<DocumentSet>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadDocuments>().await?;
        Ok(list(document_sets(&grant, &mut tx, &page).await?, |set| set.id, DocumentSet))
    }
}
