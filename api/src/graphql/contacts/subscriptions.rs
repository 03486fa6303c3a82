//! What can be watched of imports.

use async_graphql::{Context, ID, Result, Subscription};
use carillon_domain::contacts::import::{self as domain, ImportState, get_import};
use carillon_domain::error::Refusal;
use carillon_domain::ids::ImportId;
use carillon_domain::tenancy::ImportContacts;
use futures::{Stream, StreamExt as _};

use super::import_types::Import;
use crate::graphql::live::watch;
use crate::graphql::node::parse_id;
use crate::graphql::scope::RequestScope;

/// Subscriptions to imports.
#[derive(Debug, Default)]
pub struct ImportSubscription;

#[Subscription]
#[expect(clippy::unused_async, reason = "the library wants it")]
impl ImportSubscription {
    /// An import as it is, and again whenever it moved on, at most once a second; ends when the import has ended.
    async fn import_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Result<impl Stream<Item = Result<Import>>> {
        let id: ImportId = parse_id(&id, "id").map_err(carillon_domain::error::Error::from)?;
        let is_over = |import: &domain::Import| matches!(import.state, ImportState::Completed | ImportState::Failed);
        let subject = ("importProgress", id.0.as_u128());
        let imports = watch(ctx, subject, move |scope| find(scope, id), is_over);
        Ok(imports.map(|import| Ok(Import::from(import?))))
    }
}

async fn find(scope: RequestScope, id: ImportId) -> carillon_domain::error::Result<domain::Import> {
    let (grant, mut tx) = scope.read::<ImportContacts>().await?;
    get_import(&grant, &mut tx, id).await?.ok_or_else(|| Refusal::not_found("id").into())
}
