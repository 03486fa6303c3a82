//! Links in mails: the one-click of the List-Unsubscribe header (RFC 8058) and the page behind the link in the body.
//!
//! A GET shows a page and changes nothing (C-05, L10). A POST to the header's link acts, whatever its body (C-03, C-06);
//! a POST to the body's link needs its form's field, which also offers to end tracking and nothing else (C-80). The effect is committed before the answer (C-11). No redirect, no
//! cookie, no login, no limit stands before a valid token (C-03, C-04, C-10).

use std::time::Duration;

use actix_web::http::header::ALLOW;
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use carillon_domain::consent::{OptOutScope, unsubscribe, unsubscribe_page};
use carillon_domain::error::Error;
use carillon_domain::keys::{LinkPurpose, LinkToken, NoLink, VerifiedLink};
use carillon_domain::messaging::refuse_tracking;
use carillon_domain::ports::Ports;
use carillon_domain::reruns::Reruns;
use carillon_domain::tenancy::enter_by_link;
use futures::StreamExt;
use serde::Deserialize;

use super::pages::{self, UnsubscribeView};
use super::{Gateway, Problem};

/// Bytes and time that the body of a one-click is read for, so that its sender gets to read the answer.
const BODY_MAX: usize = 1024 * 1024;
const BODY_TIME: Duration = Duration::from_secs(5);

/// The routes, with and without a trailing slash, so that nobody is redirected (C-04).
pub fn configure(config: &mut web::ServiceConfig) {
    for path in ["/u/{token}", "/u/{token}/"] {
        config.service(
            web::resource(path)
                .route(web::post().to(one_click))
                .route(web::get().to(header_page))
                .route(web::head().to(header_page))
                .default_service(web::to(other_method)),
        );
    }
    for path in ["/unsubscribe/{token}", "/unsubscribe/{token}/"] {
        config.service(
            web::resource(path)
                .route(web::post().to(choose))
                .route(web::get().to(body_page))
                .route(web::head().to(body_page))
                .default_service(web::to(other_method)),
        );
    }
}

/// The answer to every other method on a page of a link.
pub(super) async fn other_method(request: HttpRequest) -> HttpResponse {
    let options = request.method() == Method::OPTIONS;
    let status = if options { StatusCode::NO_CONTENT } else { StatusCode::METHOD_NOT_ALLOWED };
    pages::guarded(status).insert_header((ALLOW, "GET, HEAD, OPTIONS, POST")).finish()
}

async fn one_click(request: HttpRequest, gateway: web::Data<Gateway>, body: web::Payload) -> HttpResponse {
    let ports = &gateway.process.ports;
    let link = match link(&request, ports, LinkPurpose::OneClick) {
        Ok(link) => link,
        Err(no_link) => return not_opened(no_link),
    };
    let done = act(ports, &link, Some(OptOutScope::Topic)).await;
    drain(body, gateway.settings.body_timeout.min(BODY_TIME)).await;
    done.map_or_else(|error| failed(&error), |()| pages::unsubscribed())
}

async fn header_page(request: HttpRequest, gateway: web::Data<Gateway>) -> HttpResponse {
    let ports = &gateway.process.ports;
    let link = match link(&request, ports, LinkPurpose::OneClick) {
        Ok(link) => link,
        Err(no_link) => return not_opened(no_link),
    };
    // The page's forms need a field, so they go to the body's link (C-06).
    let token = LinkToken { purpose: LinkPurpose::UnsubscribePage, ..*link }.encode(&ports.keys);
    let action = Some(format!("/unsubscribe/{token}"));
    show(ports, &link, UnsubscribeView { action, ..UnsubscribeView::default() }).await
}

async fn body_page(request: HttpRequest, gateway: web::Data<Gateway>) -> HttpResponse {
    let ports = &gateway.process.ports;
    let link = match link(&request, ports, LinkPurpose::UnsubscribePage) {
        Ok(link) => link,
        Err(no_link) => return not_opened(no_link),
    };
    show(ports, &link, UnsubscribeView::default()).await
}

/// What the page's forms send.
#[derive(Debug, Deserialize)]
struct Form {
    choice: Choice,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Choice {
    Topic,
    AllMarketing,
    NoTracking,
}

async fn choose(request: HttpRequest, gateway: web::Data<Gateway>, body: web::Payload) -> HttpResponse {
    let ports = &gateway.process.ports;
    let link = match link(&request, ports, LinkPurpose::UnsubscribePage) {
        Ok(link) => link,
        Err(no_link) => return not_opened(no_link),
    };
    let mut body = body.into_inner();
    let read = web::Form::<Form>::from_request(&request, &mut body);
    let form = match tokio::time::timeout(gateway.settings.body_timeout, read).await {
        Ok(Ok(form)) => form,
        Ok(Err(_)) => return show(ports, &link, UnsubscribeView::default()).await,
        Err(_) => return Problem::BodyTimeout.response(),
    };
    let (scope, done) = match form.choice {
        Choice::Topic => (Some(OptOutScope::Topic), "topic"),
        Choice::AllMarketing => (Some(OptOutScope::AllMarketing), "all_marketing"),
        // Who does not want to be watched stays on the list (C-80).
        Choice::NoTracking => (None, "no_tracking"),
    };
    match act(ports, &link, scope).await {
        Ok(()) => show(ports, &link, UnsubscribeView { done: Some(done), ..UnsubscribeView::default() }).await,
        Err(error) => failed(&error),
    }
}

fn link(request: &HttpRequest, ports: &Ports, purpose: LinkPurpose) -> Result<VerifiedLink, NoLink> {
    LinkToken::decode(&ports.keys, purpose, request.match_info().get("token").ok_or(NoLink::Unknown)?)
}

/// Under a key that is not here yet it is asked for again, for nobody asks again after a 404 (C-11).
pub(super) fn not_opened(no_link: NoLink) -> HttpResponse {
    match no_link {
        NoLink::Unknown => pages::unknown_link(),
        NoLink::OtherKey(key) => {
            // Anybody can name a key that never was.
            tracing::debug!(%key, "a link names a key that is not in CARILLON_KEYS");
            pages::unavailable()
        }
    }
}

/// Unsubscribes, or without a scope ends tracking only, and commits.
async fn act(ports: &Ports, link: &VerifiedLink, scope: Option<OptOutScope>) -> Result<(), Error> {
    let grant = enter_by_link(&ports.wall, link);
    let mut reruns = Reruns::default();
    loop {
        let result = async {
            let mut tx = grant.begin().await?;
            match scope {
                Some(scope) => drop(unsubscribe(&grant, &mut tx, ports, link, scope).await?),
                None => drop(refuse_tracking(&grant, &mut tx, ports, link).await?),
            }
            Ok(tx.commit().await?)
        };
        match result.await {
            Err(error) if reruns.after(&error) => {}
            result => return result,
        }
    }
}

async fn show(ports: &Ports, link: &VerifiedLink, view: UnsubscribeView) -> HttpResponse {
    let grant = enter_by_link(&ports.wall, link);
    let page = async {
        let mut tx = grant.begin_read().await?;
        unsubscribe_page(&grant, &mut tx, link).await
    };
    match page.await {
        Ok(page) => pages::unsubscribe(UnsubscribeView {
            brand: page.brand,
            topic: page.topic,
            is_all_marketing: page.is_all_marketing,
            // What was asked for is what was done: a link about all marketing ends all of it.
            done: view.done.map(|done| if page.is_all_marketing && done == "topic" { "all_marketing" } else { done }),
            ..view
        }),
        // What was done is committed, and its answer needs no names.
        Err(_) if view.done.is_some() => pages::unsubscribe(view),
        Err(error) => failed(&error),
    }
}

/// Never a success that may be lost, and always one that can be tried again (C-11).
fn failed(error: &Error) -> HttpResponse {
    tracing::error!(%error, "a recipient's link failed");
    pages::unavailable()
}

/// Reads and drops what is left of a body; what it says does not matter.
async fn drain(mut body: web::Payload, time: Duration) {
    let read = async {
        let mut length = 0;
        while let Some(Ok(chunk)) = body.next().await {
            length += chunk.len();
            if length > BODY_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(time, read).await;
}
