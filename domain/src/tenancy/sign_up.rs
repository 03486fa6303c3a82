//! Signing up, and proving the address.
//!
//! A sign-up is only a promise until its link is followed: no user and no account exist before, so nobody takes an address
//! whose mail they cannot read, and two sign-ups for one address do not get in each other's way. The link proves the
//! address and not who chose the password, so it is confirmed with the password of the sign-up: nobody who presses the button
//! in a stranger's mail opens an account to which the stranger has the password. Whether the address has a user changes
//! neither the answer nor the work (C-217): both hash one password, store one secret and send one mail; the secret of the
//! one for a known address is spent from the start.

use std::net::IpAddr;

use carillon_entities::ids::{AccountId, CredentialId, UserId};
use carillon_entities::wall::IdentityTx;
use serde::{Deserialize, Serialize};

use super::audit::{Deed, record_apart};
use super::doorkeeper::Attempt;
use super::invitation::{self, Invitation};
use super::mail::{VERIFY_PAGE, link};
use super::store::credentials::{self, OneTime};
use super::store::users::NewUser;
use super::{
    Account, Actor, Doorkeeper, Membership, Name, NewPassword, PasswordCheck, Role, Scope, SecretKind, life, store,
};
use crate::contacts::EmailAddress;
use crate::error::{Error, Refusal, Result, WallError};
use crate::messaging::{SystemMail, enqueue_system_mail};
use crate::ports::Ports;
use crate::settings::SignUpMode;

/// Who wants to sign up.
#[derive(Debug, Clone)]
pub struct SignUp {
    /// Where they get mail.
    pub email: EmailAddress,
    /// The password they chose.
    pub password: NewPassword,
    /// What they are called.
    pub name: Name,
    /// The account to make; not needed with an invitation.
    pub account_name: Option<Name>,
    /// The token of the invitation they follow.
    pub invitation: Option<String>,
    /// Where the request comes from.
    pub address: Option<IpAddr>,
}

/// What a sign-up becomes once its address is proved.
#[derive(Serialize, Deserialize)]
struct Pending {
    email: String,
    name: String,
    account: String,
    password_hash: String,
}

/// Takes a sign-up; the answer says nothing about the address.
pub async fn sign_up(ports: &Ports, desk: &Doorkeeper, command: SignUp) -> Result<()> {
    desk.count(Attempt::SIGN_UP, command.address, Some(command.email.norm())).await?;
    let invitation = allowed_by(ports, &command).await?;
    let hash = desk.passwords.hash(command.password.clone()).await?;
    match (invitation, &command.account_name) {
        (Some(invitation), _) => join(ports, &command, hash, &invitation).await,
        (None, Some(account)) => pend(ports, &command, hash, account).await,
        (None, None) => Err(Refusal::new("REQUIRED", "accountName", "An account needs a name.").into()),
    }
}

/// Whether the deployment lets this person sign up, and by which invitation.
async fn allowed_by(ports: &Ports, command: &SignUp) -> Result<Option<Invitation>> {
    match (ports.settings.sign_up, &command.invitation) {
        (SignUpMode::Closed, _) => Err(Refusal::new("SIGN_UP_CLOSED", "", "Nobody can sign up here.").into()),
        (SignUpMode::Invite, None) => {
            Err(Refusal::new("INVITATION_NEEDED", "invitation", "Only who is invited can sign up.").into())
        }
        (_, None) => Ok(None),
        (_, Some(token)) => {
            let found = store::read!(ports, |tx| invitation::find(tx, ports, token).await)?;
            let found = found.filter(|invitation| invitation.is_for(&command.email));
            found.map(Some).ok_or_else(|| invitation::invalid("invitation").into())
        }
    }
}

async fn pend(ports: &Ports, command: &SignUp, password_hash: String, account: &Name) -> Result<()> {
    let secret = SecretKind::EmailVerification.generate(ports.entropy.as_ref());
    let pending = Pending {
        email: command.email.as_sent().to_owned(),
        name: command.name.as_str().to_owned(),
        account: account.as_str().to_owned(),
        password_hash,
    };
    let pending = serde_json::to_value(&pending).map_err(Error::fault)?;
    let (id, now) = (ports.new_id(), ports.now());
    let is_known = store::write!(ports, |tx| {
        let is_known = store::users::user_by_email(tx, &command.email).await?.is_some();
        let kept = OneTime {
            pending: (!is_known).then(|| pending.clone()),
            is_spent: is_known,
            ..OneTime::new(id, now + life(SecretKind::EmailVerification))
        };
        credentials::secret_insert(tx, SecretKind::EmailVerification, kept, secret.hash, now).await?;
        Ok(is_known)
    })?;
    let link = link(ports, VERIFY_PAGE, &secret.text);
    let mail = if is_known { SystemMail::SomebodySignedUp } else { SystemMail::VerifyEmail { link } };
    enqueue_system_mail(ports, ports.new_id(), &command.email, &mail).await
}

/// Whoever holds an invitation has read the mail it came in, so their address is proved.
async fn join(ports: &Ports, command: &SignUp, password_hash: String, invitation: &Invitation) -> Result<()> {
    let (id, now) = (ports.new_id::<UserId>(), ports.now());
    let membership = Membership::new(ports.new_id(), id, invitation.scope, invitation.role, now);
    let joined = store::write!(ports, |tx| {
        if store::users::user_by_email(tx, &command.email).await?.is_some() {
            return Ok(false);
        }
        invitation::spend(tx, ports, invitation, "invitation").await?;
        let user = NewUser {
            id,
            email: &command.email,
            name: command.name.as_str(),
            password_hash: Some(password_hash.clone()),
            email_verified_at: Some(now),
            now,
        };
        let taken = || invitation::invalid("invitation");
        store::users::user_insert(tx, user).await.map_err(|error| unless_taken(error, taken))?;
        store::memberships::membership_insert(tx, &membership).await
    })?;
    if joined {
        let deed = Deed::new("member.join", membership.id.0);
        return record_apart(ports, Some(invitation.scope), Actor::User(id), deed).await;
    }
    enqueue_system_mail(ports, ports.new_id(), &command.email, &SystemMail::SomebodySignedUp).await
}

/// Makes the user, the account and the membership that a sign-up promised, for whoever has its link and its password.
///
/// # Errors
/// `INVALID_TOKEN`; `INVALID_CREDENTIALS` for another password, after which the link is still good.
pub async fn verify_email(
    ports: &Ports,
    desk: &Doorkeeper,
    (token, password): (&str, &str),
    address: Option<IpAddr>,
) -> Result<()> {
    desk.count(Attempt::TOKEN, address, None).await?;
    let hash = SecretKind::EmailVerification.hash_of(token).ok_or_else(invalid_token)?;
    // Nobody costs us a hash who has no link.
    let (_, pending) = store::read!(ports, |tx| promised(tx, ports, hash).await)?;
    let check = desk.passwords.check(password, Some(&pending.password_hash)).await?;
    if check == PasswordCheck::Wrong {
        let message = "It is not the password that was chosen at the sign-up.";
        return Err(Refusal::new("INVALID_CREDENTIALS", "password", message).into());
    }
    let (user, account) = (ports.new_id::<UserId>(), ports.new_id::<AccountId>());
    store::write!(ports, |tx| {
        let (id, pending) = promised(tx, ports, hash).await?;
        if !credentials::secret_use(tx, id, ports.now()).await? {
            return Err(invalid_token().into());
        }
        fulfil(tx, ports, pending, (user, account)).await
    })?;
    record_apart(ports, None, Actor::User(user), Deed::new("user.sign_up", account.0)).await
}

/// What the link with this hash promises, while it is good.
async fn promised(tx: &mut IdentityTx, ports: &Ports, hash: [u8; 32]) -> Result<(CredentialId, Pending)> {
    let found = credentials::secret_find(tx, SecretKind::EmailVerification, hash).await?;
    let found = found.filter(|found| found.is_good(ports.now())).ok_or_else(invalid_token)?;
    let pending = found.pending.ok_or_else(invalid_token)?;
    Ok((found.id, serde_json::from_value(pending).map_err(Error::fault)?))
}

async fn fulfil(
    tx: &mut IdentityTx,
    ports: &Ports,
    pending: Pending,
    (user, account): (UserId, AccountId),
) -> Result<()> {
    let now = ports.now();
    let email = EmailAddress::parse(&pending.email).map_err(Error::fault)?;
    if store::users::user_by_email(tx, &email).await?.is_some() {
        return Err(invalid_token().into());
    }
    let new = NewUser {
        id: user,
        email: &email,
        name: &pending.name,
        password_hash: Some(pending.password_hash),
        email_verified_at: Some(now),
        now,
    };
    store::users::user_insert(tx, new).await.map_err(|error| unless_taken(error, invalid_token))?;
    store::accounts::account_insert(tx, &top_account(ports, account, pending.account)).await?;
    let owner = Membership::new(ports.new_id(), user, Scope::Account(account), Role::Owner, now);
    store::memberships::membership_insert(tx, &owner).await?;
    Ok(())
}

/// Two links for one address, followed at once: whoever commits second finds the address taken.
fn unless_taken(error: Error, refusal: impl FnOnce() -> Refusal) -> Error {
    match error {
        Error::Wall(WallError::Conflict { .. }) => refusal().into(),
        error => error,
    }
}

/// An account at the top of a tree of its own, with the deployment's limits.
pub(super) fn top_account(ports: &Ports, id: AccountId, name: String) -> Account {
    Account {
        id,
        parent: None,
        depth: 1,
        name,
        max_tenants: ports.settings.tenants_per_account,
        max_messages_per_day: ports.settings.messages_per_day,
        is_suspended: false,
        created_at: ports.now(),
    }
}

/// The one answer for every token that opens nothing (any more).
pub(super) fn invalid_token() -> Refusal {
    Refusal::new("INVALID_TOKEN", "token", "The link is not valid any more.")
}
