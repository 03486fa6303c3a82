//! Following: what is told is not the state of something, but all that was added to it, one page after the other.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::Context;
use carillon_domain::error::Result;
use futures::{Stream, stream};
use tokio::time::Instant;

use super::may_pass;
use super::watcher::Watcher;
use crate::graphql::scope::RequestScope;

/// Who hears nothing because nothing of it is for them is told after so long how far they are.
const QUIET: Duration = Duration::from_mins(10);

/// What one look gave.
#[derive(Debug)]
pub struct Step<S, P> {
    /// Where to go on.
    pub state: S,
    /// What to tell.
    pub page: P,
    /// Nothing of it is for who listens.
    pub is_empty: bool,
    /// Nothing was read at all.
    pub is_still: bool,
    /// More is there already.
    pub has_more: bool,
}

/// What `step` gives from a state on: at once, as long as there is more, and again whenever what `read` gives has changed.
/// The first page is told even if it is empty. A fault that may pass is waited out, once something was told.
pub fn follow<S, P, H, R, F, N, G>(
    ctx: &Context<'_>,
    (field, argument): (&'static str, u128),
    read: R,
    (state, step): (S, N),
) -> impl Stream<Item = Result<P>> + Send + use<S, P, H, R, F, N, G>
where
    S: Clone + Send + 'static,
    P: Send + 'static,
    H: PartialEq + Send + Sync + 'static,
    R: Fn(RequestScope) -> F + Send + Sync + 'static,
    F: Future<Output = Result<H>> + Send,
    N: Fn(RequestScope, S, Arc<H>) -> G + Send + Sync + 'static,
    G: Future<Output = Result<Step<S, P>>> + Send,
{
    let watcher = Watcher::new(ctx, (field, argument), read);
    let follower = Follower { watcher, head: None, state, step, told_at: None };
    stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        let told = follower.next().await;
        let is_over = told.is_err();
        Some((told, (!is_over).then_some(follower)))
    })
}

struct Follower<S, H, R, N> {
    watcher: Watcher<H, R>,
    /// What was seen last, while there is more up to it.
    head: Option<Arc<H>>,
    state: S,
    step: N,
    told_at: Option<Instant>,
}

impl<S, P, H, R, F, N, G> Follower<S, H, R, N>
where
    S: Clone,
    H: PartialEq + Send + Sync + 'static,
    R: Fn(RequestScope) -> F,
    F: Future<Output = Result<H>>,
    N: Fn(RequestScope, S, Arc<H>) -> G,
    G: Future<Output = Result<Step<S, P>>>,
{
    /// The next page. Its transaction stays open for the fields that are asked of it.
    async fn next(&mut self) -> Result<P> {
        loop {
            let head = match self.head.take() {
                Some(head) => {
                    self.watcher.begin().await;
                    head
                }
                None => self.watcher.next().await?,
            };
            match (self.step)(self.watcher.scope.clone(), self.state.clone(), Arc::clone(&head)).await {
                Ok(step) => {
                    self.state = step.state;
                    self.head = step.has_more.then_some(head);
                    let is_due = match self.told_at {
                        None => true,
                        Some(told) => !step.is_empty || (!step.is_still && told.elapsed() > QUIET),
                    };
                    if is_due {
                        self.told_at = Some(Instant::now());
                        return Ok(step.page);
                    }
                }
                Err(error) if self.told_at.is_some() && may_pass(&error) => {
                    self.head = Some(head);
                    self.watcher.scope.end_reading().await;
                    self.watcher.wait().await;
                }
                Err(error) => return Err(error),
            }
            self.watcher.scope.end_reading().await;
        }
    }
}
