//! Signing in: one answer for a wrong password, an unknown address and a disabled user (C-217), after the same work.

use std::net::IpAddr;

use super::audit::{Deed, record_apart};
use super::doorkeeper::Attempt;
use super::session::{self, Family, Session};
use super::{Actor, Doorkeeper, PasswordCheck, User, store};
use crate::contacts::EmailAddress;
use crate::error::{Refusal, Result};
use crate::ports::Ports;

/// Who wants to sign in.
#[derive(Clone)]
pub struct SignIn {
    /// The address they signed up with.
    pub email: EmailAddress,
    /// What they say is their password.
    pub password: String,
    /// Where the request comes from.
    pub address: Option<IpAddr>,
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignIn(..)")
    }
}

/// Opens a session for the right password; counts the attempt before it costs a hash (C-216).
pub async fn sign_in(ports: &Ports, desk: &Doorkeeper, command: SignIn) -> Result<Session> {
    desk.count(Attempt::SIGN_IN, command.address, Some(command.email.norm())).await?;
    let found = store::read!(ports, |tx| store::users::user_by_email(tx, &command.email).await)?;
    let stored = found.as_ref().and_then(|user| user.password_hash.as_deref());
    let check = desk.passwords.check(&command.password, stored).await?;
    match (found, check) {
        (Some(user), PasswordCheck::Right { rehash }) if !user.is_disabled => {
            let rehashed = if rehash { Some(desk.passwords.rehash(&command.password).await?) } else { None };
            admit(ports, desk, &user, rehashed).await
        }
        _ => Err(refused().into()),
    }
}

async fn admit(ports: &Ports, desk: &Doorkeeper, user: &User, rehashed: Option<String>) -> Result<Session> {
    let family = Family::new(ports);
    let session = store::write!(ports, |tx| {
        // The password may have changed while it was compared: then it was not the password.
        let current = store::users::user_lock(tx, user.id).await?;
        let current = current.filter(|now| now.password_hash == user.password_hash && !now.is_disabled);
        let current = current.ok_or_else(refused)?;
        if let (Some(old), Some(new)) = (&user.password_hash, &rehashed) {
            store::users::user_rehash(tx, user.id, old, new).await?;
        }
        session::open(tx, ports, desk, (user.id, current.auth_version), family).await
    })?;
    record_apart(ports, None, Actor::User(user.id), Deed::new("session.open", user.id.0)).await?;
    Ok(session)
}

pub(super) fn refused() -> Refusal {
    Refusal::new("INVALID_CREDENTIALS", "", "The e-mail address or the password is wrong.")
}
