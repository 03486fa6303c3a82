//! One subscription as server-sent events: the "distinct connections mode" of GraphQL over Server-Sent Events, as
//! `graphql-sse` speaks it.
//!
//! Who calls is said in the request's header; place, end, heartbeats and patience are those of a socket. A stream that ends
//! before its subscription does ends without `complete`, after a comment that says why: clients come again by themselves, and
//! whose credential is no longer good is answered with 401 then.

use std::convert::Infallible;

use actix_web::http::header;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse, rt};
use async_graphql::{Request, Response};
use carillon_domain::persisted::DocumentHash;
use carillon_domain::tenancy::Payment;
use futures::channel::mpsc::{Sender, channel};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::super::{MediaType, Stop, is_not_run, persisted, rate, text};
use super::listener::{self, Listener};
use super::protocol::Close;
use super::wire::Outgoing;
use crate::graphql::limits::Cost;
use crate::graphql::scope::Caller;
use crate::http::{Gateway, Problem};

/// A comment, which tells a proxy that somebody is there, and us that nobody is.
const HEARTBEAT: &str = ":\n\n";
/// Clients that are built into browsers overlook an event without data.
pub(in crate::http::graphql) const COMPLETE: &str = "event: complete\ndata:\n\n";

/// An answer as an event. JSON has its line ends escaped, so it is one line.
pub(in crate::http::graphql) fn next(json: &str) -> String {
    format!("event: next\ndata: {json}\n\n")
}

/// Runs a subscription for who calls, as long as they listen.
pub(in crate::http::graphql) async fn open(
    gateway: &web::Data<Gateway>,
    http: &HttpRequest,
    caller: Caller,
    (request, cost, document): (Request, Cost, Option<DocumentHash>),
) -> Result<HttpResponse, Stop> {
    let mut listener = Listener::new(gateway.clone(), http).ok_or(Problem::Unavailable)?;
    listener.let_in(caller).await.map_err(|end| {
        if end == Close::TOO_MANY {
            Problem::TooManyListeners
        } else if end == Close::UNAVAILABLE {
            Problem::Unavailable
        } else {
            Problem::Unauthenticated
        }
    })?;
    // There is a place for it, so it is paid for: its start, not what it tells later.
    let payment = listener.charge(cost).await.map_err(|limited| Stop::Answer(Box::new(rate::refused(&limited))))?;
    let answers = listener.subscribe(request).ok_or(Problem::Unauthenticated)?;
    let (told, answers_of_it) = mpsc::channel(1);
    let running = listener::run(answers, told, |response| response);
    let (queue, body) = channel(1);
    let outgoing = Outgoing::new(queue, listener.settings.patience);
    let stream = Stream { listener, payment: Some(payment), document, outgoing, answers: answers_of_it, running };
    rt::spawn(stream.run().instrument(tracing::Span::current()));
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, MediaType::EventStream.content_type()))
        // nginx holds back what it thinks is a whole.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(body))
}

/// One stream.
struct Stream {
    listener: Listener,
    /// What was paid for its start, until it is known whether it ran.
    payment: Option<Payment>,
    /// The document that it runs, where that was named.
    document: Option<DocumentHash>,
    outgoing: Outgoing<Sender<Result<Bytes, Infallible>>>,
    /// None after the last.
    answers: mpsc::Receiver<Option<Box<Response>>>,
    /// The subscription, which ends when this is dropped.
    running: AbortOnDropHandle<()>,
}

impl Stream {
    async fn run(mut self) {
        // The first comes at once: some clients take a stream for open when it has said something.
        let mut heartbeat = interval(self.listener.settings.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = loop {
            let done = tokio::select! {
                biased;
                () = self.listener.drained() => Err(Close::GOING_AWAY),
                () = self.listener.due() => self.check().await,
                _ = heartbeat.tick() => self.send(HEARTBEAT.to_owned()).await,
                answer = self.answers.recv() => self.answer(answer.flatten()).await,
            };
            if let Err(end) = done {
                break end;
            }
        };
        tracing::info!(code = end.code, "a stream ended");
        // What still runs ends first, so that nothing is read for who is not told.
        self.running.abort();
        if end != Close::NORMAL && end != Close::GONE {
            // Nobody is left to tell that it could not be told.
            let _ = self.send(format!(": {}\n\n", end.reason)).await;
        }
    }

    /// Asks whether the credential is still good, and ends when the document is no longer the caller's to run.
    async fn check(&mut self) -> Result<(), Close> {
        self.listener.check().await?;
        let Some(document) = self.document else { return Ok(()) };
        if self.listener.has_lost(document).await {
            // What it cost is not given back: it ran.
            self.payment = None;
            self.answer(Some(Box::new(persisted::not_found()))).await?;
            return self.answer(None).await;
        }
        Ok(())
    }

    /// Tells an answer, or that there are no more.
    async fn answer(&mut self, answer: Option<Box<Response>>) -> Result<(), Close> {
        let Some(mut response) = answer else {
            self.send(COMPLETE.to_owned()).await?;
            return Err(Close::NORMAL);
        };
        self.listener.present(&mut response)?;
        if let Some(payment) = self.payment.take().filter(|_| is_not_run(&response)) {
            self.listener.refund(payment);
        }
        self.send(next(&text(&response).map_err(|_| Close::INTERNAL)?)).await
    }

    async fn send(&mut self, events: String) -> Result<(), Close> {
        self.outgoing.send(Ok(Bytes::from(events))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_data() {
        let json = serde_json::json!({ "data": { "a": "b\nc\rd" } }).to_string();
        assert_eq!(next(&json), "event: next\ndata: {\"data\":{\"a\":\"b\\nc\\rd\"}}\n\n");
    }
}
