//! Reading brands, topics, suppressions and what contacts said.

use async_graphql::{Context, Object, Result};
use carillon_domain::consent::{Recipient, list_brands, list_suppressions, list_topics, suppressions_of};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::error::{Error, Refusal};
use carillon_domain::paging::Paged;
use carillon_domain::tenancy::{ReadConsent, ReadPersonalData, ReadTenant};

use super::loaders::{ConsentsOf, LedgerOf};
use super::types::{Brand, ConsentEvent, ConsentState, Suppression, Topic};
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::loader;
use crate::graphql::scope::RequestScope;

/// Queries about consent.
#[derive(Debug, Default)]
pub struct ConsentQuery;

#[Object]
impl ConsentQuery {
    /// The names under which the tenant writes, oldest first.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn brands(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<Brand>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadTenant>().await?;
        Ok(list(list_brands(&grant, &mut tx, &page).await?, |brand| brand.id, Brand::from))
    }

    /// What people can agree to, oldest first; each brand's reserved topic too.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn topics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
    ) -> Result<List<Topic>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadTenant>().await?;
        let topics = list_topics(&grant, &mut tx, &page).await?;
        Ok(list(topics, |topic| topic.id, Topic::from))
    }

    /// What is never written to, oldest first; with `email` only what stands against that address.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn suppressions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows from the start.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Rows from the end.")] last: Option<i32>,
        #[graphql(desc = "The cursor in front of which to end.")] before: Option<String>,
        #[graphql(desc = "Only those of this address.")] email: Option<String>,
    ) -> Result<List<Suppression>> {
        let page = PageArgs { first, after, last, before }.page()?;
        let scope = RequestScope::of(ctx);
        if email.is_some() {
            // Whoever may not see addresses may not guess them either (C-225).
            scope.grant::<ReadPersonalData>()?;
        }
        let (grant, mut tx) = scope.read::<ReadConsent>().await?;
        let page = match email {
            None => list_suppressions(&grant, &mut tx, &page).await?,
            Some(email) => {
                let email = EmailAddress::parse(email.trim()).map_err(Refusal::from).map_err(Error::from)?;
                let recipient = Recipient::of_email(&scope.ports().keys, grant.tenant(), &email);
                // An address has one per scope and reason, so they are one page.
                let items = suppressions_of(&grant, &mut tx, &[recipient]).await?.into_iter().flatten().collect();
                Paged { items, has_next: false, has_previous: false }
            }
        };
        Ok(list(page, |suppression| suppression.id, Suppression::from))
    }
}

/// What the person of an address said, a topic each, for `Contact.consents`.
pub async fn consents(ctx: &Context<'_>, email: Option<&EmailAddress>) -> Result<Vec<ConsentState>> {
    RequestScope::of(ctx).grant::<ReadConsent>()?;
    let Some(email) = email else { return Ok(Vec::new()) };
    let found = loader::of(ctx).load_one(ConsentsOf(email.clone())).await?;
    Ok(found.unwrap_or_default().into_iter().map(ConsentState::from).collect())
}

/// The ledger of an address, oldest first, for `Contact.ledger`.
pub async fn ledger(
    ctx: &Context<'_>,
    email: Option<&EmailAddress>,
    (first, after): (Option<i32>, Option<String>),
) -> Result<List<ConsentEvent>> {
    RequestScope::of(ctx).grant::<ReadConsent>()?;
    let page = PageArgs::ahead(first, after)?;
    let found = match email {
        Some(email) => loader::of(ctx).load_one(LedgerOf(email.clone(), page)).await?,
        None => None,
    };
    Ok(list(found.unwrap_or_else(|| page.empty()), |event| event.id, ConsentEvent::from))
}
