//! Watching: one watcher, who looks when nobody else did.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_graphql::Context;
use carillon_domain::error::Result;
use futures::{Stream, stream};
use tokio::sync::OwnedMutexGuard;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use super::shared::{Seen, Shared, Subject};
use super::{Live, REST, may_pass};
use crate::graphql::scope::RequestScope;

/// What `read` gives, at once and again whenever it changed, until `is_last` of what it gave or until it fails. A fault
/// that may pass is waited out, once something was told. All who watch the subject must read the same.
pub fn watch<T, R, F>(
    ctx: &Context<'_>,
    (field, argument): (&'static str, u128),
    read: R,
    is_last: fn(&T) -> bool,
) -> impl Stream<Item = Result<T>> + Send + use<T, R, F>
where
    T: Clone + PartialEq + Send + Sync + 'static,
    R: Fn(RequestScope) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T>> + Send,
{
    let watcher = Watcher::new(ctx, (field, argument), read);
    stream::unfold(Some(watcher), move |watcher| async move {
        let mut watcher = watcher?;
        let told = watcher.next().await;
        let is_over = told.as_ref().map_or(true, |told| is_last(told));
        Some((told.map(Arc::unwrap_or_clone), (!is_over).then_some(watcher)))
    })
}

/// One who watches.
pub(super) struct Watcher<T, R> {
    pub(super) scope: RequestScope,
    live: Live,
    shared: Arc<Shared>,
    news: Receiver<Option<Instant>>,
    read: R,
    told: Option<Arc<T>>,
    /// What of the shared looks is known here.
    version: Option<u64>,
    /// Until the next look without news.
    pause: Duration,
}

/// What there is to do for who waited.
enum Turn {
    /// Nothing: somebody looked, and nothing changed.
    Rest,
    /// Look, for something changed.
    Changed,
    /// Look, for all.
    Look { _guard: OwnedMutexGuard<()> },
}

impl<T, R, F> Watcher<T, R>
where
    T: PartialEq + Send + Sync + 'static,
    R: Fn(RequestScope) -> F,
    F: Future<Output = Result<T>>,
{
    pub(super) fn new(ctx: &Context<'_>, (field, argument): (&'static str, u128), read: R) -> Self {
        let live = ctx.data_unchecked::<Live>().clone();
        let scope = RequestScope::of(ctx).clone();
        let shared = live.0.subjects.of(Subject { tenant: scope.caller().tenant(), field, argument });
        let news = shared.news.subscribe();
        Self { scope, live, shared, news, read, told: None, version: None, pause: Duration::ZERO }
    }

    /// The next thing to tell. Its transaction stays open for the fields that are asked of it; whoever runs the
    /// subscription ends it.
    pub(super) async fn next(&mut self) -> Result<Arc<T>> {
        loop {
            let turn = if self.told.is_some() {
                self.wait().await;
                self.turn().await
            } else {
                Turn::Changed
            };
            let found = match turn {
                Turn::Rest => {
                    self.grow();
                    continue;
                }
                Turn::Changed | Turn::Look { .. } => self.look().await,
            };
            match found {
                Ok(found) if self.told.as_ref() != Some(&found) => {
                    self.pause = Duration::ZERO;
                    self.told = Some(Arc::clone(&found));
                    return Ok(found);
                }
                Err(error) if self.told.is_none() || !may_pass(&error) => return Err(error),
                Ok(_) | Err(_) => self.grow(),
            }
            self.scope.end_reading().await;
        }
    }

    /// Begins a look that is not for what is watched itself, after the rest that the last one is due.
    pub(super) async fn begin(&self) {
        tokio::time::sleep(self.took().saturating_mul(REST)).await;
        let look = self.live.look(&self.shared).await;
        self.scope.begin_look(look).await;
    }

    async fn look(&mut self) -> Result<Arc<T>> {
        let look = self.live.look(&self.shared).await;
        let began = look.began;
        self.scope.begin_look(look).await;
        match (self.read)(self.scope.clone()).await {
            Ok(found) => {
                let settled = self.shared.settle(began, found);
                self.version = settled.version;
                Ok(settled.found)
            }
            Err(error) => {
                if may_pass(&error) {
                    self.shared.failed(began);
                }
                Err(error)
            }
        }
    }

    /// Waits until somebody has to look.
    pub(super) async fn wait(&mut self) {
        let rest = self.rest();
        self.pause = self.pause.max(rest);
        tokio::time::sleep(rest).await;
        // Without news it is time when nobody has looked for a pause.
        let due = self.shared.seen().began.map_or_else(Instant::now, |began| began + self.pause);
        // The sender lives in `shared`, so there is no end of news.
        let _ = tokio::time::timeout_at(due, self.news.changed()).await;
    }

    async fn turn(&mut self) -> Turn {
        let news = *self.news.borrow_and_update();
        if let Some(turn) = self.turn_by(&self.shared.seen(), news) {
            return turn;
        }
        let guard = Arc::clone(&self.shared.looking).lock_owned().await;
        // Somebody may have looked while this one waited for its turn to.
        self.turn_by(&self.shared.seen(), news).unwrap_or(Turn::Look { _guard: guard })
    }

    /// What there is to do by what others saw; none if nobody looked since there was news, or for a pause.
    fn turn_by(&self, seen: &Seen, news: Option<Instant>) -> Option<Turn> {
        if self.version != Some(seen.version) {
            return Some(Turn::Changed);
        }
        let began = seen.began?;
        // What took longer than this one would have waited is no older for that: or all who waited for it looked in turn.
        let pause = self.pause.max(self.rest());
        let is_fresh = news.is_none_or(|news| began >= news) && began.elapsed() < pause;
        is_fresh.then_some(Turn::Rest)
    }

    fn grow(&mut self) {
        self.pause = (self.pause * 2).min(self.live.0.pace.longest);
    }

    fn rest(&self) -> Duration {
        self.live.0.pace.shortest.max(self.took().saturating_mul(REST))
    }

    /// How long the last look took.
    fn took(&self) -> Duration {
        Duration::from_micros(self.shared.took_us.load(Ordering::Relaxed))
    }
}
