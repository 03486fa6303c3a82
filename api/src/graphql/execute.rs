//! Running a request: the one place that knows what resolvers find in its data.

use async_graphql::{Request, Response};
use carillon_domain::tenancy::viewer;
use futures::{Stream, StreamExt as _, stream};

use super::catcher::CatcherPort;
use super::live::Live;
use super::rounds::Rounds;
use super::scope::{Caller, RequestScope};
use super::{CarillonSchema, loader, nulls};

/// True for who said nothing, and for who says so with a token that is no longer good (C-213): a token of a disabled
/// user still has its signature. Only a document that names the schema costs the look; keys were looked up already.
async fn is_stranger(scope: &RequestScope, query: &str) -> bool {
    match scope.caller() {
        Caller::Anonymous => true,
        Caller::User(access, _) => names_schema(query) && viewer(scope.ports(), access).await.is_err(),
        Caller::ApiKey(_) => false,
    }
}

/// True for a document that may ask for more of the schema than `__typename`, which every client sends along.
fn names_schema(query: &str) -> bool {
    query.split("__typename").any(|part| part.contains("__"))
}

/// Runs a request as its scope's caller, and ends what it read from.
pub async fn execute(
    schema: &CarillonSchema,
    scope: RequestScope,
    catcher: CatcherPort,
    mut request: Request,
) -> Response {
    // Strangers learn no schema from a production server (C-222), nor does a key that may run certain documents alone.
    let is_held = scope.caller().document_set().is_some();
    if is_held || (!scope.ports().settings.embedded && is_stranger(&scope, &request.query).await) {
        request = request.disable_introspection();
    }
    let (query, operation) = (request.query.clone(), request.operation_name.clone());
    let rounds = Rounds::default();
    let request = equipped(request, &scope, &rounds, catcher);
    let mut response = rounds.run(schema.execute(request)).await;
    scope.end_reading().await;
    nulls::complete(&mut response, &query, operation.as_deref());
    response
}

/// Runs a subscription as its scope's caller. Between two answers it holds no transaction.
pub fn subscribe(
    schema: &CarillonSchema,
    scope: RequestScope,
    live: Live,
    catcher: CatcherPort,
    request: Request,
) -> impl Stream<Item = Response> + Send + use<> {
    let (query, operation) = (request.query.clone(), request.operation_name.clone());
    let rounds = Rounds::default();
    let request = equipped(request, &scope, &rounds, catcher).data(live);
    let answers = schema.execute_stream(request);
    stream::unfold((answers, scope, rounds), move |(mut answers, scope, rounds)| {
        let (query, operation) = (query.clone(), operation.clone());
        async move {
            let mut response = rounds.run(answers.next()).await?;
            scope.end_reading().await;
            nulls::complete(&mut response, &query, operation.as_deref());
            Some((response, (answers, scope, rounds)))
        }
    })
}

/// A request with what resolvers find in its data.
fn equipped(request: Request, scope: &RequestScope, rounds: &Rounds, catcher: CatcherPort) -> Request {
    request.data(loader::loaders(scope, rounds.clone())).data(catcher).data(scope.clone())
}
