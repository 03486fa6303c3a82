//! Settings of the rules; the process' own (addresses, pools) belong to the gateway's configuration.

use chrono::{Months, TimeDelta};

use crate::messaging::RetrySchedule;
use crate::tenancy::RateSettings;

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignUpMode {
    /// Anybody.
    Open,
    /// Whoever holds an invitation.
    Invite,
    /// Nobody; `carillon admin` makes accounts.
    Closed,
}

/// Settings of one deployment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where recipients and browsers reach us, without a trailing slash.
    pub public_url: String,
    /// From address of Carillon's own mail.
    pub system_from: String,
    /// The domain of return paths, whose mail comes back to us; none where bounces go to the senders (C-55).
    pub bounce_domain: Option<String>,
    /// Who may sign up.
    pub sign_up: SignUpMode,
    /// True where no production secrets are needed: senders count as verified when their key is made.
    pub embedded: bool,
    /// How long a permit of the gate is good for (L3): at most 30 s.
    pub permit_life: TimeDelta,
    /// How long a claim holds before a sweep may take it back.
    pub lease: TimeDelta,
    /// How long late evidence about an unknown outcome is waited for before it is decided by class (C-62, C-168).
    pub reconcile: TimeDelta,
    /// When deferred messages are tried again (C-61).
    pub retry: RetrySchedule,
    /// Messages a tenant may send in a day unless its account says otherwise.
    pub messages_per_day: i64,
    /// Tenants an account may have unless the operator says otherwise.
    pub tenants_per_account: i64,
    /// Points a minute that callers may ask for (C-234).
    pub rates: RateSettings,
    /// Bytes of the largest file.
    pub upload_max: u64,
    /// How long an upload and its address live.
    pub upload_life: TimeDelta,
    /// Rows that an import writes in one transaction.
    pub import_batch: usize,
    /// What is listed of an import, mistakes and kept-out consent alike; what comes after is only counted.
    pub import_errors: usize,
    /// How long what became of mail, and what webhooks were told, is kept; for ever without it.
    pub retention: Option<Months>,
    /// Contacts that the freeze of a campaign looks at in one transaction.
    pub campaign_batch: u32,
}

impl Settings {
    /// The published defaults.
    pub fn new(public_url: impl Into<String>) -> Self {
        let public_url = public_url.into();
        Self {
            system_from: "carillon@embedded.example".to_owned(),
            public_url,
            bounce_domain: None,
            sign_up: SignUpMode::Open,
            embedded: false,
            permit_life: TimeDelta::seconds(10),
            lease: TimeDelta::seconds(30),
            reconcile: TimeDelta::minutes(10),
            retry: RetrySchedule::STANDARD,
            messages_per_day: 1_000_000,
            tenants_per_account: 100,
            rates: RateSettings { tenant: 100_000, key: 100_000, user: 100_000 },
            upload_max: 1 << 30,
            upload_life: TimeDelta::hours(24),
            import_batch: 1_000,
            import_errors: 100_000,
            retention: None,
            campaign_batch: 1_000,
        }
    }

    /// What we are called in mail, as the right side of Message-IDs and in EHLO: the host of our public URL, a domain we
    /// control (C-25). An address stands in brackets (RFC 5321 s4.1.3).
    pub fn mail_host(&self) -> String {
        match url::Url::parse(&self.public_url).ok().as_ref().and_then(url::Url::host) {
            Some(url::Host::Domain(domain)) => domain.to_owned(),
            Some(url::Host::Ipv4(address)) => format!("[{address}]"),
            Some(url::Host::Ipv6(address)) => format!("[IPv6:{address}]"),
            None => "localhost".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c025_our_name_in_mail_is_a_domain_or_an_address_literal() {
        let host = |url: &str| Settings::new(url).mail_host();
        assert_eq!(host("https://mail.example.org"), "mail.example.org");
        assert_eq!(host("https://mail.example.org:8443/carillon"), "mail.example.org");
        assert_eq!(host("http://localhost:8080"), "localhost");
        assert_eq!(host("http://127.0.0.1:8080"), "[127.0.0.1]");
        assert_eq!(host("http://[::1]:8080"), "[IPv6:::1]");
        assert_eq!(host("nonsense"), "localhost");
    }
}
