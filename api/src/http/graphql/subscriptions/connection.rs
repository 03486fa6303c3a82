//! One socket from its opening to its end: a task that waits for whatever comes first.
//!
//! Each subscription has a task of its own. So one that is reading goes on while its socket waits for something else, and
//! gives back its connection; by the time its answer waits to be told, it holds none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt;
use actix_web::web::{self, Bytes};
use actix_ws::{Message, Session};
use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, ServerError};
use carillon_domain::error::Error;
use carillon_domain::tenancy::Payers;
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::super::{Params, Stop, is_not_run, prepare, present, rate, verify};
use super::SocketSettings;
use super::protocol::{Close, Init, Said, Told};
use super::sockets::{Holder, Seat};
use super::wire::{Heard, Incoming, Outgoing};
use crate::graphql::limits::Cost;
use crate::graphql::scope::{Caller, RequestScope};
use crate::graphql::{error, execute};
use crate::http::{Gateway, Problem};

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
    /// What its start was paid with.
    paid: (Payers, Cost),
    _task: AbortOnDropHandle<()>,
}

/// One socket.
pub(super) struct Connection {
    gateway: web::Data<Gateway>,
    settings: SocketSettings,
    seat: Seat,
    outgoing: Outgoing<Session>,
    address: Option<IpAddr>,
    request_id: String,
    /// Who calls; none until the connection is acknowledged.
    caller: Option<Caller>,
    /// When there is something to look at: that nobody said who they are, or that they no longer are.
    due: Instant,
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
    /// A socket that was just opened, from an address and under a request's id.
    pub fn new(
        gateway: web::Data<Gateway>,
        seat: Seat,
        outgoing: Outgoing<Session>,
        (address, request_id): (Option<IpAddr>, String),
    ) -> Self {
        let settings = gateway.settings.sockets;
        let (answering, answers) = mpsc::channel(1);
        Self {
            gateway,
            settings,
            seat,
            outgoing,
            address,
            request_id,
            caller: None,
            due: Instant::now() + settings.init_timeout,
            running: HashMap::new(),
            numbers: 0,
            answers,
            answering,
            heard: true,
        }
    }

    /// Serves it to its end.
    pub async fn run(mut self, mut incoming: Incoming) {
        let every = self.settings.heartbeat;
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
            () = self.seat.drained() => Event::Drain,
            () = sleep_until(self.due) => Event::Due,
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

    /// Takes in who calls, if they are who they say and there is room for them.
    async fn init(&mut self, init: Option<Init>) -> Result<(), Close> {
        if self.caller.is_some() {
            return Err(Close::INIT_TWICE);
        }
        let authorization = init.and_then(|init| init.authorization).ok_or(Close::FORBIDDEN)?;
        let verified = timeout(self.gateway.settings.request_timeout, verify(&self.gateway, &authorization)).await;
        let caller = match verified {
            Ok(Ok(caller)) => caller,
            Ok(Err(Problem::Unauthenticated)) => return Err(Close::FORBIDDEN),
            Ok(Err(_)) | Err(_) => return Err(Close::UNAVAILABLE),
        };
        self.assert_fresh(&caller).await?;
        let holder = match &caller {
            Caller::Anonymous => return Err(Close::FORBIDDEN),
            Caller::User(_, Some(context)) | Caller::ApiKey(context) => Holder::Tenant(context.tenant()),
            Caller::User(access, None) => Holder::User(access.subject().user),
        };
        if !self.seat.belongs_to(holder, self.settings.tenant_max) {
            return Err(Close::TOO_MANY);
        }
        self.due = self.next_check(&caller);
        self.caller = Some(caller);
        self.outgoing.tell(&Told::ConnectionAck).await
    }

    /// Asks whether the credential is still good. While nobody can say, nothing is read either.
    async fn check(&mut self) -> Result<(), Close> {
        let Some(caller) = self.caller.clone() else { return Err(Close::INIT_TIMEOUT) };
        self.assert_fresh(&caller).await.or_else(|end| if end == Close::UNAVAILABLE { Ok(()) } else { Err(end) })?;
        self.due = self.next_check(&caller);
        Ok(())
    }

    async fn assert_fresh(&self, caller: &Caller) -> Result<(), Close> {
        let scope = self.scope(caller);
        match timeout(self.settings.check_every, scope.assert_fresh()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Error::Wall(error))) if error.may_pass() => Err(Close::UNAVAILABLE),
            Err(_) => Err(Close::UNAVAILABLE),
            Ok(Err(_)) => Err(Close::ENDED),
        }
    }

    /// A token's end is known beforehand.
    fn next_check(&self, caller: &Caller) -> Instant {
        let left = match caller {
            Caller::User(access, _) => (access.expires_at() - self.gateway.process.ports.now()).to_std().ok(),
            Caller::ApiKey(_) | Caller::Anonymous => None,
        };
        Instant::now() + left.unwrap_or(Duration::MAX).min(self.settings.check_every)
    }

    fn scope(&self, caller: &Caller) -> RequestScope {
        RequestScope::new(Arc::clone(&self.gateway.process), caller.clone(), self.address, self.request_id.clone())
    }

    async fn subscribe(&mut self, id: &str, params: Params) -> Result<(), Close> {
        let Some(caller) = &self.caller else { return Err(Close::UNAUTHORIZED) };
        if self.running.contains_key(id) {
            return Err(Close::already_exists(id));
        }
        let (scope, payers) = (self.scope(caller), caller.payers());
        let (request, cost) = match self.prepare(params) {
            Ok(prepared) => prepared,
            Err(response) => return self.answer(id, *response).await,
        };
        // There is a place for it, so it is paid for: its start, not what it tells later.
        if let Err(limited) = self.gateway.process.desk.rates.charge(&payers, cost.0).await {
            return self.answer(id, rate::refused(&limited)).await;
        }
        let (live, catcher) = (self.gateway.live.clone(), self.gateway.catcher.clone());
        let answers = execute::subscribe(&self.gateway.schema, scope, live, catcher, request);
        self.numbers += 1;
        let (number, id) = (self.numbers, Arc::<str>::from(id));
        let task = run(answers, self.answering.clone(), (number, Arc::clone(&id)));
        let task = AbortOnDropHandle::new(rt::spawn(task.instrument(tracing::Span::current())));
        self.running.insert(id, Running { number, paid: (payers, cost), _task: task });
        Ok(())
    }

    fn is_running(&self, id: &str, number: u64) -> bool {
        self.running.get(id).is_some_and(|running| running.number == number)
    }

    /// The request, or the answer to one that is not run.
    fn prepare(&self, params: Params) -> Result<(Request, Cost), Box<Response>> {
        if self.running.len() >= self.settings.running_max {
            let message = format!("A socket has at most {} subscriptions.", self.settings.running_max);
            return Err(Box::new(refused("TOO_MANY", message)));
        }
        match prepare(&self.gateway.documents, params) {
            Ok((request, Some(OperationType::Subscription) | None, cost)) => Ok((request, cost)),
            Ok(_) => Err(Box::new(refused("BAD_REQUEST", "Send queries and mutations by POST.".to_owned()))),
            Err(Stop::Answer(response)) => Err(response),
            Err(Stop::Problem(problem)) => Err(Box::new(refused_by(problem))),
        }
    }

    /// Tells an answer, or the errors of a subscription that was not run.
    async fn answer(&mut self, id: &str, mut response: Response) -> Result<(), Close> {
        present(&mut response, &self.request_id);
        // Nobody came in without a credential, so this one has ended.
        if error::has_code(&response, "UNAUTHENTICATED") {
            return Err(Close::ENDED);
        }
        if is_not_run(&response) {
            if let Some(Running { paid: (payers, Cost(points)), .. }) = self.running.remove(id) {
                self.gateway.process.desk.rates.refund(&payers, points);
            }
            return self.outgoing.tell(&Told::Error { id, payload: &response.errors }).await;
        }
        self.outgoing.tell(&Told::Next { id, payload: &response }).await
    }
}

/// Runs a subscription to its end.
async fn run(answers: impl Stream<Item = Response>, told: mpsc::Sender<Answer>, (number, id): (u64, Arc<str>)) {
    let answer = |response: Option<Response>| Answer { number, id: Arc::clone(&id), response: response.map(Box::new) };
    let all = async {
        let mut answers = pin!(answers);
        while let Some(response) = answers.next().await {
            // Where nobody hears it, this task is about to be ended.
            let _ = told.send(answer(Some(response))).await;
        }
    };
    if AssertUnwindSafe(all).catch_unwind().await.is_err() {
        tracing::error!("a subscription panicked");
        let _ = told.send(answer(Some(refused_by(Problem::Internal)))).await;
    }
    let _ = told.send(answer(None)).await;
}

fn refused_by(problem: Problem) -> Response {
    let (_, code, message) = problem.parts();
    refused(code, message)
}

fn refused(code: &str, message: String) -> Response {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", code);
    Response::from_errors(vec![error])
}
