//! A subscription's look lasts until its transaction is over, whoever asks for fields of what it found.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_graphql::{Context, EmptyMutation, Object, Request, Schema, Subscription};
use carillon::graphql::live::{Live, Pace, watch};
use carillon::graphql::scope::{Caller, RequestScope};
use carillon_domain::error::Error;
use futures::future::join_all;
use futures::{FutureExt as _, Stream, StreamExt};
use tokio::sync::Semaphore;

use crate::setup::Api;

struct Nothing;

#[Object]
impl Nothing {
    async fn nothing(&self) -> bool {
        true
    }
}

struct Looks;

#[Subscription]
impl Looks {
    /// Finds something at once.
    async fn look(&self, ctx: &Context<'_>) -> impl Stream<Item = async_graphql::Result<bool>> + use<> {
        let found = watch(ctx, ("look", 0), |_| std::future::ready(Ok(true)), |_| false);
        found.map(|found| found.map_err(|_| async_graphql::Error::new("nothing found")))
    }
}

#[actix_web::test]
async fn a_look_keeps_its_turn_until_its_transaction_is_over() {
    let api = Api::new().await;
    let live = Live::new(Pace { at_once: 1, ..Pace::default() });
    let schema = Schema::new(Nothing, EmptyMutation, Looks);
    let scopes = [(); 2].map(|()| RequestScope::new(Arc::clone(&api.process), api.owner.clone(), None, String::new()));
    let [mut first, mut second] = scopes.clone().map(|scope| {
        let request = Request::new("subscription { look }").data(live.clone()).data(scope);
        schema.execute_stream(request).boxed()
    });
    let told = first.next().now_or_never().flatten().unwrap();
    assert!(told.is_ok(), "{:?}", told.errors);
    // It is told, and its fields may still be read; whoever runs the subscription says when they are.
    assert!(second.next().now_or_never().is_none(), "two at once");
    scopes[0].end_reading().await;
    let told = second.next().now_or_never().flatten().unwrap();
    assert!(told.is_ok(), "{:?}", told.errors);
}

const WATCHERS: usize = 8;
const SLOW: Duration = Duration::from_millis(100);

struct SlowLooks;

#[Subscription]
impl SlowLooks {
    /// Finds the same again and again, and takes long for it when everybody has found it once.
    async fn look(&self, ctx: &Context<'_>) -> impl Stream<Item = async_graphql::Result<bool>> + use<> {
        let looks = Arc::clone(ctx.data_unchecked::<Arc<AtomicUsize>>());
        let read = move |_: RequestScope| {
            let is_slow = looks.fetch_add(1, Ordering::Relaxed) >= WATCHERS;
            async move {
                if is_slow {
                    tokio::time::sleep(SLOW).await;
                }
                Ok::<_, Error>(true)
            }
        };
        watch(ctx, ("slow", 0), read, |_| false)
            .map(|found| found.map_err(|_| async_graphql::Error::new("nothing found")))
    }
}

#[actix_web::test]
async fn those_who_waited_for_a_slow_look_do_not_look_in_turn() {
    let api = Api::new().await;
    let pace = Duration::from_millis(5);
    let live = Live::new(Pace { shortest: pace, longest: pace, ..Pace::default() });
    let schema = Schema::new(Nothing, EmptyMutation, SlowLooks);
    let looks = Arc::<AtomicUsize>::default();
    let mut watching = Vec::new();
    for _ in 0..WATCHERS {
        let scope = RequestScope::new(Arc::clone(&api.process), api.owner.clone(), None, String::new());
        let request = Request::new("subscription { look }").data(live.clone()).data(scope.clone());
        let mut watcher = schema.execute_stream(request.data(Arc::clone(&looks))).boxed();
        let told = watcher.next().await.unwrap();
        assert!(told.is_ok(), "{:?}", told.errors);
        scope.end_reading().await;
        watching.push(watcher);
    }
    assert_eq!((looks.load(Ordering::Relaxed), live.subjects()), (WATCHERS, 1));
    let next = join_all(watching.iter_mut().map(StreamExt::next));
    assert!(tokio::time::timeout(SLOW * 9, next).await.is_err(), "there is nothing new to tell");
    // A look rests ten times as long as it took: there was one, or two where this machine stood still.
    let looks = looks.load(Ordering::Relaxed) - WATCHERS;
    assert!((1..=2).contains(&looks), "{looks}");
}

struct GatedLooks;

#[Subscription]
impl GatedLooks {
    /// Finds something when it is let.
    async fn look(&self, ctx: &Context<'_>) -> impl Stream<Item = async_graphql::Result<bool>> + use<> {
        let gate = Arc::clone(ctx.data_unchecked::<Arc<Semaphore>>());
        let read = move |_: RequestScope| {
            let gate = Arc::clone(&gate);
            async move { Ok::<_, Error>(gate.acquire().await.is_ok()) }
        };
        watch(ctx, ("gated", 0), read, |_| false)
            .map(|found| found.map_err(|_| async_graphql::Error::new("nothing found")))
    }
}

#[actix_web::test]
async fn the_looks_of_one_tenant_keep_no_other_waiting() {
    let ada = Api::new().await;
    let crowd = ada.owner.clone();
    let eve = Api::within(ada.world, "eve@example.org").await;
    let live = Live::new(Pace { at_once: 2, ..Pace::default() });
    let schema = Schema::new(Nothing, EmptyMutation, GatedLooks);
    let watching = |caller: &Caller, gate: &Arc<Semaphore>| {
        let scope = RequestScope::new(Arc::clone(&eve.process), caller.clone(), None, String::new());
        let request = Request::new("subscription { look }").data(live.clone()).data(scope).data(Arc::clone(gate));
        schema.execute_stream(request).boxed()
    };
    let (shut, open) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(1)));
    let mut waiting: Vec<_> = (0..WATCHERS).map(|_| watching(&crowd, &shut)).collect();
    let mut other = watching(&eve.owner, &open);
    let crowded = join_all(waiting.iter_mut().map(StreamExt::next));
    let told = tokio::select! {
        biased;
        _ = crowded => panic!("nobody let them"),
        told = other.next() => told.unwrap(),
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("those of another tenant are in the way"),
    };
    assert!(told.is_ok(), "{:?}", told.errors);
    assert_eq!((live.subjects(), live.looks()), (2, 2));
}
