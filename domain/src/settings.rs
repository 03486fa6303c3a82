//! Settings of the rules; the process' own (addresses, pools) belong to the gateway's configuration.

use chrono::TimeDelta;

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
    /// Who may sign up.
    pub sign_up: SignUpMode,
    /// True where no production secrets are needed: senders count as verified when their key is made.
    pub embedded: bool,
    /// How long a permit of the gate is good for (L3): at most 30 s.
    pub permit_life: TimeDelta,
    /// How long a claim holds before a sweep may take it back.
    pub lease: TimeDelta,
    /// How long after it fell due a marketing message is still worth sending, unless its sender says otherwise.
    pub marketing_expiry: TimeDelta,
    /// The same for transactional messages.
    pub transactional_expiry: TimeDelta,
    /// First retry of a deferred message, before jitter (C-61).
    pub retry_first: TimeDelta,
    /// The longest pause between two attempts.
    pub retry_longest: TimeDelta,
    /// Messages a tenant may send in a day unless its account says otherwise.
    pub messages_per_day: i64,
    /// Tenants an account may have unless the operator says otherwise.
    pub tenants_per_account: i64,
}

impl Settings {
    /// The published defaults.
    pub fn new(public_url: impl Into<String>) -> Self {
        Self {
            public_url: public_url.into(),
            sign_up: SignUpMode::Open,
            embedded: false,
            permit_life: TimeDelta::seconds(10),
            lease: TimeDelta::seconds(30),
            marketing_expiry: TimeDelta::hours(48),
            transactional_expiry: TimeDelta::hours(24),
            retry_first: TimeDelta::minutes(10),
            retry_longest: TimeDelta::hours(4),
            messages_per_day: 1_000_000,
            tenants_per_account: 100,
        }
    }
}
