//! One subscription as server-sent events: the "distinct connections mode" of GraphQL over Server-Sent Events, as
//! `graphql-sse` speaks it.
//!
//! Who calls is said in the request's header; place, end, heartbeats and patience are those of a socket. A stream that ends
//! before its subscription does ends without `complete`, after a comment that says why: clients come again by themselves, and
//! whose credential is no longer good is answered with 401 then.
//!
//! Where answers have places ([`Places`]), events have ids, and a stream begins behind the one that `Last-Event-ID` names. So
//! who was cut off and asks again misses nothing, and is told no event twice.

use std::convert::Infallible;

use actix_web::http::header::{self, HeaderName};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse, rt};
use async_graphql::{Request, Response};
use carillon_domain::metrics::labels::Answer;
use carillon_domain::persisted::DocumentHash;
use carillon_domain::tenancy::Payment;
use futures::channel::mpsc::{Sender, channel};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use super::super::{MediaType, Stop, counted, has_no_data, is_not_run, persisted, rate, text, traced};
use super::listener::{self, Listener};
use super::protocol::Close;
use super::wire::Outgoing;
use crate::graphql::limits::Cost;
use crate::graphql::live::Places;
use crate::graphql::scope::Caller;
use crate::http::{Gateway, Problem};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
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
    let places = Places::behind(last_event_id(http));
    let answers = listener.subscribe(request.data(places.clone())).ok_or(Problem::Unauthenticated)?;
    let (told, answers_of_it) = mpsc::channel(1);
    // Before the next answer is made, which has another place.
    let tell = move |response: Option<Box<Response>>| response.map(|response| (response, places.take()));
    let running = listener::run(&listener.spans, answers, told, tell);
    let (queue, body) = channel(1);
    let outgoing = Outgoing::new(queue, listener.settings.patience);
    let (spans, payment) = (listener.spans.clone(), Some(payment));
    let stream = Stream { listener, payment, document, outgoing, answers: answers_of_it, told: Answer::Ok, running };
    rt::spawn(spans.around(stream.run()));
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, MediaType::EventStream.content_type()))
        // nginx holds back what it thinks is a whole.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(body))
}

/// The last event that whoever comes again was told, as they have it (HTML, section on server-sent events). What cannot be read
/// is passed on, too: to begin anywhere else would be a gap that nobody notices.
fn last_event_id(http: &HttpRequest) -> Option<String> {
    let said = http.headers().get_all(&LAST_EVENT_ID).map(|value| String::from_utf8_lossy(value.as_bytes()));
    // An empty one is what a client has that was told none.
    Some(said.collect::<Vec<_>>().join(", ")).filter(|id| !id.is_empty())
}

/// An answer, and the place behind it.
type Told = (Box<Response>, Option<String>);

/// One stream.
struct Stream {
    listener: Listener,
    /// What was paid for its start, until it is known whether it ran.
    payment: Option<Payment>,
    /// The document that it runs, where that was named.
    document: Option<DocumentHash>,
    outgoing: Outgoing<Sender<Result<Bytes, Infallible>>>,
    /// None after the last.
    answers: mpsc::Receiver<Option<Told>>,
    /// What the last answer was.
    told: Answer,
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
        traced::ended(&self.listener.spans.part, self.told);
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
            self.answer(Some((Box::new(persisted::not_found()), None))).await?;
            return self.answer(None).await;
        }
        Ok(())
    }

    /// Tells an answer, or that there are no more.
    async fn answer(&mut self, answer: Option<Told>) -> Result<(), Close> {
        let Some((mut response, place)) = answer else {
            self.send(COMPLETE.to_owned()).await?;
            return Err(Close::NORMAL);
        };
        self.listener.present(&mut response)?;
        self.told = counted::answer(&response);
        if let Some(payment) = self.payment.take().filter(|_| is_not_run(&response)) {
            self.listener.refund(payment);
        }
        let event = next(&text(&response).map_err(|_| Close::INTERNAL)?);
        // Who was told nothing comes again to where they were.
        match place.filter(|_| !has_no_data(&response)) {
            Some(place) => self.send(format!("id: {place}\n{event}")).await,
            None => self.send(event).await,
        }
    }

    async fn send(&mut self, events: String) -> Result<(), Close> {
        self.outgoing.send(Ok(Bytes::from(events))).await
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_last_event_is_what_the_header_says_whatever_it_is() {
        let said = |values: &[&'static [u8]]| {
            let value = |value: &&'static [u8]| header::HeaderValue::from_bytes(value).unwrap();
            let request = values
                .iter()
                .fold(TestRequest::get(), |request, one| request.append_header((LAST_EVENT_ID, value(one))));
            last_event_id(&request.to_http_request())
        };
        assert_eq!((said(&[]), said(&[b""])), (None, None));
        assert_eq!(said(&[b"AQAB-_"]).as_deref(), Some("AQAB-_"));
        assert_eq!(said(&[b"one", b"two"]).as_deref(), Some("one, two"), "which is none");
        assert_eq!(said(&[b"\xff"]).as_deref(), Some("\u{fffd}"), "nor is this");
    }

    #[test]
    fn an_event_is_one_line_of_data() {
        let json = serde_json::json!({ "data": { "a": "b\nc\rd" } }).to_string();
        assert_eq!(next(&json), "event: next\ndata: {\"data\":{\"a\":\"b\\nc\\rd\"}}\n\n");
    }
}
