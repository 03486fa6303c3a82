//! Places: where a stream of events goes on for who comes again, and where each of its answers ends.
//!
//! Server-sent events have ids for that. Whoever is cut off says the last they were told in `Last-Event-ID`, beside the request
//! that they made before. Over a socket there are no ids, and nobody asks for what is kept here.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::Context;

/// The places of one subscription; cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Places(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    after: Option<String>,
    reached: Mutex<Option<String>>,
}

impl Places {
    /// Those of a stream that begins behind this one, if whoever asks for it named one.
    pub fn behind(after: Option<String>) -> Self {
        Self(Arc::new(Inner { after, reached: Mutex::default() }))
    }

    /// Those of the subscription that runs.
    pub fn of(ctx: &Context<'_>) -> Self {
        ctx.data_opt::<Self>().cloned().unwrap_or_default()
    }

    /// The place to begin behind, of one that was told and one that the document has: who connects again sends the same
    /// document, so what they were told is later.
    pub fn after(&self, argument: Option<String>) -> Option<String> {
        self.0.after.clone().or(argument)
    }

    /// The answer at hand ends here.
    pub fn reach(&self, place: &str) {
        *self.0.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(place.to_owned());
    }

    /// Where the answer at hand ends; none where it has no place.
    pub fn take(&self) -> Option<String> {
        self.0.reached.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
