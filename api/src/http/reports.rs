//! Bounces and complaints over HTTP, for mail servers that hand a mail to a command instead of a listener (C-54).
//!
//! The address is the return path's local part, which was signed here: it is the right to post, and says what the report is
//! about. So it needs no key, and opens nothing but what a mail to the same address does. Any POST is answered when what it
//! reports is committed; posting it again changes nothing (C-58).

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use carillon_domain::keys::NoLink;
use carillon_domain::messaging::{READ_MAX, ReportAddress, receive_report};
use futures::StreamExt;

use super::{Gateway, Problem, pages};

/// Octets that a mail may have; what is read of it is far less.
const MAIL_MAX: usize = 25_000_000;

/// The route.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/b/{local_part}").route(web::post().to(report)).default_service(web::to(other_method)));
}

async fn other_method() -> HttpResponse {
    pages::guarded(StatusCode::METHOD_NOT_ALLOWED).insert_header(("allow", "POST")).finish()
}

async fn report(request: HttpRequest, gateway: web::Data<Gateway>, body: web::Payload) -> HttpResponse {
    let ports = &gateway.process.ports;
    let local = request.match_info().get("local_part").unwrap_or_default();
    let address = match ReportAddress::of_local_part(ports, local) {
        Ok(address) => address,
        Err(NoLink::Unknown) => return Problem::NotFound.response(),
        // Under a key that is not here yet it is to come again.
        Err(NoLink::OtherKey(_)) => return pages::guarded(StatusCode::SERVICE_UNAVAILABLE).finish(),
    };
    let read = tokio::time::timeout(gateway.settings.body_timeout, beginning(body));
    let raw = match read.await {
        Ok(Some(raw)) => raw,
        Ok(None) => return pages::guarded(StatusCode::PAYLOAD_TOO_LARGE).finish(),
        Err(_) => return Problem::BodyTimeout.response(),
    };
    match Box::pin(receive_report(ports, address, raw)).await {
        Ok(_) => pages::guarded(StatusCode::NO_CONTENT).finish(),
        Err(error) => {
            tracing::warn!(%error, "a report is not taken yet");
            pages::guarded(StatusCode::SERVICE_UNAVAILABLE).finish()
        }
    }
}

/// The beginning of a body, which is read to its end; none for one that is too long, or breaks off.
async fn beginning(mut body: web::Payload) -> Option<Vec<u8>> {
    let (mut kept, mut seen) = (Vec::new(), 0);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.ok()?;
        seen += chunk.len();
        if seen > MAIL_MAX {
            return None;
        }
        let room = READ_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Some(kept)
}
