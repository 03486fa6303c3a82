//! Batched reads: what many objects of one answer need is loaded by one statement (L5).
//!
//! One [`Loaders`] per request stands in its data. Each aggregate's `loaders.rs` has its kinds of keys and their `impl Loader<Key> for Rows`.

use std::any::Any;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Context;
use async_graphql::dataloader::DataLoader;
use carillon_domain::error::Error;

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

/// Lists by the page that is asked of each: a document has few places that ask, and many lists at each.
pub fn by_page<L, P: Eq + Hash>(keys: impl IntoIterator<Item = (L, P)>) -> HashMap<P, Vec<L>> {
    let mut pages: HashMap<P, Vec<L>> = HashMap::new();
    for (list, page) in keys {
        pages.entry(page).or_default().push(list);
    }
    pages
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
