//! Running a request: the one place that knows what resolvers find in its data.

use async_graphql::{Request, Response};

use super::catcher::CatcherPort;
use super::rounds::Rounds;
use super::scope::RequestScope;
use super::{CarillonSchema, loader, nulls};

/// Runs a request as its scope's caller, and ends what it read from.
pub async fn execute(
    schema: &CarillonSchema,
    scope: RequestScope,
    catcher: CatcherPort,
    mut request: Request,
) -> Response {
    // Strangers learn no schema from a production server (C-222).
    if scope.is_anonymous() && !scope.ports().settings.embedded {
        request = request.disable_introspection();
    }
    let (query, operation) = (request.query.clone(), request.operation_name.clone());
    let rounds = Rounds::default();
    let request = request.data(loader::loaders(&scope, rounds.clone())).data(catcher).data(scope.clone());
    let mut response = rounds.run(schema.execute(request)).await;
    scope.end_reading().await;
    nulls::complete(&mut response, &query, operation.as_deref());
    response
}
