//! `/dev/mail`: what the built-in catcher got, to look at in a browser. Embedded mode only.
//!
//! GET alone, and it changes nothing. What a mail brings along stays shut in: no script runs, nothing is loaded from
//! elsewhere, and its html part is shown in a sandbox of its own.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::Gateway;
use super::pages::{self, MailView};
use crate::graphql::catcher::{CaughtMail, unfolded};

/// Mails of one page.
const PAGE: usize = 50;
/// What a mail's html may do: show itself with its own styles and inline pictures.
const SANDBOX: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// The routes.
pub fn configure(routes: &mut web::ServiceConfig) {
    routes
        .route("/dev/mail", web::get().to(list))
        .route("/dev/mail/{seq}", web::get().to(show))
        .route("/dev/mail/{seq}/html", web::get().to(html))
        .route("/dev/mail/{seq}/raw", web::get().to(raw));
}

#[derive(Debug, Deserialize)]
struct Place {
    before: Option<u64>,
    to: Option<String>,
}

async fn list(gateway: web::Data<Gateway>, place: Option<web::Query<Place>>) -> HttpResponse {
    let Some(catcher) = &gateway.catcher else { return pages::no_mail() };
    let place = place.map_or(Place { before: None, to: None }, web::Query::into_inner);
    let mails: Vec<MailView> = catcher
        .latest(place.before, place.to.as_deref(), PAGE)
        .into_iter()
        .map(|mail| view(&CaughtMail(mail)))
        .collect();
    let older = mails.last().filter(|_| mails.len() == PAGE).map(|mail| mail.seq);
    pages::mails(&mails, older)
}

async fn show(gateway: web::Data<Gateway>, seq: web::Path<String>) -> HttpResponse {
    find(&gateway, &seq).map_or_else(pages::no_mail, |mail| pages::mail(&view(&mail)))
}

async fn html(gateway: web::Data<Gateway>, seq: web::Path<String>) -> HttpResponse {
    let mail = find(&gateway, &seq);
    let html = mail.as_ref().and_then(|mail| Some(mail.parsed()?.body_html(0)?.into_owned()));
    html.map_or_else(pages::no_mail, |html| shut_in("text/html; charset=utf-8").body(html))
}

async fn raw(gateway: web::Data<Gateway>, seq: web::Path<String>) -> HttpResponse {
    let Some(mail) = find(&gateway, &seq) else { return pages::no_mail() };
    shut_in("text/plain; charset=utf-8").body(String::from_utf8_lossy(&mail.0.raw).into_owned())
}

fn shut_in(content_type: &'static str) -> actix_web::HttpResponseBuilder {
    let mut response = pages::guarded(StatusCode::OK);
    response.insert_header((CONTENT_SECURITY_POLICY, SANDBOX)).insert_header((CONTENT_TYPE, content_type));
    response
}

fn find(gateway: &Gateway, seq: &str) -> Option<CaughtMail> {
    gateway.catcher.as_ref()?.get(seq.parse().ok()?).map(CaughtMail)
}

fn view(mail: &CaughtMail) -> MailView {
    let parsed = mail.parsed();
    let header = |(name, value): (&str, &str)| (name.to_owned(), unfolded(value));
    MailView {
        seq: mail.0.seq,
        to: mail.0.recipients.join(", "),
        subject: parsed.as_ref().and_then(|mail| mail.subject()).unwrap_or_default().to_owned(),
        headers: parsed.as_ref().map(|mail| mail.headers_raw().map(header).collect()).unwrap_or_default(),
        text: parsed.as_ref().and_then(|mail| mail.body_text(0)).unwrap_or_default().into_owned(),
        has_html: parsed.as_ref().is_some_and(|mail| mail.html_body_count() > 0),
    }
}
