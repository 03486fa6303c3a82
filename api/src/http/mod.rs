//! The HTTP edge: media types, status codes, sizes and times are ours (C-223), what they carry is GraphQL's.

mod caller;
mod client;
mod graphql;
mod health;
mod negotiate;
mod observe;
mod problem;

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpResponse, web};
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::AccessTokens;

use crate::graphql::CarillonSchema;
use crate::graphql::scope::Doorbell;

pub use client::TrustedProxies;
pub use health::{Check, Health, Probe};
pub use observe::RequestId;
pub use problem::Problem;

/// What the edge may cost and whom it believes.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The largest body of a GraphQL request, in bytes.
    pub body_limit: usize,
    /// The longest a body may take to arrive.
    pub body_timeout: Duration,
    /// The longest a request may run.
    pub request_timeout: Duration,
    /// Proxies whose `X-Forwarded-For` is believed (C-201).
    pub trusted_proxies: TrustedProxies,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            body_limit: 1_000_000,
            body_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(30),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// Everything the handlers share; one per process.
pub struct Gateway {
    /// The schema.
    pub schema: CarillonSchema,
    /// What use cases need.
    pub ports: Ports,
    /// Verifies access tokens.
    pub tokens: AccessTokens,
    /// Told after commits that made work due.
    pub doorbell: Arc<dyn Doorbell>,
    /// Limits of the edge.
    pub settings: HttpSettings,
    /// What readiness depends on.
    pub health: Health,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("settings", &self.settings)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

/// Every route; each aggregate that has routes of its own adds its `configure` here.
pub fn configure(routes: &mut web::ServiceConfig, embedded: bool) {
    routes.configure(health::configure).configure(graphql::configure);
    if embedded {
        routes.route("/", web::get().to(graphql::graphiql));
    }
    routes.default_service(web::to(not_found));
}

/// An application with every route and everything around them.
#[macro_export]
macro_rules! application {
    ($gateway:expr) => {{
        let gateway: actix_web::web::Data<$crate::http::Gateway> = $gateway;
        let embedded = gateway.ports.settings.embedded;
        actix_web::App::new()
            .app_data(gateway)
            .wrap($crate::http::security_headers())
            .wrap(actix_web::middleware::from_fn($crate::http::observed))
            .configure(|routes| $crate::http::configure(routes, embedded))
    }};
}

pub use observe::observed;

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
