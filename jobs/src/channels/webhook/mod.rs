//! The webhook channel: one POST to an address that was judged in the connector (C-227), no redirects, no proxy, a time
//! limit, and no more of an answer than is worth keeping.

mod guard;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use carillon_domain::ids::WebhookEventId;
use carillon_domain::time::Timestamp;
use carillon_domain::webhooks::{Answer, EndpointUrl, WebhookOutcome, WebhookReach};
use chrono::{DateTime, TimeDelta};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use rustls::{ClientConfig, RootCertStore};

use guard::Guard;
pub use guard::{AddressRefused, Names, SystemNames};

/// What is kept of an answer's body.
const KEPT: usize = 512;
/// An answer is read this far, so that its connection can be used again; of a longer one the connection is closed.
const READ: usize = 16 * 1024;

/// How the channel behaves.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// How long an endpoint has, from the first octet of the connection to the last of the answer (C-188).
    pub timeout: Duration,
    /// Who tells addresses of names.
    pub names: Arc<dyn Names>,
    /// Whose certificates are trusted.
    pub roots: Arc<RootCertStore>,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self { timeout: Duration::from_secs(15), names: Arc::new(SystemNames), roots: Arc::new(roots) }
    }
}

/// What is sent.
#[derive(Debug)]
pub struct Letter<'a> {
    /// Where to.
    pub url: &'a str,
    /// The `webhook-id`.
    pub id: WebhookEventId,
    /// The `webhook-timestamp`.
    pub at: Timestamp,
    /// The `webhook-signature`.
    pub signature: String,
    /// The body, as it was signed.
    pub body: &'a [u8],
}

/// Sends webhooks; its connections are kept and shared.
#[derive(Debug, Clone)]
pub struct WebhookChannel {
    client: Client,
    reach: WebhookReach,
}

impl WebhookChannel {
    /// A channel that reaches so far.
    pub fn new(reach: WebhookReach, settings: WebhookSettings) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("aws-lc offers the default TLS versions")
            .with_root_certificates(settings.roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Guard { names: settings.names, reach })
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .https_only(reach == WebhookReach::Public)
            .http1_only()
            .timeout(settings.timeout)
            .pool_max_idle_per_host(32)
            .user_agent("Carillon-Webhooks")
            .build()
            .expect("a client of fixed settings");
        Self { client, reach }
    }

    /// Sends a letter; what came of it, without the time it took, which is the caller's clock's.
    pub async fn post(&self, letter: Letter<'_>) -> Answer {
        // An address in the place of a name is nobody's to resolve, so it is judged here.
        let refused = Answer::without(WebhookOutcome::AddressRefused, TimeDelta::zero());
        let Ok(url) = EndpointUrl::parse(letter.url, self.reach) else { return refused };
        let is_allowed = url.literal().is_none_or(|ip| self.reach.allows(ip));
        if !is_allowed && !carillon_domain::seeded_bugs::on("webhook_address_unchecked") {
            return refused;
        }
        let request = self.client.post(url.as_str()).header(CONTENT_TYPE, "application/json");
        let request = request.header("webhook-id", letter.id.to_string());
        let request = request.header("webhook-timestamp", letter.at.timestamp());
        let request = request.header("webhook-signature", letter.signature);
        match request.body(letter.body.to_vec()).send().await {
            Ok(response) => read(response, letter.at).await,
            Err(error) => Answer::without(judge(&error), TimeDelta::zero()),
        }
    }
}

/// What an answer says; its status counts, even if its body breaks off.
async fn read(mut response: Response, asked_at: Timestamp) -> Answer {
    let (status, retry_after) = (response.status(), retry_after(response.headers(), asked_at));
    let (mut kept, mut seen) = (Vec::new(), 0);
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = KEPT.saturating_sub(kept.len()).min(chunk.len());
        kept.extend_from_slice(&chunk[..room]);
        seen += chunk.len();
        if seen > READ {
            break;
        }
    }
    let outcome = match status {
        status if status.is_success() => WebhookOutcome::Delivered,
        StatusCode::GONE => WebhookOutcome::Gone,
        _ => WebhookOutcome::Answered,
    };
    // Postgres takes no NUL in a text.
    let body = String::from_utf8_lossy(&kept).replace('\0', "\u{fffd}");
    Answer {
        outcome,
        status: Some(status.as_u16()),
        duration: TimeDelta::zero(),
        body: (!body.is_empty()).then_some(body),
        retry_after,
    }
}

/// The time that an endpoint asks for, in seconds or as the date that it names (RFC 9110 s10.2.3).
fn retry_after(headers: &HeaderMap, asked_at: Timestamp) -> Option<TimeDelta> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(TimeDelta::seconds(i64::from(seconds)));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some(date.signed_duration_since(asked_at))
}

fn judge(error: &reqwest::Error) -> WebhookOutcome {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<AddressRefused>() {
            return WebhookOutcome::AddressRefused;
        }
        source = error.source();
    }
    if error.is_timeout() { WebhookOutcome::TimedOut } else { WebhookOutcome::Unreachable }
}
