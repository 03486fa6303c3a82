//! Live reads: what a subscription shows is looked at again when it may have changed, and told when it did.
//!
//! Nothing is held while waiting. Each look begins a read transaction of its own, and with it the caller's credential
//! and permission are asked for again (C-213, C-224). Signals say when to look and may be lost, so it is also looked at
//! without them, less often the longer nothing changed. A look lasts until its transaction is over: the fields that are
//! asked of what it found are part of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_graphql::Context;
use carillon_domain::error::{Error, Result};
use futures::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::scope::RequestScope;

/// A look rests at least this many times as long as it took, so that nobody keeps the database busy by watching.
const REST: u32 = 10;

/// How often is looked, and by how many.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Not before so long after the look before: what changes all the time is told this often.
    pub shortest: Duration,
    /// Not later, even when nothing is heard. Below the five seconds in which a credential's end must show (C-224).
    pub longest: Duration,
    /// Looks of one process at the same time: however many watch, other requests find connections free.
    pub at_once: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { shortest: Duration::from_secs(1), longest: Duration::from_secs(4), at_once: 4 }
    }
}

/// What all subscriptions of a process share; cloning shares it.
#[derive(Debug, Clone)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pace: Pace,
    news: watch::Sender<()>,
    looks: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self::new(Pace::default())
    }
}

impl Live {
    /// With a pace of its own.
    pub fn new(pace: Pace) -> Self {
        let looks = Arc::new(Semaphore::new(pace.at_once));
        Self(Arc::new(Inner { pace, news: watch::Sender::new(()), looks }))
    }

    /// Something may have changed.
    pub fn tell(&self) {
        self.0.news.send_replace(());
    }
}

/// One look: its scope keeps it until the transaction is over.
#[derive(Debug)]
pub struct Look {
    began: Instant,
    took_us: Arc<AtomicU64>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Look {
    fn drop(&mut self) {
        let took = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.took_us.store(took, Ordering::Relaxed);
    }
}

/// What `read` gives, at once and again whenever it changed, until `is_last` of what it gave or until it fails. A fault
/// that may pass is waited out, once something was told.
pub fn watch<T, R, F>(
    ctx: &Context<'_>,
    read: R,
    is_last: fn(&T) -> bool,
) -> impl Stream<Item = Result<T>> + Send + use<T, R, F>
where
    T: Clone + PartialEq + Send + Sync + 'static,
    R: Fn(RequestScope) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T>> + Send,
{
    let live = ctx.data_unchecked::<Live>().clone();
    let news = live.0.news.subscribe();
    let scope = RequestScope::of(ctx).clone();
    let watch = Watch { scope, live, news, read, told: None, took_us: Arc::default(), pause: Duration::ZERO };
    stream::unfold(Some(watch), move |watch| async move {
        let mut watch = watch?;
        let told = watch.next().await;
        let is_over = told.as_ref().map_or(true, is_last);
        Some((told, (!is_over).then_some(watch)))
    })
}

struct Watch<T, R> {
    scope: RequestScope,
    live: Live,
    news: watch::Receiver<()>,
    read: R,
    told: Option<T>,
    /// How long the last look took.
    took_us: Arc<AtomicU64>,
    /// Until the next look without news.
    pause: Duration,
}

impl<T: Clone + PartialEq, R: Fn(RequestScope) -> F, F: Future<Output = Result<T>>> Watch<T, R> {
    /// The next thing to tell. Its transaction stays open for the fields that are asked of it; whoever runs the
    /// subscription ends it.
    async fn next(&mut self) -> Result<T> {
        loop {
            if self.told.is_some() {
                self.wait().await;
            }
            match self.look().await {
                Ok(found) if self.told.as_ref() != Some(&found) => {
                    self.pause = Duration::ZERO;
                    self.told = Some(found.clone());
                    return Ok(found);
                }
                Err(error) if self.told.is_none() || !may_pass(&error) => return Err(error),
                Ok(_) | Err(_) => self.pause = (self.pause * 2).min(self.live.0.pace.longest),
            }
            self.scope.end_reading().await;
        }
    }

    async fn look(&mut self) -> Result<T> {
        // It is never closed.
        let permit = Arc::clone(&self.live.0.looks).acquire_owned().await.ok();
        self.news.mark_unchanged();
        let look = Look { began: Instant::now(), took_us: Arc::clone(&self.took_us), _permit: permit };
        self.scope.begin_look(look).await;
        (self.read)(self.scope.clone()).await
    }

    async fn wait(&mut self) {
        let took = Duration::from_micros(self.took_us.load(Ordering::Relaxed));
        let rest = self.live.0.pace.shortest.max(took.saturating_mul(REST));
        self.pause = self.pause.max(rest);
        tokio::time::sleep(rest).await;
        // The sender lives in `live`, so there is no end of news; without any, the pause has one.
        let _ = tokio::time::timeout(self.pause.saturating_sub(rest), self.news.changed()).await;
    }
}

fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Wall(error) if error.may_pass())
}
