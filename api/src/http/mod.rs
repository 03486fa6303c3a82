//! The HTTP edge: media types, status codes, sizes and times are ours (C-223), what they carry is GraphQL's.

mod caller;
mod clicks;
mod client;
mod compress;
mod dev_mail;
mod files;
mod graphql;
mod health;
mod negotiate;
mod observe;
mod pages;
mod problem;
mod recipient;
mod reports;
mod tenancy;
mod watch;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header;
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpResponse, HttpServer, web};

use crate::graphql::CarillonSchema;
use crate::graphql::catcher::CatcherPort;
use crate::graphql::documents::Documents;
use crate::graphql::live::Live;
use crate::graphql::scope::Process;

pub use clicks::HitRecorder;
pub use client::TrustedProxies;
pub use graphql::{KeptDocuments, RatePolicies, SocketSettings, Sockets};
pub use health::{Check, Health, Probe, database as database_check};
pub use observe::RequestId;
use observe::Spans;
pub use problem::Problem;
pub use watch::watch;

/// What the edge may cost and whom it believes.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The largest body of a GraphQL request, in bytes.
    pub body_limit: usize,
    /// The longest a body may take to arrive; of a file, the longest it may stall.
    pub body_timeout: Duration,
    /// The longest a part of a file may take to arrive.
    pub upload_timeout: Duration,
    /// The longest a request may run.
    pub request_timeout: Duration,
    /// Proxies whose `X-Forwarded-For` is believed (C-201).
    pub trusted_proxies: TrustedProxies,
    /// Whether a caller's trace is gone on with; else it is a link of ours.
    pub continues_traces: bool,
    /// What sockets may cost.
    pub sockets: SocketSettings,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            body_limit: 1_000_000,
            body_timeout: Duration::from_secs(20),
            upload_timeout: Duration::from_mins(15),
            request_timeout: Duration::from_secs(30),
            trusted_proxies: TrustedProxies::default(),
            continues_traces: false,
            sockets: SocketSettings::default(),
        }
    }
}

/// Which routes a process has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Serves {
    /// All of them.
    #[default]
    Everything,
    /// What recipients of mail follow, and health: a deployment that needs Postgres alone, so that nothing else can keep
    /// anybody from unsubscribing (C-11).
    Recipients,
}

/// Everything the handlers share; one per process.
pub struct Gateway {
    /// The schema.
    pub schema: CarillonSchema,
    /// Documents that were read before.
    pub documents: Documents,
    /// Persisted documents that were looked up a moment ago.
    pub kept: KeptDocuments,
    /// What requests share.
    pub process: Arc<Process>,
    /// Limits of the edge.
    pub settings: HttpSettings,
    /// Which routes there are.
    pub serves: Serves,
    /// What readiness depends on.
    pub health: Health,
    /// Writes down who opens and clicks.
    pub hits: HitRecorder,
    /// The built-in mail catcher, where there is one.
    pub catcher: CatcherPort,
    /// When subscriptions look again.
    pub live: Live,
    /// The sockets that are open.
    pub sockets: Sockets,
    /// What each kind of caller may ask for, as headers tell it.
    pub policies: RatePolicies,
}

impl Gateway {
    /// A gateway over a process, with the usual limits, ready while the database answers.
    pub fn new(process: Process) -> Self {
        let health = Health::new(vec![health::database(process.ports.wall.clone())]);
        let (schema, settings) = (crate::graphql::schema(), HttpSettings::default());
        let (documents, kept) = (Documents::default(), KeptDocuments::default());
        let (serves, hits) = (Serves::default(), HitRecorder::default());
        let (live, sockets) = (Live::default(), Sockets::default());
        let policies = RatePolicies::new(process.desk.rates.settings());
        crate::graphql::limits::learn_prices();
        let process = Arc::new(process);
        Self {
            schema,
            documents,
            kept,
            process,
            settings,
            serves,
            health,
            hits,
            catcher: None,
            live,
            sockets,
            policies,
        }
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("settings", &self.settings)
            .field("serves", &self.serves)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

/// The routes of a gateway; each aggregate that has routes of its own adds its `configure` here.
pub fn configure(routes: &mut web::ServiceConfig, gateway: &Gateway) {
    // The router tries them in turn: what is asked most comes first.
    if gateway.serves == Serves::Everything {
        routes.configure(graphql::configure).configure(tenancy::configure).configure(files::configure);
        if gateway.process.ports.settings.embedded {
            routes.route("/", web::get().to(graphql::graphiql)).configure(dev_mail::configure);
        }
    }
    routes.configure(clicks::configure).configure(recipient::configure).configure(reports::configure);
    routes.configure(health::configure);
    routes.default_service(web::to(not_found));
}

/// An application with every route and everything around them.
#[macro_export]
macro_rules! application {
    ($gateway:expr) => {{
        let gateway: actix_web::web::Data<$crate::http::Gateway> = $gateway;
        actix_web::App::new()
            .app_data(gateway.clone())
            .wrap($crate::http::security_headers())
            .wrap(actix_web::middleware::from_fn($crate::http::observed))
            .configure(|routes| $crate::http::configure(routes, &gateway))
    }};
}

pub use observe::observed;

/// Serves on a bound listener until the returned server is stopped through its handle; it does not look at signals.
/// Running requests then have `drain` to finish.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(gateway: web::Data<Gateway>, listener: TcpListener, drain: Duration) -> std::io::Result<Server> {
    let server = HttpServer::new(move || application!(gateway.clone()))
        .disable_signals()
        .shutdown_timeout(drain.as_secs())
        .client_request_timeout(Duration::from_secs(10))
        .keep_alive(Duration::from_secs(75));
    Ok(server.listen(listener)?.run())
}

/// Headers that cost nothing and close doors; a handler that knows better sets its own.
pub fn security_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
        .add((header::CACHE_CONTROL, "no-store"))
}

async fn not_found() -> HttpResponse {
    Problem::NotFound.response()
}

#[cfg(test)]
mod tests;
