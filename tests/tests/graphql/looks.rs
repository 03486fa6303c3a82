//! A subscription's look lasts until its transaction is over, whoever asks for fields of what it found.

use std::sync::Arc;

use async_graphql::{Context, EmptyMutation, Object, Request, Schema, Subscription};
use carillon::graphql::live::{Live, Pace, watch};
use carillon::graphql::scope::RequestScope;
use futures::{FutureExt as _, Stream, StreamExt as _};

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
