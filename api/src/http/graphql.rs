//! GraphQL over HTTP: POST for everything, GET for what changes nothing (C-223), and for sockets of subscriptions.

mod counted;
mod etag;
mod graphiql;
mod persisted;
mod rate;
mod status;
mod subscriptions;
mod traced;

use std::cell::Cell;
use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::web::Payload;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, guard, web};
use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, ServerError, Value, Variables};
use bytes::BytesMut;
use carillon_domain::metrics::labels::{Answer, Operation};
use carillon_domain::tenancy::Standings;
use carillon_domain::trace;
use futures::StreamExt;
use serde::Deserialize;

use super::caller::{authenticate, verify};
use super::client::client_ip;
use super::compress::compressed;
use super::negotiate::{Accepted, MediaType};
use super::{Gateway, Problem, RequestId};
use crate::graphql::documents::Documents;
use crate::graphql::error::{unquote_value, unquoted};
use crate::graphql::limits::Cost;
use crate::graphql::scope::{Caller, RequestScope};
use crate::graphql::{self, error, folding, limits, validity};

pub(super) use graphiql::graphiql;
pub use persisted::KeptDocuments;
use persisted::Named;
pub use rate::RatePolicies;
use status::{has_no_data, is_not_run};
pub use subscriptions::{SocketSettings, Sockets};

pub(super) fn configure(routes: &mut web::ServiceConfig) {
    routes.service(
        web::resource("/graphql")
            .route(web::post().to(post))
            .route(web::get().guard(guard::fn_guard(subscriptions::is_asked_for)).to(subscriptions::open))
            .route(web::route().guard(guard::Get()).to(get))
            .default_service(web::to(|| async { Problem::MethodNotAllowed("GET, POST").response() })),
    );
    routes.configure(graphiql::configure);
}

/// The parameters of a request, from the body or the address.
#[derive(Debug, Default, Deserialize)]
struct Params {
    query: Option<String>,
    /// Names the document in place of `query` (GraphQL over HTTP, appendix on persisted documents).
    #[serde(rename = "documentId")]
    document_id: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<serde_json::Map<String, serde_json::Value>>,
    // Of these `persistedQuery` is known.
    extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Debug, Deserialize)]
struct AddressParams {
    query: Option<String>,
    #[serde(rename = "documentId")]
    document_id: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

async fn post(gateway: web::Data<Gateway>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let read = async {
        if !reads(&request) {
            return Err(Problem::UnsupportedMediaType);
        }
        let limit = gateway.settings.body_limit;
        let body = tokio::time::timeout(gateway.settings.body_timeout, body(payload, limit));
        parse_body(&body.await.map_err(|_| Problem::BodyTimeout)??)
    };
    answer(&gateway, &request, read.await, true).await
}

async fn get(gateway: web::Data<Gateway>, request: HttpRequest) -> HttpResponse {
    let params = parse_address(request.query_string());
    answer(&gateway, &request, params, false).await
}

/// True for `application/json` in UTF-8 without a content encoding.
fn reads(request: &HttpRequest) -> bool {
    let json = request.content_type().eq_ignore_ascii_case("application/json");
    let utf8 = request.encoding().is_ok_and(|encoding| encoding.name() == "UTF-8");
    json && utf8 && !request.headers().contains_key(header::CONTENT_ENCODING)
}

async fn body(mut payload: Payload, limit: usize) -> Result<BytesMut, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::Malformed("The body broke off."))?;
        if body.len() + chunk.len() > limit {
            return Err(Problem::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse_body(body: &[u8]) -> Result<Params, Problem> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => Err(Problem::Malformed("The body is empty.")),
        Some(b'[') => Err(Problem::IllFormed("Send one request at a time: batches are not taken.")),
        _ => serde_json::from_slice(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Problem::IllFormed("The body is not a GraphQL request."),
            _ => Problem::Malformed("The body is not JSON."),
        }),
    }
}

fn parse_address(query: &str) -> Result<Params, Problem> {
    let params = web::Query::<AddressParams>::from_query(query);
    let params = params.map_err(|_| Problem::IllFormed("The address is not a GraphQL request."))?.into_inner();
    let map = |text: Option<String>, what| {
        let text = text.filter(|text| !text.is_empty());
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| Problem::Malformed(what))
    };
    Ok(Params {
        query: params.query,
        document_id: params.document_id.filter(|id| !id.is_empty()),
        operation_name: params.operation_name.filter(|name| !name.is_empty()),
        variables: map(params.variables, "The variables are not a JSON object.")?,
        extensions: map(params.extensions, "The extensions are not a JSON object.")?,
    })
}

async fn answer(
    gateway: &web::Data<Gateway>,
    http: &HttpRequest,
    params: Result<Params, Problem>,
    may_mutate: bool,
) -> HttpResponse {
    let id = RequestId::of(http);
    let accept = http.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    let ended = |operation, answer| {
        gateway.process.ports.metrics.operations.one((operation, answer));
        if let Some(part) = trace::part() {
            traced::ended(&part, answer);
        }
    };
    let Some(accepted) = Accepted::negotiate(accept) else {
        ended(Operation::Unknown, Answer::NotAcceptable);
        return Problem::NotAcceptable.answer(MediaType::Json.of_problems(), Some(&id));
    };
    let prefer = http.headers().get_all(status::PREFER).filter_map(|value| value.to_str().ok());
    let accepted = accepted.preferring(prefer);
    let media_type = accepted.answer;
    let asked = Asked::new(gateway, http, (accepted, may_mutate));
    let answer = match asked.answered(params).await {
        // Its own answers are counted where they are told.
        Answered::Stream(stream) => return stream,
        Answered::Response(mut response, standings) => {
            present(&mut response, &id);
            ended(asked.operation.get(), counted::answer(&response));
            let mut answer = render(&response, media_type, &id);
            if asked.may_be_kept() {
                answer = etag::validated(http, &response, answer);
            }
            rate::tell(&gateway.policies, &standings, &mut answer);
            answer
        }
        Answered::Problem(problem) => {
            ended(asked.operation.get(), Answer::of(problem.parts().1));
            let answer = problem.answer(media_type.of_problems(), Some(&id));
            if media_type == MediaType::StrictResponse { status::strictly(problem, answer) } else { answer }
        }
    };
    compressed(http, answer)
}

/// A request on its way to its answer, and what became known of it meanwhile.
struct Asked<'a> {
    gateway: &'a web::Data<Gateway>,
    http: &'a HttpRequest,
    accepted: Accepted,
    may_mutate: bool,
    operation: Cell<Operation>,
    /// Whether its document was named by its id.
    by_id: Cell<bool>,
}

impl<'a> Asked<'a> {
    fn new(gateway: &'a web::Data<Gateway>, http: &'a HttpRequest, (accepted, may_mutate): (Accepted, bool)) -> Self {
        let (operation, by_id) = (Cell::new(Operation::Unknown), Cell::new(false));
        Self { gateway, http, accepted, may_mutate, operation, by_id }
    }

    /// What it came to, in the time that a request has.
    async fn answered(&self, params: Result<Params, Problem>) -> Answered {
        match tokio::time::timeout(self.gateway.settings.request_timeout, self.run(params)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(Stop::Answer(response))) => Answered::Response(response, Standings::default()),
            Ok(Err(Stop::Problem(problem))) => Answered::Problem(problem),
            Err(_) => Answered::Problem(Problem::Timeout),
        }
    }

    async fn run(&self, params: Result<Params, Problem>) -> Result<Answered, Stop> {
        let (gateway, http) = (self.gateway, self.http);
        let mut params = params?;
        // Whose document an id names is known only when it is known who asks; a text is read before anybody is looked up.
        let named = persisted::named(&params)?;
        let known = match named {
            Some(_) => Some(authenticate(gateway, http).await?),
            None => None,
        };
        if let Some(caller) = &known {
            self.by_id.set(true);
            persisted::resolve(gateway, caller, &mut params, named).await?;
        }
        let (mut request, kind, cost) = match prepare(&gateway.documents, params) {
            Ok(prepared) => prepared,
            Err(Stop::Answer(response)) => return Err(refused(gateway, http, response).await),
            Err(stop) => return Err(stop),
        };
        self.operation.set(counted::operation(kind));
        if let Some(part) = trace::part() {
            traced::asked(&part, &mut request, kind, cost);
        }
        if !self.may_mutate && kind == Some(OperationType::Mutation) {
            return Err(Problem::MethodNotAllowed("POST").into());
        }
        let caller = match known {
            Some(caller) => caller,
            None => persisted::may_send_texts(authenticate(gateway, http).await?)?,
        };
        if self.accepted.events && kind == Some(OperationType::Subscription) {
            let document = named.and_then(Named::hash);
            let asked = (request, cost, document);
            return Ok(Answered::Stream(subscriptions::stream(gateway, http, caller, asked).await?));
        }
        let changes = caller.tenant().filter(|_| kind == Some(OperationType::Mutation));
        let bill = (caller.payers(), cost);
        let run = Box::pin(execute(gateway, http, caller, request));
        let (response, standings) = rate::paid(&gateway.process.desk.rates, bill, run).await;
        if let Some(tenant) = changes {
            // Whoever watches the tenant sees it soon, in whichever process.
            gateway.process.ports.doorbell.changed(tenant);
        }
        Ok(Answered::Response(Box::new(response), standings))
    }

    /// True for a query by GET whose document was named by its id: its address says all of it, and is short.
    fn may_be_kept(&self) -> bool {
        let is_json = self.accepted.answer != MediaType::EventStream;
        !self.may_mutate && is_json && self.by_id.get() && self.operation.get() == Operation::Query
    }
}

/// What a request came to.
enum Answered {
    Response(Box<Response>, Standings),
    Stream(HttpResponse),
    Problem(Problem),
}

/// Why a request is not run: HTTP's fault, or the document's.
enum Stop {
    Problem(Problem),
    Answer(Box<Response>),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<ServerError> for Stop {
    fn from(error: ServerError) -> Self {
        Self::Answer(Box::new(Response::from_errors(vec![error])))
    }
}

/// Reads the document and judges it before anything runs; tells kind and cost of the operation that would.
fn prepare(documents: &Documents, params: Params) -> Result<(Request, Option<OperationType>, Cost), Stop> {
    let Some(query) = params.query.filter(|query| !query.is_empty()) else {
        return Err(Problem::IllFormed("The request has no query.").into());
    };
    let mut variables = Variables::from_json(serde_json::Value::Object(params.variables.unwrap_or_default()));
    let mut request = Request::new(query);
    let is_known = documents.recall(&mut request);
    if !is_known {
        limits::check_text(&request.query)?;
    }
    let document = request.parsed_query().map_err(unquoted)?;
    let operation = params.operation_name.as_deref();
    let mut cost = limits::check_document(document, &variables, operation)?;
    if !is_known {
        validity::check_document(document)?;
    }
    validity::check_variables(document, operation, &variables)?;
    validity::complete_variables(document, operation, &mut variables);
    let kind = limits::operation_type(document, operation);
    if !is_known {
        let mut document = document.clone();
        folding::fold(&mut document)?;
        // What runs is paid for: one key is run once.
        cost = limits::check_document(&document, &variables, operation)?;
        request.set_parsed_query(document);
        documents.keep(&mut request);
    }
    request.operation_name = params.operation_name;
    Ok((request.variables(variables).data(cost), kind, cost))
}

async fn execute(gateway: &Gateway, http: &HttpRequest, caller: Caller, request: Request) -> Response {
    let address = client_ip(http, &gateway.settings.trusted_proxies);
    let scope = RequestScope::new(Arc::clone(&gateway.process), caller.clone(), address, RequestId::of(http));
    let mut response = graphql::execute::execute(&gateway.schema, scope, gateway.catcher.clone(), request).await;
    veil(gateway, &caller, &mut response).await;
    response
}

/// What a document that is not run comes to, for who sent it.
async fn refused(gateway: &web::Data<Gateway>, http: &HttpRequest, mut response: Box<Response>) -> Stop {
    match authenticate(gateway, http).await {
        Ok(caller) => {
            veil(gateway, &caller, &mut response).await;
            Stop::Answer(response)
        }
        Err(problem) => problem.into(),
    }
}

/// Tells strangers that their document is wrong, and not in what (C-222).
async fn veil(gateway: &Gateway, caller: &Caller, response: &mut Response) {
    let tells = response.errors.iter().any(error::is_about_schema);
    if tells && graphql::execute::is_stranger(&gateway.process.ports, caller).await {
        error::blunt(response);
    }
}

/// Makes of a response what may leave.
fn present(response: &mut Response, trace_id: &str) {
    response.errors.iter_mut().for_each(unquote_value);
    error::present(response, trace_id);
}

fn render(response: &Response, media_type: MediaType, trace_id: &str) -> HttpResponse {
    let status = status::of(response, media_type);
    let mut builder = HttpResponse::build(status);
    builder.insert_header((header::CONTENT_TYPE, media_type.content_type()));
    match status {
        StatusCode::UNAUTHORIZED => builder.insert_header((header::WWW_AUTHENTICATE, "Bearer")),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            builder.insert_header((header::RETRY_AFTER, retry_after(response).to_string()))
        }
        _ => &mut builder,
    };
    if media_type == MediaType::StrictResponse {
        status::tell_strict(&mut builder, status);
    }
    match text(response) {
        Ok(text) if media_type == MediaType::EventStream => {
            builder.body(subscriptions::next(&text) + subscriptions::COMPLETE)
        }
        Ok(text) => builder.body(text),
        Err(_) => Problem::Internal.answer(media_type.of_problems(), Some(trace_id)),
    }
}

/// An answer in JSON. One to a request that was not run has no `data`.
fn text(response: &Response) -> serde_json::Result<String> {
    if is_not_run(response) {
        return serde_json::to_string(&serde_json::json!({ "errors": response.errors }));
    }
    serde_json::to_string(response)
}

fn retry_after(response: &Response) -> u64 {
    let seconds = response.errors.iter().find_map(|error| match error.extensions.as_ref()?.get("retryAfter")? {
        Value::Number(number) => number.as_u64(),
        _ => None,
    });
    seconds.unwrap_or(1)
}
