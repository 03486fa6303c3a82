//! Mails about access. Each carries at most one link, whose token is good once and for a short time.
//!
//! Links lead to pages that ask for one more press: a scanner that opens them changes nothing (L10). The secret is
//! committed before its mail is queued: a process that dies between the two leaves a secret nobody has, and the person
//! asks again.

use std::net::IpAddr;

use chrono::TimeDelta;

use super::doorkeeper::Attempt;
use super::store::credentials;
use super::{Doorkeeper, REFRESH_LIFE, SecretKind, store};
use crate::error::Result;
use crate::ports::Ports;

/// The page that proves an address.
pub const VERIFY_PAGE: &str = "verify-email";
/// The page that sets a password.
pub const RESET_PAGE: &str = "reset-password";
/// The page that takes an invitation.
pub const INVITATION_PAGE: &str = "accept-invitation";

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

/// True while the secret of a mail would open something; looking uses nothing up (L10).
pub async fn is_mailed_link_good(
    ports: &Ports,
    desk: &Doorkeeper,
    kind: SecretKind,
    token: &str,
    address: Option<IpAddr>,
) -> Result<bool> {
    desk.count(Attempt::TOKEN, address, None).await?;
    let Some(hash) = kind.hash_of(token) else { return Ok(false) };
    let found = store::read!(ports, |tx| credentials::secret_find(tx, kind, hash).await)?;
    Ok(found.is_some_and(|found| found.is_good(ports.now())))
}
