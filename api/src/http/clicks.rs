//! Tracked links and the pixel (C-84): an answer from the token alone, and a trace of the request beside it.
//!
//! This is the one place where a GET leaves something behind (L10): a note that somebody asked, which by itself moves nobody
//! and is judged later. The answer never waits for it and never fails with it: the note is written apart, by so many at
//! once and so long at most, and lost when that is not enough. Neither the note's failure nor anything else logs an id
//! (C-79, C-199).

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderMap, LOCATION, USER_AGENT};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use carillon_domain::keys::{ClickToken, HitKind, NoLink, VerifiedClick};
use carillon_domain::messaging::{Agent, Visit, record_hit};
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::enter_by_click;
use tokio::sync::Semaphore;

use super::client::client_ip;
use super::pages;
use super::{Gateway, recipient};

/// Notes that are written at once; they share the database with everything else.
const AT_ONCE: u32 = 32;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One transparent dot.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
                       \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// Writes the notes of a process.
#[derive(Debug, Clone)]
pub struct HitRecorder(Arc<Semaphore>);

impl Default for HitRecorder {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE as usize)))
    }
}

impl HitRecorder {
    /// Notes a hit, unless too many are being noted.
    fn note(&self, ports: &Ports, click: VerifiedClick, visit: Visit) {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else {
            tracing::debug!("too many hits at once: one is not recorded");
            return;
        };
        let ports = ports.clone();
        tokio::spawn(async move {
            let grant = enter_by_click(&ports.wall, &click);
            match tokio::time::timeout(PATIENCE, record_hit(&grant, &ports, &click, visit)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a hit is not recorded"),
                Err(_) => tracing::warn!("a hit is not recorded in time"),
            }
            drop(permit);
        });
    }

    /// Waits until all that was noted is written, or lost.
    pub async fn idle(&self) {
        let _ = self.0.acquire_many(AT_ONCE).await;
    }
}

/// The routes.
pub fn configure(config: &mut web::ServiceConfig) {
    let routes = [("/c/{token}", HitKind::Click), ("/c/{token}/", HitKind::Click), ("/o/{token}.gif", HitKind::Open)];
    for (path, kind) in routes {
        let answer =
            move |request: HttpRequest, gateway: web::Data<Gateway>| async move { asked(&request, &gateway, kind) };
        config.service(
            web::resource(path)
                .route(web::get().to(answer))
                .route(web::head().to(answer))
                .default_service(web::to(other_method)),
        );
    }
}

async fn other_method(request: HttpRequest) -> HttpResponse {
    let options = request.method() == Method::OPTIONS;
    let status = if options { StatusCode::NO_CONTENT } else { StatusCode::METHOD_NOT_ALLOWED };
    pages::guarded(status).insert_header((ALLOW, "GET, HEAD, OPTIONS")).finish()
}

fn asked(request: &HttpRequest, gateway: &Gateway, kind: HitKind) -> HttpResponse {
    let ports = &gateway.process.ports;
    let token = request.match_info().get("token").ok_or(NoLink::Unknown);
    let click = match token.and_then(|token| ClickToken::decode(&ports.keys, kind, token)) {
        Ok(click) => click,
        Err(no_link) => return recipient::not_opened(no_link),
    };
    let answer = match &click.target {
        // Found, not 307: whatever the client, it asks for the page by GET.
        Some((_, to)) => pages::guarded(StatusCode::FOUND).insert_header((LOCATION, to.as_str())).finish(),
        None => pages::guarded(StatusCode::OK).insert_header((CONTENT_TYPE, "image/gif")).body(PIXEL),
    };
    let headers = request.headers();
    let visit = Visit {
        agent: Agent::of(text(headers, USER_AGENT.as_str()), is_prefetch(headers)),
        address: client_ip(request, &gateway.settings.trusted_proxies),
        is_head: request.method() == Method::HEAD,
    };
    gateway.hits.note(ports, click, visit);
    answer
}

/// What browsers and mail programs send when nobody looks at the answer yet.
fn is_prefetch(headers: &HeaderMap) -> bool {
    let says = |name| text(headers, name).map(str::to_ascii_lowercase);
    let purposes = ["purpose", "sec-purpose", "x-purpose", "x-moz"].into_iter().filter_map(says);
    purposes.into_iter().any(|purpose| purpose.contains("prefetch") || purpose.contains("preview"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
