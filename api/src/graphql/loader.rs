//! Batched reads: what many objects of one answer need is loaded by one statement (L5).
//!
//! One [`Loaders`] per request stands in its data. An aggregate adds a kind of key and its `impl Loader<Key> for Rows`.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Context;
use async_graphql::dataloader::{DataLoader, Loader};
use carillon_domain::consent::{Brand, Topic, find_brands, find_topics};
use carillon_domain::contacts::{Contact, get_contacts};
use carillon_domain::error::Error;
use carillon_domain::ids::{BrandId, ContactId, TopicId};
use carillon_domain::tenancy::{ReadContacts, ReadTenant};

use super::rounds::Rounds;
use super::scope::RequestScope;

/// What loads rows: the request's scope.
#[derive(Debug, Clone)]
pub struct Rows(pub RequestScope);

/// The loaders of one request.
pub type Loaders = DataLoader<Rows>;

/// The loaders of a request.
pub fn loaders(scope: &RequestScope, rounds: Rounds) -> Loaders {
    // `rounds` says when a batch is complete; time has no part in it.
    DataLoader::new(Rows(scope.clone()), move |batch| rounds.add(batch)).delay(Duration::ZERO)
}

/// The loaders of the request a resolver runs in.
pub fn of<'a>(ctx: &'a Context<'_>) -> &'a Loaders {
    ctx.data_unchecked::<Loaders>()
}

/// A domain error that all who wait for one batch get.
#[derive(Debug, Clone)]
pub struct LoadError(Arc<Error>);

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        Self(Arc::new(error))
    }
}

impl From<LoadError> for async_graphql::Error {
    /// Keeps the domain error as the source, by which the edge gives it its code.
    fn from(error: LoadError) -> Self {
        let source: Arc<dyn Any + Send + Sync> = error.0.clone();
        Self { message: error.0.to_string(), source: Some(source), extensions: None }
    }
}

impl Loader<ContactId> for Rows {
    type Value = Contact;
    type Error = LoadError;

    async fn load(&self, keys: &[ContactId]) -> Result<HashMap<ContactId, Contact>, LoadError> {
        let (grant, mut tx) = self.0.read::<ReadContacts>().await?;
        let found = get_contacts(&grant, &mut tx, keys).await?;
        Ok(found.into_iter().map(|contact| (contact.id, contact)).collect())
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
