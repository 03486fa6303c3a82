//! Sessions (C-212): a short access token, and a refresh token that is good once.
//!
//! Every refresh gives a new refresh token of the same family and uses the old one up. A token that comes a second time
//! was stolen, or its thief came first: nobody can tell which, so the whole family ends. However often it is refreshed, a
//! family ends [`FAMILY_LIFE`] after its sign-in.

use std::net::IpAddr;

use carillon_entities::ids::UserId;
use carillon_entities::wall::IdentityTx;
use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use super::audit::{Deed, record_apart};
use super::doorkeeper::Attempt;
use super::store::sessions::{self, StoredSession};
use super::{AccessSubject, Actor, Doorkeeper, SecretKind, store};
use crate::error::{Refusal, Result};
use crate::idempotency;
use crate::ports::Ports;
use crate::time::Timestamp;

/// How long a refresh token waits for its use.
pub const REFRESH_LIFE: TimeDelta = TimeDelta::days(14);
/// After how long one must sign in again.
pub const FAMILY_LIFE: TimeDelta = TimeDelta::days(60);

/// What somebody gets who signed in.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// For the `Authorization` header.
    pub access_token: String,
    /// Until when it is believed.
    pub access_token_expires_at: Timestamp,
    /// Gets the next session, once.
    pub refresh_token: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session(until {})", self.access_token_expires_at)
    }
}

/// Of which family a session is, and when that ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    id: Uuid,
    ends_at: Timestamp,
}

impl Family {
    /// The family of a sign-in.
    pub fn new(ports: &Ports) -> Self {
        Self { id: ports.new_id(), ends_at: ports.now() + FAMILY_LIFE }
    }
}

/// Opens a session of a user at a version.
pub(super) async fn open(
    tx: &mut IdentityTx,
    ports: &Ports,
    desk: &Doorkeeper,
    (user, auth_version): (UserId, i64),
    family: Family,
) -> Result<Session> {
    let now = ports.now();
    let secret = SecretKind::RefreshSession.generate(ports.entropy.as_ref());
    let stored = StoredSession {
        id: ports.new_id(),
        family: family.id,
        user,
        auth_version,
        expires_at: family.ends_at.min(now + REFRESH_LIFE),
        family_expires_at: family.ends_at,
        is_used: false,
        is_revoked: false,
    };
    sessions::session_insert(tx, &stored, secret.hash, now).await?;
    let subject = AccessSubject { user, auth_version, entered: None };
    let (access_token, access_token_expires_at) = desk.tokens.issue(&subject, now)?;
    Ok(Session { access_token, access_token_expires_at, refresh_token: secret.text })
}

enum Refreshed {
    Next(Session),
    Ended,
    /// The token was used before; its family has been ended.
    Stolen(UserId, Uuid),
}

/// Gives the next session for a refresh token.
///
/// What is counted (C-216) is the family of a token that is known, and the address of whoever brings one that is not.
///
/// # Errors
/// The same refusal for a token that never was, was used, revoked or is too old.
pub async fn refresh_session(
    ports: &Ports,
    desk: &Doorkeeper,
    token: &str,
    address: Option<IpAddr>,
) -> Result<Session> {
    desk.count(Attempt::REFRESH, address, None).await?;
    let ended = || Refusal::new("SESSION_ENDED", "refreshToken", "The session has ended; sign in again.");
    let found = match SecretKind::RefreshSession.hash_of(token) {
        Some(hash) => {
            store::read!(ports, |tx| sessions::session_find(tx, hash).await)?.map(|found| (hash, found.family))
        }
        None => None,
    };
    let Some((hash, family)) = found else {
        desk.count(Attempt::TOKEN, address, None).await?;
        return Err(ended().into());
    };
    desk.count(Attempt::REFRESH, None, Some(&family.to_string())).await?;
    match store::write!(ports, |tx| rotate(tx, ports, desk, hash).await)? {
        Refreshed::Next(session) => return Ok(session),
        Refreshed::Ended => {}
        Refreshed::Stolen(user, family) => {
            tracing::warn!(%user, "a used refresh token came again: its sessions were ended (C-212)");
            let deed = Deed::new("session.reused", family).with(json!({ "user": user }));
            record_apart(ports, None, Actor::User(user), deed).await?;
        }
    }
    Err(ended().into())
}

async fn rotate(tx: &mut IdentityTx, ports: &Ports, desk: &Doorkeeper, hash: [u8; 32]) -> Result<Refreshed> {
    let now = ports.now();
    let Some(found) = sessions::session_find(tx, hash).await? else { return Ok(Refreshed::Ended) };
    // The user first, then the session: whoever changes a password takes the same order.
    let Some(user) = store::users::user_lock(tx, found.user).await? else { return Ok(Refreshed::Ended) };
    let is_current = now < found.expires_at && found.auth_version == user.auth_version && !user.is_disabled;
    if is_current && sessions::session_use(tx, found.id, now).await? {
        let family = Family { id: found.family, ends_at: found.family_expires_at };
        return Ok(Refreshed::Next(open(tx, ports, desk, (user.id, user.auth_version), family).await?));
    }
    let was_used = sessions::session_find(tx, hash).await?.is_some_and(|now| now.is_used);
    if !was_used {
        return Ok(Refreshed::Ended);
    }
    sessions::family_revoke(tx, found.family, now).await?;
    Ok(Refreshed::Stolen(user.id, found.family))
}

/// Ends the family of a refresh token; a token that is none ends nothing and is told nothing.
pub async fn sign_out(ports: &Ports, token: &str) -> Result<()> {
    let Some(hash) = SecretKind::RefreshSession.hash_of(token) else { return Ok(()) };
    store::write!(ports, |tx| {
        let Some(session) = sessions::session_find(tx, hash).await? else { return Ok(()) };
        sessions::family_revoke(tx, session.family, ports.now()).await
    })
}

/// True when [`forget_expired`] has something to do.
pub async fn has_expired(ports: &Ports) -> Result<bool> {
    let now = ports.now();
    store::read!(ports, |tx| {
        Ok(sessions::sessions_expired(tx, now).await?
            || store::credentials::secrets_expired(tx, now).await?
            || idempotency::has_expired_of_users(tx, ports).await?)
    })
}

/// Deletes some sessions, one-time secrets and kept answers that are past their time; returns how many.
pub async fn forget_expired(ports: &Ports) -> Result<u64> {
    store::write!(ports, |tx| {
        let sessions = sessions::sessions_forget(tx, ports.now()).await?;
        let secrets = store::credentials::secrets_forget(tx, ports.now()).await?;
        Ok(sessions + secrets + idempotency::forget_of_users(tx, ports).await?)
    })
}
