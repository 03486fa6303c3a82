//! What many contacts or messages of one answer need of consent, by one statement each.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use carillon_domain::consent::{
    Brand, ConsentEvent, ConsentView, Recipient, Suppression, Topic, find_brands, find_consent_events,
    find_suppressions, find_topics, list_consents, list_ledgers,
};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::ids::{BrandId, ConsentEventId, SuppressionId, TopicId};
use carillon_domain::paging::{Ahead, Paged};
use carillon_domain::tenancy::{ReadConsent, ReadTenant};

use crate::graphql::loader::{LoadError, Rows, by_page};
use crate::graphql::scope::RequestScope;

/// What the person of an address said, a topic each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsentsOf(pub EmailAddress);

/// A page of the ledger of an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LedgerOf(pub EmailAddress, pub Ahead<ConsentEventId>);

/// The people of addresses, with the tenant's peppers derived once.
fn recipients<'a>(
    scope: &RequestScope,
    emails: impl IntoIterator<Item = &'a EmailAddress>,
) -> Result<Vec<Recipient>, LoadError> {
    let peppers = scope.ports().keys.address_hasher(scope.tenant()?.tenant());
    Ok(emails.into_iter().map(|email| Recipient::hashed(&peppers, email)).collect())
}

impl Loader<ConsentsOf> for Rows {
    type Value = Vec<ConsentView>;
    type Error = LoadError;

    async fn load(&self, keys: &[ConsentsOf]) -> Result<HashMap<ConsentsOf, Vec<ConsentView>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadConsent>().await?;
        let recipients = recipients(&self.0, keys.iter().map(|key| &key.0))?;
        let found = list_consents(&grant, &mut tx, &recipients).await?;
        Ok(keys.iter().cloned().zip(found).collect())
    }
}

impl Loader<LedgerOf> for Rows {
    type Value = Paged<ConsentEvent>;
    type Error = LoadError;

    async fn load(&self, keys: &[LedgerOf]) -> Result<HashMap<LedgerOf, Paged<ConsentEvent>>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadConsent>().await?;
        let mut found = HashMap::new();
        for (page, emails) in by_page(keys.iter().map(|key| (&key.0, key.1))) {
            let recipients = recipients(&self.0, emails.iter().copied())?;
            let ledgers = list_ledgers(&grant, &mut tx, &recipients, page).await?;
            found.extend(emails.into_iter().map(|email| LedgerOf(email.clone(), page)).zip(ledgers));
        }
        Ok(found)
    }
}

impl Loader<BrandId> for Rows {
    type Value = Brand;
    type Error = LoadError;

    async fn load(&self, keys: &[BrandId]) -> Result<HashMap<BrandId, Brand>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadTenant>().await?;
        let found = find_brands(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|brand| (brand.id, brand)).collect())
    }
}

impl Loader<TopicId> for Rows {
    type Value = Topic;
    type Error = LoadError;

    async fn load(&self, keys: &[TopicId]) -> Result<HashMap<TopicId, Topic>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadTenant>().await?;
        let found = find_topics(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|topic| (topic.id, topic)).collect())
    }
}

impl Loader<ConsentEventId> for Rows {
    type Value = ConsentEvent;
    type Error = LoadError;

    async fn load(&self, keys: &[ConsentEventId]) -> Result<HashMap<ConsentEventId, ConsentEvent>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadConsent>().await?;
        let found = find_consent_events(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|event| (event.id, event)).collect())
    }
}

impl Loader<SuppressionId> for Rows {
    type Value = Suppression;
    type Error = LoadError;

    async fn load(&self, keys: &[SuppressionId]) -> Result<HashMap<SuppressionId, Suppression>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadConsent>().await?;
        let found = find_suppressions(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|one| (one.id, one)).collect())
    }
}
