//! Reading brands, topics, suppressions and what contacts said.

use async_graphql::{Context, Object, Result};
use carillon_domain::consent::{
    ConsentView, Recipient, find_brands, find_topics, list_brands, list_consents, list_ledger, list_suppressions,
    suppressions_of,
};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::error::{Error, Refusal};
use carillon_domain::ids::{BrandId, TopicId};
use carillon_domain::paging::{Page, Paged};
use carillon_domain::tenancy::{ReadConsent, ReadTenant};

use super::types::{Brand, ConsentEvent, ConsentState, Suppression, Topic};
use crate::graphql::connection::{List, PageArgs, list};
use crate::graphql::scope::RequestScope;

/// Queries about consent.
#[derive(Debug, Default)]
pub struct ConsentQuery;

#[Object]
impl ConsentQuery {
    /// The names under which the tenant writes, oldest first.
    async fn brands(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> Result<List<Brand>> {
        let page = PageArgs::forward(first, after).page().map_err(Error::from)?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadTenant>().await?;
        Ok(list(list_brands(&grant, &mut tx, &page).await?, |brand| brand.id, Brand::from))
    }

    /// What people can agree to, oldest first; each brand's reserved topic too.
    async fn topics(&self, ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> Result<List<Topic>> {
        let page = PageArgs::forward(first, after).page().map_err(Error::from)?;
        let (grant, mut tx) = RequestScope::of(ctx).read::<ReadTenant>().await?;
        let topics = carillon_domain::consent::list_topics(&grant, &mut tx, &page).await?;
        Ok(list(topics, |topic| topic.id, Topic::from))
    }

    /// What is never written to, oldest first; with `email` only what stands against that address.
    async fn suppressions(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        email: Option<String>,
    ) -> Result<List<Suppression>> {
        let page = PageArgs::forward(first, after).page().map_err(Error::from)?;
        let scope = RequestScope::of(ctx);
        let (grant, mut tx) = scope.read::<ReadConsent>().await?;
        let page = match email {
            None => list_suppressions(&grant, &mut tx, &page).await?,
            Some(email) => {
                let email = EmailAddress::parse(email.trim()).map_err(Refusal::from).map_err(Error::from)?;
                let recipient = Recipient::of_email(&scope.ports().keys, grant.tenant(), &email);
                // An address has one per scope and reason, so they are one page.
                let items = suppressions_of(&mut tx, &[recipient]).await?.into_iter().flatten().collect();
                Paged { items, has_next: false, has_previous: false }
            }
        };
        Ok(list(page, |suppression| suppression.id, Suppression::from))
    }
}

/// The brand of an id, for `node`.
pub async fn load_brand(ctx: &Context<'_>, id: BrandId) -> Result<Option<Brand>> {
    let (grant, mut tx) = RequestScope::of(ctx).read::<ReadTenant>().await?;
    Ok(find_brands(&grant, &mut tx, &[id]).await?.into_iter().next().map(Brand::from))
}

/// The topic of an id, for `node`.
pub async fn load_topic(ctx: &Context<'_>, id: TopicId) -> Result<Option<Topic>> {
    let (grant, mut tx) = RequestScope::of(ctx).read::<ReadTenant>().await?;
    Ok(find_topics(&grant, &mut tx, &[id]).await?.into_iter().next().map(Topic::from))
}

/// What the person of an address said, a topic each, for `Contact.consents`.
pub async fn consents(ctx: &Context<'_>, email: Option<&EmailAddress>) -> Result<Vec<ConsentState>> {
    Ok(consents_of(ctx, &[email]).await?.pop().unwrap_or_default())
}

/// The same for a page of contacts, an answer each, in one statement.
pub async fn consents_of(ctx: &Context<'_>, emails: &[Option<&EmailAddress>]) -> Result<Vec<Vec<ConsentState>>> {
    let scope = RequestScope::of(ctx);
    let (grant, mut tx) = scope.read::<ReadConsent>().await?;
    let peppers = scope.ports().keys.address_hasher(grant.tenant());
    let recipients: Vec<Recipient> = emails.iter().flatten().map(|email| Recipient::hashed(&peppers, email)).collect();
    let mut found = list_consents(&grant, &mut tx, &recipients).await?.into_iter();
    let states = |views: Vec<ConsentView>| views.into_iter().map(ConsentState::from).collect();
    Ok(emails.iter().map(|email| email.and_then(|_| found.next()).map(states).unwrap_or_default()).collect())
}

/// The ledger of an address, oldest first, for `Contact.ledger`.
pub async fn ledger(ctx: &Context<'_>, email: Option<&EmailAddress>, args: PageArgs) -> Result<List<ConsentEvent>> {
    let page: Page<_> = args.page().map_err(Error::from)?;
    let scope = RequestScope::of(ctx);
    let (grant, mut tx) = scope.read::<ReadConsent>().await?;
    let events = match email {
        Some(email) => {
            let recipient = Recipient::of_email(&scope.ports().keys, grant.tenant(), email);
            list_ledger(&grant, &mut tx, &recipient, &page).await?
        }
        None => Paged { items: Vec::new(), has_next: false, has_previous: false },
    };
    Ok(list(events, |event| event.id, ConsentEvent::from))
}
