//! When loaders load: not after a while, but when the execution can do nothing but wait for them.
//!
//! The execution of a page visits its objects a few at a time and yields in between, so a loader that counts
//! milliseconds cuts a level of the answer into as many batches as the page has handfuls. Here the execution and its
//! batches are one task, and batches go on only while the execution stands still: by then every object of a level has
//! said what it needs, so a page costs as many statements as it has levels, whatever its size (L5).

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::StreamExt;
use futures::future::{BoxFuture, poll_fn};
use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;

/// What the loaders of one execution have to do; cloning shares it.
#[derive(Clone, Default)]
pub struct Rounds(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl Rounds {
    /// Takes up a batch, which begins when the execution next stands still.
    pub fn add(&self, batch: BoxFuture<'static, ()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
    }

    fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs an execution to its end, and its batches whenever it waits.
    pub async fn run<T>(&self, execution: impl Future<Output = T>) -> T {
        let mut execution = pin!(execution);
        let mut batches = FuturesUnordered::new();
        let signal = Arc::new(Signal::default());
        let waker = Waker::from(Arc::clone(&signal));
        poll_fn(|cx| {
            signal.task.register(cx.waker());
            loop {
                if !signal.idle.swap(true, Ordering::AcqRel) {
                    if let Poll::Ready(answer) = execution.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return Poll::Ready(answer);
                    }
                    if !signal.idle.load(Ordering::Acquire) {
                        // It only yielded, and has already asked for its next turn.
                        return Poll::Pending;
                    }
                }
                batches.extend(self.take());
                match batches.poll_next_unpin(cx) {
                    Poll::Ready(Some(())) => {}
                    Poll::Ready(None) | Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }
}

/// Knows whether the execution was woken since it last stood still; a new one counts as woken.
#[derive(Default)]
struct Signal {
    idle: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.idle.store(false, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use async_graphql::dataloader::{DataLoader, Loader};
    use futures::future::join_all;

    use super::*;

    #[derive(Default)]
    struct Counting(Arc<AtomicUsize>);

    impl Loader<usize> for Counting {
        type Value = usize;
        type Error = Infallible;

        async fn load(&self, keys: &[usize]) -> Result<HashMap<usize, usize>, Infallible> {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(keys.iter().map(|key| (*key, key + 1_000)).collect())
        }
    }

    /// An object that yields before it asks, as a page's objects do to each other, and asks again with the answer.
    async fn object(loader: &DataLoader<Counting>, n: usize) -> Option<usize> {
        let mut turns = n % 7;
        poll_fn(|cx| {
            let Some(left) = turns.checked_sub(1) else { return Poll::Ready(()) };
            turns = left;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let first = loader.load_one(n).await.unwrap()?;
        loader.load_one(first).await.unwrap()
    }

    #[tokio::test]
    async fn l5_a_level_is_one_batch_whatever_its_size() {
        for size in [1, 3, 400] {
            let (rounds, counting) = (Rounds::default(), Counting::default());
            let batches = Arc::clone(&counting.0);
            let spawner = {
                let rounds = rounds.clone();
                move |batch| rounds.add(batch)
            };
            let loader = DataLoader::new(counting, spawner).delay(Duration::ZERO);
            let page = rounds.run(join_all((0..size).map(|n| object(&loader, n)))).await;
            assert_eq!(page.last().copied().flatten(), Some(size - 1 + 2_000));
            assert_eq!(batches.load(Ordering::Relaxed), 2, "one for each level, {size} objects");
        }
    }
}
