//! Whom a condition means.

use async_graphql::{Context, Object, Result};
use carillon_domain::error::Error;
use carillon_domain::ids::ContactId;
use carillon_domain::segments::{Condition, compile, count_matching, matching_contacts};
use carillon_domain::tenancy::ReadPersonalData;

use super::inputs::ConditionInput;
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::contacts::Contact;
use crate::graphql::leaves::Row;
use crate::graphql::scope::RequestScope;

/// Queries about conditions.
#[derive(Debug, Default)]
pub struct SegmentQuery;

#[Object]
impl SegmentQuery {
    /// Whom a condition holds for at this moment. Needs the right to see personal data: who may not see it may not guess
    /// it either.
    async fn matching_contacts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The condition.")] condition: ConditionInput,
    ) -> Result<MatchingContacts> {
        let scope = RequestScope::of(ctx);
        // The permission is asked for here, and the transaction serves what the fields read.
        drop(scope.read::<ReadPersonalData>().await?);
        let condition = condition.parse("condition").map_err(Error::Refused)?;
        compile(&condition, scope.ports().now()).map_err(Error::Refused)?;
        Ok(MatchingContacts(condition))
    }
}

/// Those a condition holds for.
#[derive(Debug)]
pub struct MatchingContacts(Condition);

/// Those a condition holds for.
#[Object]
impl MatchingContacts {
    /// How many there are; null where it would mean to look at more than 50,000 people one by one, for their topics.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<Option<i64>> {
        let scope = RequestScope::of(ctx);
        let (grant, mut tx) = scope.read::<ReadPersonalData>().await?;
        Ok(count_matching(&grant, &mut tx, scope.ports(), &self.0).await?)
    }

    /// Who they are, in the order in which they were made.
    async fn contacts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
    ) -> Result<List<Row<Contact>>> {
        let page = PageArgs::forward(first, after).page::<ContactId>()?;
        let scope = RequestScope::of(ctx);
        let (grant, mut tx) = scope.read::<ReadPersonalData>().await?;
        let found = matching_contacts(&grant, &mut tx, scope.ports(), &self.0, page).await?;
        Ok(list(found, |contact| contact.id, |card| Row(Contact::from(card))))
    }
}
