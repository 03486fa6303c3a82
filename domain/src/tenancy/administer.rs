//! What the operator does from the command line: accounts with an owner, suspension, limits, disabled users.

use carillon_entities::ids::{AccountId, UserId};
use carillon_entities::wall::IdentityTx;

use super::audit::{Deed, record_apart};
use super::mail::{RESET_PAGE, link};
use super::sign_up::top_account;
use super::store::credentials::{self, OneTime};
use super::store::users::NewUser;
use super::{
    Account, Actor, DeploymentGrant, Doorkeeper, Membership, Name, NewPassword, OperateDeployment, Role, Scope,
    SecretKind, life, store,
};
use crate::contacts::EmailAddress;
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use serde_json::json;

/// An account and who owns it.
#[derive(Debug, Clone)]
pub struct OwnedAccount {
    /// The account's name.
    pub name: Name,
    /// The owner's address; whoever has it already becomes the owner as they are.
    pub email: EmailAddress,
    /// What a new owner is called.
    pub owner: Name,
    /// A new owner's password; without one, a link that sets it is given back.
    pub password: Option<NewPassword>,
}

/// What was made.
#[derive(Clone)]
pub struct MadeAccount {
    /// The account.
    pub account: Account,
    /// Its owner.
    pub owner: UserId,
    /// Where the owner sets their password, once and within half an hour.
    pub link: Option<String>,
}

impl std::fmt::Debug for MadeAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MadeAccount({} of {})", self.account.id, self.owner)
    }
}

/// Makes an account at the top of a tree, and its owner.
pub async fn make_account(
    _: &DeploymentGrant<OperateDeployment>,
    ports: &Ports,
    desk: &Doorkeeper,
    command: OwnedAccount,
) -> Result<MadeAccount> {
    let has_password = command.password.is_some();
    let hash = match command.password {
        Some(password) => Some(desk.passwords.hash(password).await?),
        None => None,
    };
    let (new_user, now) = (ports.new_id::<UserId>(), ports.now());
    let account = top_account(ports, ports.new_id(), command.name.as_str().to_owned());
    let (secret_id, membership_id) = (ports.new_id(), ports.new_id());
    let secret = SecretKind::PasswordReset.generate(ports.entropy.as_ref());
    let (owner, is_new) = store::write!(ports, |tx| {
        let found = store::users::user_by_email(tx, &command.email).await?;
        let owner = found.as_ref().map_or(new_user, |user| user.id);
        if found.is_none() {
            let user = NewUser {
                id: owner,
                email: &command.email,
                name: command.owner.as_str(),
                password_hash: hash.clone(),
                email_verified_at: has_password.then_some(now),
                now,
            };
            store::users::user_insert(tx, user).await?;
        }
        if found.is_none() && !has_password {
            let kept = OneTime { user: Some(owner), ..OneTime::new(secret_id, now + life(SecretKind::PasswordReset)) };
            credentials::secret_insert(tx, SecretKind::PasswordReset, kept, secret.hash, now).await?;
        }
        store::accounts::account_insert(tx, &account).await?;
        let membership = Membership::new(membership_id, owner, Scope::Account(account.id), Role::Owner, now);
        store::memberships::membership_insert(tx, &membership).await?;
        Ok((owner, found.is_none()))
    })?;
    let deed = Deed::new("account.create", account.id.0).with(json!({ "owner": owner }));
    record_apart(ports, None, Actor::System, deed).await?;
    let link = (is_new && !has_password).then(|| link(ports, RESET_PAGE, &secret.text));
    Ok(MadeAccount { account, owner, link })
}

/// Suspends an account: it, the accounts below it and all their tenants stand still; live tokens die with the next
/// request.
pub async fn suspend_account(_: &DeploymentGrant<OperateDeployment>, ports: &Ports, id: AccountId) -> Result<Account> {
    set_suspended(ports, id, true).await
}

/// Ends an account's own suspension, and gives the account back. What else is suspended stays so, above it or below it:
/// while an account above it is, it and its tenants stand still and [`Account::is_suspended`] is true.
pub async fn resume_account(_: &DeploymentGrant<OperateDeployment>, ports: &Ports, id: AccountId) -> Result<Account> {
    set_suspended(ports, id, false).await
}

async fn set_suspended(ports: &Ports, id: AccountId, suspend: bool) -> Result<Account> {
    let now = ports.now();
    let path = store::write!(ports, |tx| {
        // A tenant that somebody makes meanwhile comes before, and is suspended too, or after, and is refused.
        hold(tx, id).await?;
        store::accounts::account_suspend(tx, id, suspend.then_some(now), now).await?;
        store::accounts::account_path(tx, id).await
    })?;
    let action = if suspend { "account.suspend" } else { "account.resume" };
    record_apart(ports, Some(Scope::Account(id)), Actor::System, Deed::new(action, id.0)).await?;
    path.into_iter().next().ok_or_else(|| Refusal::not_found("account").into())
}

/// Holds the tree still that an account lies in, if there is the account.
async fn hold(tx: &mut IdentityTx, id: AccountId) -> Result<()> {
    let path = store::accounts::account_path_held(tx, id).await?;
    if path.is_empty() { Err(Refusal::not_found("account").into()) } else { Ok(()) }
}

/// Limits of an account; what is none stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Caps {
    /// Tenants under it, at any depth.
    pub tenants: Option<i64>,
    /// What each of its tenants may send in a day, at any depth.
    pub messages_per_day: Option<i64>,
}

/// Sets the limits of an account.
pub async fn cap_account(
    _: &DeploymentGrant<OperateDeployment>,
    ports: &Ports,
    id: AccountId,
    caps: Caps,
) -> Result<()> {
    if [caps.tenants, caps.messages_per_day].into_iter().flatten().any(|most| most < 0) {
        return Err(Refusal::new("INVALID_LIMIT", "", "A limit is 0 or more.").into());
    }
    store::write!(ports, |tx| {
        hold(tx, id).await?;
        if let Some(most) = caps.tenants {
            store::accounts::account_cap_tenants(tx, id, most).await?;
        }
        if let Some(most) = caps.messages_per_day {
            store::accounts::account_cap_messages(tx, id, most).await?;
        }
        Ok(())
    })?;
    let detail = json!({ "tenants": caps.tenants, "messagesPerDay": caps.messages_per_day });
    let deed = Deed::new("account.cap", id.0).with(detail);
    record_apart(ports, Some(Scope::Account(id)), Actor::System, deed).await
}

/// Disables a user, or enables them again; every token and session of theirs ends (C-213).
pub async fn disable_user(
    _: &DeploymentGrant<OperateDeployment>,
    ports: &Ports,
    email: &EmailAddress,
    disabled: bool,
) -> Result<UserId> {
    let now = ports.now();
    let user = store::write!(ports, |tx| {
        let user = store::users::user_by_email(tx, email).await?.ok_or_else(|| Refusal::not_found("email"))?;
        store::users::user_disable(tx, user.id, disabled.then_some(now), now).await?;
        Ok(user.id)
    })?;
    let action = if disabled { "user.disable" } else { "user.enable" };
    record_apart(ports, None, Actor::System, Deed::new(action, user.0)).await?;
    Ok(user)
}
