//! Running a request: the one place that knows what resolvers find in its data.

use async_graphql::{Request, Response};
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::viewer;
use futures::{Stream, StreamExt as _, stream};

use super::catcher::CatcherPort;
use super::live::Live;
use super::rounds::Rounds;
use super::scope::{Caller, RequestScope};
use super::{CarillonSchema, deprecated, emptied, loader, nulls};

/// True for who said nothing, and for who says so with a token that is no longer good (C-213): a token of a disabled
/// user still has its signature. To know costs a look; keys were looked up already. In the embedded mode nobody is one.
pub async fn is_stranger(ports: &Ports, caller: &Caller) -> bool {
    !ports.settings.embedded
        && match caller {
            Caller::Anonymous => true,
            Caller::User(access, _) => viewer(ports, access).await.is_err(),
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
    if is_held || (names_schema(&request.query) && is_stranger(scope.ports(), scope.caller()).await) {
        request = request.disable_introspection();
    }
    let (query, operation) = (request.query.clone(), request.operation_name.clone());
    let is_marked = emptied::mark(&mut request);
    let rounds = Rounds::default();
    let request = equipped(request, &scope, &rounds, catcher);
    let mut response = rounds.run(schema.execute(request)).await;
    scope.end_reading().await;
    nulls::complete(&mut response, &query, operation.as_deref());
    if is_marked {
        emptied::unmark(&mut response);
    }
    let replayed = scope.replayed().await;
    if !replayed.is_empty() {
        response.extensions.insert("replayed".to_owned(), replayed.into());
    }
    response
}

/// Runs a subscription as its scope's caller. Between two answers it holds no transaction.
pub fn subscribe(
    schema: &CarillonSchema,
    scope: RequestScope,
    live: Live,
    catcher: CatcherPort,
    mut request: Request,
) -> impl Stream<Item = Response> + Send + use<> {
    let (query, operation) = (request.query.clone(), request.operation_name.clone());
    let is_marked = emptied::mark(&mut request);
    let rounds = Rounds::default();
    let request = equipped(request, &scope, &rounds, catcher).data(live);
    let answers = schema.execute_stream(request);
    stream::unfold((answers, scope, rounds), move |(mut answers, scope, rounds)| {
        let (query, operation) = (query.clone(), operation.clone());
        async move {
            let mut response = rounds.run(answers.next()).await?;
            scope.end_reading().await;
            nulls::complete(&mut response, &query, operation.as_deref());
            if is_marked {
                emptied::unmark(&mut response);
            }
            Some((response, (answers, scope, rounds)))
        }
    })
}

/// A request with what resolvers find in its data.
fn equipped(mut request: Request, scope: &RequestScope, rounds: &Rounds, catcher: CatcherPort) -> Request {
    deprecated::count(&scope.ports().metrics, &mut request);
    request.data(loader::loaders(scope, rounds.clone())).data(catcher).data(scope.clone())
}
