//! Mails about access. Each carries at most one link, whose token is good once and for a short time.
//!
//! Links lead to pages that ask for one more press: a scanner that opens them changes nothing (L10).

use chrono::TimeDelta;

use super::{REFRESH_LIFE, SecretKind};
use crate::contacts::EmailAddress;
use crate::error::Result;
use crate::ports::Ports;

/// Which mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AccessMail {
    VerifyEmail { token: String },
    SomebodySignedUp,
    PasswordReset { token: String },
    NoAccount,
    Invitation { token: String, from: String },
}

/// Puts a mail into the one queue.
#[expect(clippy::unused_async, reason = "the queue of system mail comes with the next commit of messaging")]
pub(super) async fn send(_ports: &Ports, _to: &EmailAddress, _mail: AccessMail) -> Result<()> {
    Ok(())
}

/// The page that sets a password.
pub(super) const RESET_PAGE: &str = "reset-password";

/// The address of a page of ours that takes a token.
pub(super) fn link(ports: &Ports, page: &str, token: &str) -> String {
    format!("{}/{page}?token={token}", ports.settings.public_url)
}

/// How long the secret in a mail is good for.
pub(super) const fn life(kind: SecretKind) -> TimeDelta {
    match kind {
        SecretKind::PasswordReset => TimeDelta::minutes(30),
        SecretKind::EmailVerification => TimeDelta::hours(24),
        SecretKind::Invitation => TimeDelta::days(7),
        SecretKind::RefreshSession => REFRESH_LIFE,
    }
}
