//! Setting a password: with the old one, or with the link of a mail. Either ends every token and session (C-213).

use std::net::IpAddr;

use serde_json::json;

use super::audit::{Deed, record_apart};
use super::doorkeeper::Attempt;
use super::mail::{RESET_PAGE, link};
use super::session::{self, Family, Session};
use super::sign_in::refused;
use super::sign_up::invalid_token;
use super::standing::user_of;
use super::store::credentials::{self, OneTime};
use super::{Actor, Doorkeeper, NewPassword, PasswordCheck, SecretKind, VerifiedAccess, life, store};
use crate::contacts::EmailAddress;
use crate::error::{Refusal, Result};
use crate::messaging::{SystemMail, enqueue_system_mail};
use crate::ports::Ports;

/// Mails a link that sets a password; whether the address has a user changes neither answer nor work (C-217): an
/// address without one gets a mail that says so, and a secret is stored that opens nothing.
pub async fn request_password_reset(
    ports: &Ports,
    desk: &Doorkeeper,
    email: &EmailAddress,
    address: Option<IpAddr>,
) -> Result<()> {
    desk.count(Attempt::RESET, address, Some(email.norm())).await?;
    let secret = SecretKind::PasswordReset.generate(ports.entropy.as_ref());
    let (id, now) = (ports.new_id(), ports.now());
    let is_known = store::write!(ports, |tx| {
        let user = store::users::user_by_email(tx, email).await?.filter(|user| !user.is_disabled);
        let kept = OneTime {
            user: user.as_ref().map(|user| user.id),
            is_spent: user.is_none(),
            ..OneTime::new(id, now + life(SecretKind::PasswordReset))
        };
        credentials::secret_insert(tx, SecretKind::PasswordReset, kept, secret.hash, now).await?;
        Ok(user.is_some())
    })?;
    let link = link(ports, RESET_PAGE, &secret.text);
    let mail = if is_known { SystemMail::PasswordReset { link } } else { SystemMail::NoAccount };
    enqueue_system_mail(ports, ports.new_id(), email, &mail).await
}

/// Sets the password of whoever was mailed the link.
pub async fn reset_password(
    ports: &Ports,
    desk: &Doorkeeper,
    token: &str,
    password: NewPassword,
    address: Option<IpAddr>,
) -> Result<()> {
    desk.count(Attempt::TOKEN, address, None).await?;
    let secret = SecretKind::PasswordReset.hash_of(token).ok_or_else(invalid_token)?;
    let now = ports.now();
    // Nobody costs us a hash who has no link.
    let (found, user) = store::read!(ports, |tx| {
        let found = credentials::secret_find(tx, SecretKind::PasswordReset, secret).await?;
        let found = found.filter(|found| found.is_good(now)).ok_or_else(invalid_token)?;
        let user = store::users::user_find(tx, found.user.ok_or_else(invalid_token)?).await?;
        Ok((found, user.ok_or_else(invalid_token)?))
    })?;
    let hash = desk.passwords.hash(password.not_made_of("newPassword", &user)?).await?;
    let user = user.id;
    store::write!(ports, |tx| {
        store::users::user_lock(tx, user).await?.filter(|user| !user.is_disabled).ok_or_else(invalid_token)?;
        if !credentials::secret_use(tx, found.id, now).await? {
            return Err(invalid_token().into());
        }
        store::users::user_set_password(tx, user, &hash, now).await?;
        store::users::user_verified(tx, user, now).await?;
        credentials::secrets_revoke(tx, user, SecretKind::PasswordReset, now).await
    })?;
    let deed = Deed::new("user.set_password", user.0).with(json!({ "by": "mail" }));
    record_apart(ports, None, Actor::User(user), deed).await
}

/// A signed-in user's change of password.
#[derive(Clone)]
pub struct ChangePassword {
    /// What they say is their password.
    pub current: String,
    /// What it shall be.
    pub new: NewPassword,
    /// Where the request comes from.
    pub address: Option<IpAddr>,
}

impl std::fmt::Debug for ChangePassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChangePassword(..)")
    }
}

/// Sets a new password and opens the one session that is left.
pub async fn change_password(
    ports: &Ports,
    desk: &Doorkeeper,
    access: &VerifiedAccess,
    command: ChangePassword,
) -> Result<Session> {
    let user = store::read!(ports, |tx| user_of(tx, access).await)?;
    desk.count(Attempt::SIGN_IN, command.address, Some(user.email.norm())).await?;
    let check = desk.passwords.check(&command.current, user.password_hash.as_deref()).await?;
    if check == PasswordCheck::Wrong {
        return Err(Refusal { field: "currentPassword".to_owned(), ..refused() }.into());
    }
    let hash = desk.passwords.hash(command.new.not_made_of("newPassword", &user)?).await?;
    let family = Family::new(ports);
    let session = store::write!(ports, |tx| {
        store::users::user_lock(tx, user.id).await?;
        // Still at the token's version: whoever changed the password first has won.
        let current = user_of(tx, access).await?;
        store::users::user_set_password(tx, user.id, &hash, ports.now()).await?;
        credentials::secrets_revoke(tx, user.id, SecretKind::PasswordReset, ports.now()).await?;
        session::open(tx, ports, desk, (user.id, current.auth_version + 1), family).await
    })?;
    let deed = Deed::new("user.set_password", user.id.0).with(json!({ "by": "password" }));
    record_apart(ports, None, Actor::User(user.id), deed).await?;
    Ok(session)
}
