//! One socket from its opening to its end: a task that waits for whatever comes first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use actix_ws::{Message, Session};
use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response};
use carillon_domain::persisted::DocumentHash;
use carillon_domain::tenancy::Payment;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::super::traced::{self, Subscribed};
use super::super::{Params, Stop, counted, is_not_run, persisted, prepare, rate, verify};
use super::listener::{self, Listener, refused, refused_by};
use super::protocol::{Close, Init, Said, Told};
use super::wire::{Heard, Incoming, Outgoing};
use crate::http::Problem;

/// How long the other side may take to close its side.
const LINGER: Duration = Duration::from_secs(1);

/// An answer of a subscription.
struct Answer {
    /// Which: its id may be another's by now.
    number: u64,
    id: Arc<str>,
    /// None when it has come to its end.
    response: Option<Box<Response>>,
}

/// A subscription, which ends when this is dropped.
struct Running {
    number: u64,
    /// What was paid for its start.
    payment: Payment,
    /// The document that it runs, where that was named.
    document: Option<DocumentHash>,
    subscribed: Subscribed,
    _task: AbortOnDropHandle<()>,
}

/// One socket.
pub(super) struct Connection {
    listener: Listener,
    outgoing: Outgoing<Session>,
    running: HashMap<Arc<str>, Running>,
    /// How many subscriptions there were.
    numbers: u64,
    answers: mpsc::Receiver<Answer>,
    answering: mpsc::Sender<Answer>,
    /// Whether anything came since the last ping.
    heard: bool,
}

/// What a socket waits for.
enum Event {
    Drain,
    Due,
    Heartbeat,
    Answer(Answer),
    Heard(Result<Heard, Close>),
}

impl Connection {
    /// A socket that was just opened.
    pub fn new(listener: Listener, outgoing: Outgoing<Session>) -> Self {
        let (answering, answers) = mpsc::channel(1);
        Self { listener, outgoing, running: HashMap::new(), numbers: 0, answers, answering, heard: true }
    }

    /// Serves it to its end.
    pub async fn run(mut self, mut incoming: Incoming) {
        let every = self.listener.settings.heartbeat;
        let mut heartbeat = interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = loop {
            let event = self.next(&mut incoming, &mut heartbeat).await;
            if let Err(end) = self.react(event).await {
                break end;
            }
        };
        tracing::info!(code = end.code, running = self.running.len(), "a socket ended");
        // What still runs ends first, so that nothing is read for who is not told.
        self.running.clear();
        self.outgoing.close(&end).await;
        if end != Close::GONE {
            // Who does not close its side is not waited for.
            let _ = timeout(LINGER, incoming.ended()).await;
        }
    }

    async fn next(&mut self, incoming: &mut Incoming, heartbeat: &mut Interval) -> Event {
        tokio::select! {
            biased;
            () = self.listener.drained() => Event::Drain,
            () = self.listener.due() => Event::Due,
            _ = heartbeat.tick() => Event::Heartbeat,
            Some(answer) = self.answers.recv() => Event::Answer(answer),
            heard = incoming.next() => Event::Heard(heard),
        }
    }

    async fn react(&mut self, event: Event) -> Result<(), Close> {
        match event {
            Event::Drain => Err(Close::GOING_AWAY),
            Event::Due => self.check().await,
            Event::Heartbeat if std::mem::replace(&mut self.heard, false) => {
                self.outgoing.send(Message::Ping(Bytes::new())).await
            }
            Event::Heartbeat => Err(Close::SILENT),
            Event::Answer(Answer { number, id, .. }) if !self.is_running(&id, number) => Ok(()),
            Event::Answer(Answer { id, response: Some(response), .. }) => self.answer(&id, *response).await,
            Event::Answer(Answer { id, response: None, .. }) => {
                self.running.remove(&id);
                self.outgoing.tell(&Told::Complete { id: &id }).await
            }
            Event::Heard(heard) => {
                let heard = heard?;
                self.heard = true;
                self.hear(heard).await
            }
        }
    }

    /// Asks whether the credential is still good, and ends what runs a document that is no longer the caller's to run.
    async fn check(&mut self) -> Result<(), Close> {
        self.listener.check().await?;
        let named = |(id, running): (&Arc<str>, &Running)| Some((Arc::clone(id), running.document?));
        let running: Vec<(Arc<str>, DocumentHash)> = self.running.iter().filter_map(named).collect();
        for (id, document) in running {
            if self.listener.has_lost(document).await {
                let response = persisted::not_found();
                // What it cost is not given back: it ran.
                if let Some(mut running) = self.running.remove(&id) {
                    running.subscribed.told(counted::answer(&response));
                }
                self.answer(&id, response).await?;
            }
        }
        Ok(())
    }

    async fn hear(&mut self, heard: Heard) -> Result<(), Close> {
        let text = match heard {
            Heard::Text(text) => text,
            Heard::Ping(bytes) => return self.outgoing.send(Message::Pong(bytes)).await,
            Heard::Pong => return Ok(()),
        };
        match Said::parse(&text)? {
            Said::ConnectionInit { payload } => self.init(payload).await,
            Said::Ping => self.outgoing.tell(&Told::Pong).await,
            Said::Pong => Ok(()),
            Said::Subscribe { id, payload } => self.subscribe(&id, *payload).await,
            // One that is not known ended a moment ago.
            Said::Complete { id } => {
                self.running.remove(id.as_str());
                Ok(())
            }
        }
    }

    /// Takes in who calls.
    async fn init(&mut self, init: Option<Init>) -> Result<(), Close> {
        if self.listener.is_in() {
            return Err(Close::INIT_TWICE);
        }
        let authorization = init.and_then(|init| init.authorization).ok_or(Close::FORBIDDEN)?;
        let gateway = &self.listener.gateway;
        let caller = match timeout(gateway.settings.request_timeout, verify(gateway, &authorization)).await {
            Ok(Ok(caller)) => caller,
            Ok(Err(Problem::Unauthenticated)) => return Err(Close::FORBIDDEN),
            Ok(Err(_)) | Err(_) => return Err(Close::UNAVAILABLE),
        };
        self.listener.let_in(caller).await?;
        self.outgoing.tell(&Told::ConnectionAck).await
    }

    async fn subscribe(&mut self, id: &str, params: Params) -> Result<(), Close> {
        if !self.listener.is_in() {
            return Err(Close::UNAUTHORIZED);
        }
        if self.running.contains_key(id) {
            return Err(Close::already_exists(id));
        }
        let mut subscribed = Subscribed::begin(&self.listener.spans, &self.listener.request_id);
        let prepared = subscribed.spans().around(self.prepare(params, &subscribed)).await;
        let (request, document, payment) = match prepared {
            Ok(prepared) => prepared,
            Err(response) => {
                let answer = counted::answer(&response);
                subscribed.told(answer);
                self.listener.count(answer);
                return self.answer(id, *response).await;
            }
        };
        let answers = self.listener.subscribe(request).ok_or(Close::UNAUTHORIZED)?;
        self.numbers += 1;
        let (number, id) = (self.numbers, Arc::<str>::from(id));
        let told = Arc::clone(&id);
        let tell = move |response| Answer { number, id: Arc::clone(&told), response };
        let task = listener::run(subscribed.spans(), answers, self.answering.clone(), tell);
        self.running.insert(id, Running { number, payment, document, subscribed, _task: task });
        Ok(())
    }

    fn is_running(&self, id: &str, number: u64) -> bool {
        self.running.get(id).is_some_and(|running| running.number == number)
    }

    /// The request, the document that it names and what was paid for it, or the answer to one that is not run.
    async fn prepare(
        &self,
        params: Params,
        subscribed: &Subscribed,
    ) -> Result<(Request, Option<DocumentHash>, Payment), Box<Response>> {
        let most = self.listener.settings.running_max;
        if self.running.len() >= most {
            let message = format!("A socket has at most {most} subscriptions.");
            return Err(Box::new(refused("TOO_MANY", message)));
        }
        let (params, document) = self.listener.resolve(params).await.map_err(stopped)?;
        let (mut request, kind, cost) = prepare(&self.listener.gateway.documents, params).map_err(stopped)?;
        traced::asked(&subscribed.spans().part, &mut request, kind, cost);
        if !matches!(kind, Some(OperationType::Subscription) | None) {
            return Err(Box::new(refused("BAD_REQUEST", "Send queries and mutations by POST.".to_owned())));
        }
        // There is a place for it, so it is paid for: its start, not what it tells later.
        let payment = self.listener.charge(cost).await.map_err(|limited| Box::new(rate::refused(&limited)))?;
        Ok((request, document, payment))
    }

    /// Tells an answer, or the errors of a subscription that was not run.
    async fn answer(&mut self, id: &str, mut response: Response) -> Result<(), Close> {
        self.listener.present(&mut response)?;
        if let Some(running) = self.running.get_mut(id) {
            running.subscribed.told(counted::answer(&response));
        }
        if is_not_run(&response) {
            if let Some(running) = self.running.remove(id) {
                self.listener.refund(running.payment);
            }
            return self.outgoing.tell(&Told::Error { id, payload: &response.errors }).await;
        }
        self.outgoing.tell(&Told::Next { id, payload: &response }).await
    }
}

/// The answer to a subscription that is not run.
fn stopped(stop: Stop) -> Box<Response> {
    match stop {
        Stop::Answer(response) => response,
        Stop::Problem(problem) => Box::new(refused_by(problem)),
    }
}
