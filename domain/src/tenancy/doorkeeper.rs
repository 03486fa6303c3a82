//! The doorkeeper: what every sign-in and every request passes, one per process.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::TimeDelta;

use super::throttle::Sharing;
use super::{AccessTokens, Caller, Limit, PasswordSettings, Passwords, Rates, SharedLimits, Throttle};
use crate::error::Result;
use crate::keys::Keyring;
use crate::ports::Ports;

/// Callers the limiter remembers.
const REMEMBERED: usize = 100_000;

/// Hashes passwords, issues access tokens, and counts attempts before either costs anything (C-216).
#[derive(Debug)]
pub struct Doorkeeper {
    /// Passwords.
    pub passwords: Passwords,
    /// Access tokens.
    pub tokens: AccessTokens,
    /// Limits.
    pub throttle: Throttle,
    /// What requests may cost (C-234).
    pub rates: Rates,
    sharing: Option<Sharing>,
}

/// How often something may be tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub what: &'static str,
    /// For one account, existing or not.
    pub account: Limit,
    /// From one address.
    pub address: Limit,
}

impl Attempt {
    pub const SIGN_IN: Self = Self::new("sign_in", (10, 30), (60, 1));
    pub const SIGN_UP: Self = Self::new("sign_up", (3, 300), (30, 10));
    pub const RESET: Self = Self::new("reset", (3, 300), (30, 10));
    pub const TOKEN: Self = Self::new("token", (60, 1), (120, 1));
    /// The account is the family of sessions: many people behind one address refresh theirs each quarter of an hour.
    pub const REFRESH: Self = Self {
        what: "refresh",
        account: Limit { burst: 30, every: TimeDelta::seconds(10) },
        address: Limit { burst: 1_200, every: TimeDelta::milliseconds(50) },
    };
    pub const INVITE: Self = Self::new("invite", (60, 10), (120, 1));
    pub const INVITED: Self = Self::new("invited", (5, 600), (120, 1));

    const fn new(what: &'static str, account: (u32, i64), address: (u32, i64)) -> Self {
        let (account_burst, account_every) = account;
        let (address_burst, address_every) = address;
        Self {
            what,
            account: Limit { burst: account_burst, every: TimeDelta::seconds(account_every) },
            address: Limit { burst: address_burst, every: TimeDelta::seconds(address_every) },
        }
    }
}

impl Doorkeeper {
    /// A doorkeeper whose tokens are signed by `token_keys` and issued by the public URL.
    ///
    /// # Errors
    /// A fault for settings that the crypto libraries refuse.
    pub fn new(ports: &Ports, token_keys: &Keyring, passwords: PasswordSettings) -> Result<Self> {
        Ok(Self {
            passwords: Passwords::new(passwords, Arc::clone(&ports.entropy))?,
            tokens: AccessTokens::new(token_keys, ports.settings.public_url.clone())?,
            throttle: Throttle::new(Arc::clone(&ports.clock), REMEMBERED),
            rates: Rates::new(Arc::clone(&ports.clock), ports.settings.rates),
            sharing: None,
        })
    }

    /// The same, counting together with the deployment's other processes, which have the same keys.
    #[must_use]
    pub fn sharing(self, limits: Arc<dyn SharedLimits>, token_keys: &Keyring) -> Self {
        let rates = self.rates.sharing(Arc::clone(&limits), token_keys);
        Self { rates, sharing: Sharing::new(limits, token_keys), ..self }
    }

    /// Counts an attempt, by where it comes from and then by whom it names.
    pub(super) async fn count(&self, attempt: Attempt, address: Option<IpAddr>, account: Option<&str>) -> Result<()> {
        let address = address.map(|address| (Caller::Address(address), attempt.address));
        let account = account.map(|account| (Caller::Account(account), attempt.account));
        let callers: Vec<_> = address.into_iter().chain(account).collect();
        if let Some(sharing) = &self.sharing
            && let Some(verdict) = sharing.take(attempt.what, &callers).await
        {
            return verdict;
        }
        self.throttle.take(attempt.what, &callers)
    }
}
