//! The secrets of an endpoint and what is signed with them (C-228): HMAC-SHA256 over `id.timestamp.body`, as Standard
//! Webhooks has it. While a secret is being changed both sign.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use carillon_entities::ids::{TenantId, WebhookEndpointId, WebhookEventId};
use chrono::TimeDelta;

use crate::entropy::Entropy;
use crate::keys::Place;
use crate::ports::Ports;
use crate::time::Timestamp;

/// For so long the secret before still signs, too.
pub const OVERLAP: TimeDelta = TimeDelta::hours(24);

const PREFIX: &str = "whsec_";
/// Octets of a secret.
const LENGTH: usize = 32;

/// A secret, as an endpoint's owner is shown it once. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret([u8; LENGTH]);

impl Secret {
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut secret = [0; LENGTH];
        entropy.fill(&mut secret);
        Self(secret)
    }

    /// The form that verifying libraries take.
    pub fn shown(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.0))
    }

    /// The form to store in a column of the endpoint.
    pub fn seal(&self, ports: &Ports, place: &Place) -> Vec<u8> {
        ports.keys.seal(place, &self.0, ports.entropy.as_ref())
    }

    /// Reads the stored form.
    pub fn open(ports: &Ports, place: &Place, sealed: &[u8]) -> crate::error::Result<Self> {
        let plain = ports.keys.open(place, sealed)?;
        plain.try_into().map(Self).map_err(|_| crate::error::Error::fault("a webhook's secret of the wrong length"))
    }
}

/// Where the secret of an endpoint is stored.
pub(super) fn secret_place(tenant: TenantId, endpoint: WebhookEndpointId) -> Place {
    Place::new(tenant, "webhook_endpoints", "sealed_secret", endpoint)
}

/// Where the secret before it is stored.
pub(super) fn previous_place(tenant: TenantId, endpoint: WebhookEndpointId) -> Place {
    Place::new(tenant, "webhook_endpoints", "sealed_previous", endpoint)
}

/// What signs for an endpoint: its secret, and for a while the one before.
#[derive(Clone)]
pub struct Secrets(Vec<hmac::Key>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Signs with each of them, the newest first.
    pub(super) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self(secrets.into_iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &secret.0)).collect())
    }

    /// The header `webhook-signature` of a body that is sent now.
    pub fn sign(&self, id: WebhookEventId, at: Timestamp, body: &[u8]) -> String {
        let head = format!("{id}.{}.", at.timestamp());
        let signed = |key: &hmac::Key| {
            let mut context = hmac::Context::with_key(key);
            context.update(head.as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        };
        self.0.iter().map(signed).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// Made with the reference library: `new Webhook(secret).sign(id, new Date(1772442000000), body)` of npm's
    /// `standardwebhooks` 1.1.1.
    #[test]
    fn c228_a_signature_is_that_of_the_reference_library() {
        let secret = Secret([7; LENGTH]);
        assert_eq!(secret.shown(), "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        let (id, at) = (WebhookEventId(Uuid::from_u128(1)), Timestamp::from_timestamp(1_772_442_000, 0).unwrap());
        let body = br#"{"data":{},"timestamp":"2026-03-02T09:00:00Z","type":"webhook.test"}"#;
        let one = Secrets::new([secret.clone()]).sign(id, at, body);
        assert_eq!(one, "v1,rbO/Y+bhgypnEQK8sXqgxb4fbD8xbWyGSHWWo4JbRjA=");
        let both = Secrets::new([Secret([8; LENGTH]), secret]).sign(id, at, body);
        assert_eq!(both, format!("v1,DaM1EBKYduYM95lDS6c5r3GCH9KEKOGRWBU+ksWDG1o= {one}"));
    }
}
