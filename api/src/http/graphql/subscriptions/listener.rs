//! Who listens, over a socket or as a stream: let in once, counted, and asked again and again whether they still may (C-224).
//!
//! Each subscription has a task of its own. So one that is reading goes on while its listener waits for something else, and
//! gives back its connection; by the time its answer waits to be told, it holds none.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, rt, web};
use async_graphql::{Request, Response, ServerError};
use carillon_domain::error::Error;
use carillon_domain::metrics::Metrics;
use carillon_domain::metrics::labels::{Answer, Operation};
use carillon_domain::persisted::DocumentHash;
use carillon_domain::seeded_bugs;
use carillon_domain::tenancy::{HeldCredential, Payers, Payment, RateLimited};
use carillon_domain::time::Timestamp;
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::super::persisted::{self, Named};
use super::super::{Params, Stop, present};
use super::SocketSettings;
use super::protocol::Close;
use super::sessions::Session;
use super::sockets::{Holder, Seat};
use crate::graphql::limits::Cost;
use crate::graphql::scope::{Caller, RequestScope};
use crate::graphql::{error, execute};
use crate::http::client::client_ip;
use crate::http::{Gateway, Problem, RequestId, Spans};

/// One who listens, or is about to.
pub(super) struct Listener {
    pub gateway: web::Data<Gateway>,
    pub settings: SocketSettings,
    /// Of the request that they came with, in which all is done that is for no subscription of its own.
    pub spans: Spans,
    pub request_id: String,
    seat: Seat,
    address: Option<IpAddr>,
    /// Who it is; none until they are let in.
    caller: Option<Caller>,
    /// What they came in with, among all that is asked about.
    session: Option<Session>,
    /// When there is something to look at: that nobody said who they are, or that they no longer are.
    due: Instant,
}

impl Listener {
    /// Somebody who asks to listen, if the process has a place.
    pub fn new(gateway: web::Data<Gateway>, request: &HttpRequest) -> Option<Self> {
        let settings = gateway.settings.sockets;
        let seat = gateway.sockets.enter(settings.process_max)?;
        let address = client_ip(request, &gateway.settings.trusted_proxies);
        let due = Instant::now() + settings.init_timeout;
        let (spans, request_id) = (Spans::of(request), RequestId::of(request));
        Some(Self { gateway, settings, spans, request_id, seat, address, caller: None, session: None, due })
    }

    /// Whether it is known who listens.
    pub fn is_in(&self) -> bool {
        self.caller.is_some()
    }

    /// Lets in who calls, if their credential is good and there is room for them.
    pub async fn let_in(&mut self, caller: Caller) -> Result<(), Close> {
        self.assert_fresh(&caller).await?;
        let holder = match &caller {
            Caller::Anonymous => return Err(Close::FORBIDDEN),
            Caller::User(_, Some(context)) | Caller::ApiKey(context) => Holder::Tenant(context.tenant()),
            Caller::User(access, None) => Holder::User(access.subject().user),
        };
        if !self.seat.belongs_to(holder, self.settings.tenant_max) {
            return Err(Close::TOO_MANY);
        }
        let credential = match &caller {
            Caller::User(access, _) => Some(HeldCredential::of_user(access)),
            Caller::ApiKey(context) => HeldCredential::of_key(context),
            Caller::Anonymous => None,
        };
        self.session = credential.map(|credential| self.gateway.sockets.sessions().begin(credential));
        self.due = self.next_check(&caller);
        self.caller = Some(caller);
        Ok(())
    }

    /// Until the process is going away.
    pub async fn drained(&self) {
        self.seat.drained().await;
    }

    /// Until it is time to [`check`](Self::check).
    pub async fn due(&self) {
        let ended = async {
            match &self.session {
                Some(session) => session.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { () = sleep_until(self.due) => {} () = ended => {} }
    }

    /// Asks whether the credential is still good, unless somebody just asked about all.
    pub async fn check(&mut self) -> Result<(), Close> {
        let (Some(caller), Some(session)) = (&self.caller, &self.session) else { return Err(Close::INIT_TIMEOUT) };
        let (ports, every) = (&self.gateway.process.ports, self.settings.check_every);
        if !session.has_ended() {
            // Who is not answered in time asks again.
            let _ = timeout(every, self.gateway.sockets.sessions().check(ports, every)).await;
        }
        let is_over = has_expired(caller, ports.now()) && !seeded_bugs::on("token_end_unnoticed");
        if session.has_ended() || is_over {
            return Err(Close::ENDED);
        }
        self.due = self.next_check(caller);
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
        let next = self.gateway.sockets.sessions().next_check(self.settings.check_every);
        Instant::now() + left.unwrap_or(Duration::MAX).min(next)
    }

    fn scope(&self, caller: &Caller) -> RequestScope {
        RequestScope::new(Arc::clone(&self.gateway.process), caller.clone(), self.address, self.request_id.clone())
    }

    /// The answers of a subscription; none for who is not in.
    pub fn subscribe(&self, request: Request) -> Option<impl Stream<Item = Response> + Send + use<>> {
        let scope = self.scope(self.caller.as_ref()?);
        let (live, catcher) = (self.gateway.live.clone(), self.gateway.catcher.clone());
        self.count(Answer::Ok);
        let open = Open::new(&self.gateway.process.ports.metrics);
        let answers = execute::subscribe(&self.gateway.schema, scope, live, catcher, request);
        Some(answers.inspect(move |_| _ = &open))
    }

    /// The request with its document, and which one it names if it does.
    pub async fn resolve(&self, mut params: Params) -> Result<(Params, Option<DocumentHash>), Stop> {
        let Some(caller) = &self.caller else { return Err(Problem::Unauthenticated.into()) };
        let named = persisted::named(&params)?;
        let found = persisted::resolve(&self.gateway, caller, &mut params, named);
        timeout(self.gateway.settings.request_timeout, found).await.map_err(|_| Problem::Timeout)??;
        Ok((params, named.and_then(Named::hash)))
    }

    /// Whether who may run certain documents alone may not run this one any more. While nobody can say they may.
    pub async fn has_lost(&self, document: DocumentHash) -> bool {
        let Some(caller) = self.caller.as_ref().filter(|caller| caller.document_set().is_some()) else { return false };
        let is_lost = persisted::is_lost(&self.gateway, caller, document);
        matches!(timeout(self.settings.check_every, is_lost).await, Ok(Ok(true)))
    }

    /// Pays for the start of a subscription (C-234).
    pub async fn charge(&self, Cost(points): Cost) -> Result<Payment, Box<RateLimited>> {
        self.gateway.process.desk.rates.charge(&self.payers(), points).await
    }

    /// Takes back what one cost that did not run.
    pub fn refund(&self, payment: Payment) {
        self.gateway.process.desk.rates.refund(payment);
    }

    fn payers(&self) -> Payers {
        self.caller.as_ref().unwrap_or(&Caller::Anonymous).payers()
    }

    /// Counts a subscription by what became of it.
    pub fn count(&self, answer: Answer) {
        self.gateway.process.ports.metrics.operations.one((Operation::Subscription, answer));
    }

    /// Makes of an answer what may leave. Nobody came in without a credential, so one that needs another has ended.
    pub fn present(&self, response: &mut Response) -> Result<(), Close> {
        present(response, &self.request_id);
        if error::has_code(response, "UNAUTHENTICATED") { Err(Close::ENDED) } else { Ok(()) }
    }
}

/// What is written in a token needs nobody to ask.
fn has_expired(caller: &Caller, now: Timestamp) -> bool {
    matches!(caller, Caller::User(access, _) if access.expires_at() <= now)
}

/// A subscription that is open, as operators see it, until this is dropped.
struct Open(Arc<Metrics>);

impl Open {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.subscriptions.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.subscriptions.dec();
    }
}

/// Runs a subscription until it ends, or what is returned is dropped. After the last answer none is told.
pub(super) fn run<T: 'static>(
    spans: &Spans,
    answers: impl Stream<Item = Response> + 'static,
    told: mpsc::Sender<T>,
    tell: impl Fn(Option<Box<Response>>) -> T + 'static,
) -> AbortOnDropHandle<()> {
    let running = async move {
        let all = async {
            let mut answers = pin!(answers);
            while let Some(response) = answers.next().await {
                // Where nobody hears it, this task is about to be ended.
                let _ = told.send(tell(Some(Box::new(response)))).await;
            }
        };
        if AssertUnwindSafe(all).catch_unwind().await.is_err() {
            tracing::error!("a subscription panicked");
            let _ = told.send(tell(Some(Box::new(refused_by(Problem::Internal))))).await;
        }
        let _ = told.send(tell(None)).await;
    };
    AbortOnDropHandle::new(rt::spawn(spans.around(running)))
}

/// The answer to a subscription that HTTP would not run.
pub(super) fn refused_by(problem: Problem) -> Response {
    let (_, code, message) = problem.parts();
    refused(code, message)
}

/// The answer to a subscription that is not run.
pub(super) fn refused(code: &str, message: String) -> Response {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", code);
    Response::from_errors(vec![error])
}
