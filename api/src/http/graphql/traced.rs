//! What traces are told of an operation: its kind, its name as the document has it, its price and what became of it. Neither
//! the document nor its variables are told (C-199).

use async_graphql::Request;
use async_graphql::parser::types::OperationType;
use carillon_domain::metrics::labels::Answer;
use carillon_domain::trace;
use tracing::Span;
use tracing::field::Empty;

use super::counted;
use crate::graphql::limits::{self, Cost};
use crate::http::Spans;

/// Names of operations up to this length are told: nobody writes longer ones.
const NAME_MAX: usize = 64;

/// Tells a span what is asked for.
pub(super) fn asked(part: &Span, request: &mut Request, kind: Option<OperationType>, Cost(points): Cost) {
    if part.is_disabled() || kind.is_none() {
        return;
    }
    part.record("graphql.operation.type", counted::operation(kind).as_str());
    part.record("cost", i64::try_from(points).unwrap_or(i64::MAX));
    let only = request.operation_name.clone().or_else(|| limits::only_name(request.parsed_query().ok()?));
    if let Some(name) = only.filter(|name| name.len() <= NAME_MAX) {
        part.record("graphql.operation.name", name);
    }
}

/// Tells a span what became of it. A fault of ours is one in the trace as well.
pub(super) fn ended(part: &Span, answer: Answer) {
    part.record("outcome", answer.as_str());
    if matches!(answer, Answer::Timeout | Answer::Unavailable | Answer::Internal) {
        part.record("otel.status_code", "error");
    }
}

/// A subscription over a socket, as traces see it: a trace of its own, as a request is, and a link to the socket's, which may
/// live for hours. It ends when this is dropped, and what still reads for it with it.
pub(super) struct Subscribed {
    spans: Spans,
    answer: Answer,
}

impl Subscribed {
    /// One that begins now, on the socket of these spans, which was opened by the request of this id.
    pub fn begin(socket: &Spans, request_id: &str) -> Self {
        let part = tracing::info_span!(
            target: trace::PARTS, parent: None, "subscription", otel.kind = "server", otel.status_code = Empty,
            request.id = request_id, "graphql.operation.type" = Empty, "graphql.operation.name" = Empty, cost = Empty,
            outcome = Empty,
        );
        // It has begun by then: no socket decides for all that it ever carries whether it is exported.
        if trace::of(&part).is_some() {
            trace::link(&part, trace::of(&socket.part));
        }
        Self { spans: Spans { log: socket.log.clone(), part }, answer: Answer::Ok }
    }

    /// What is done for it is done in these.
    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// This was told of it; what was told last is what became of it.
    pub fn told(&mut self, answer: Answer) {
        self.answer = answer;
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        ended(&self.spans.part, self.answer);
    }
}
