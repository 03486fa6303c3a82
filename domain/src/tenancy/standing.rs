//! Where a signed-in user stands: the strongest of their roles on a tenant or account and everything above it.
//!
//! A user without a role there gets the answer that somebody gets who asks for what does not exist (C-204). A token
//! bound to one tenant reaches that tenant and nothing else.

use carillon_entities::ids::AccountId;
use carillon_entities::wall::IdentityTx;

use super::account::Place;
use super::{AccountContext, Action, Grant, Permission, Role, Scope, User, VerifiedAccess, store};
use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;

/// The user behind a token, if they still are at the token's version (C-213).
pub(super) async fn user_of(tx: &mut IdentityTx, access: &VerifiedAccess) -> Result<User> {
    let subject = access.subject();
    match store::users::user_find(tx, subject.user).await? {
        Some(user) if !user.is_disabled && user.auth_version == subject.auth_version => Ok(user),
        _ => Err(Error::Unauthenticated),
    }
}

/// An account or tenant with everything above it; none where there is none.
pub(super) async fn place_of(tx: &mut IdentityTx, scope: Scope) -> Result<Option<Place>> {
    let (account, tenant) = match scope {
        Scope::Account(account) => (account, None),
        Scope::Tenant(tenant) => match store::accounts::tenant_find(tx, tenant).await? {
            Some(tenant) => (tenant.account, Some(tenant)),
            None => return Ok(None),
        },
    };
    let accounts = store::accounts::account_path(tx, account).await?;
    Ok((!accounts.is_empty()).then_some(Place { tenant, accounts }))
}

/// A user's standing somewhere.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub user: User,
    pub role: Role,
    pub place: Place,
}

/// The caller's standing on a scope that the input named in `field`.
pub(super) async fn stand_on(
    tx: &mut IdentityTx,
    access: &VerifiedAccess,
    scope: Scope,
    field: &str,
) -> Result<Standing> {
    if is_bound_elsewhere(access, scope) {
        return Err(Error::Forbidden);
    }
    let user = user_of(tx, access).await?;
    let Some(place) = place_of(tx, scope).await? else { return Err(Refusal::not_found(field).into()) };
    let roles = store::memberships::roles_on(tx, user.id, &place.scope_ids()).await?;
    let Some(role) = Role::effective(roles) else { return Err(Refusal::not_found(field).into()) };
    Ok(Standing { user, role, place })
}

/// The caller on an account: what permissions there are made of.
pub async fn enter_account(
    ports: &Ports,
    access: &VerifiedAccess,
    account: AccountId,
    field: &str,
) -> Result<AccountContext> {
    let standing = store::read!(ports, |tx| stand_on(tx, access, Scope::Account(account), field).await)?;
    Ok(AccountContext::new(account, standing.user.id, standing.role))
}

/// The permission to change who belongs to one account or tenant, and how far it goes.
#[derive(Debug, Clone)]
pub struct MemberGrant {
    pub(super) user: User,
    pub(super) scope: Scope,
    pub(super) role: Role,
}

impl MemberGrant {
    /// The permission on a scope that the input named in `field`.
    pub async fn on(ports: &Ports, access: &VerifiedAccess, scope: Scope, field: &str) -> Result<Self> {
        store::read!(ports, |tx| Self::within(tx, access, scope, field).await)
    }

    pub(super) async fn within(
        tx: &mut IdentityTx,
        access: &VerifiedAccess,
        scope: Scope,
        field: &str,
    ) -> Result<Self> {
        let standing = stand_on(tx, access, scope, field).await?;
        let permission = match scope {
            Scope::Account(_) => Permission::AdministerAccount,
            Scope::Tenant(_) => Permission::AdministerTenant,
        };
        if !permission.allows(standing.role) {
            return Err(Error::Forbidden);
        }
        if standing.place.is_suspended() {
            return Err(suspended(scope).into());
        }
        Ok(Self { user: standing.user, scope, role: standing.role })
    }

    /// Nobody gives or takes a role above their own (C-198).
    pub(super) fn reaches(&self, role: Role, field: &str) -> Result<()> {
        if self.role.may_give(role) {
            return Ok(());
        }
        Err(Refusal::new("ROLE_ABOVE_YOURS", field, "The role is above your own.").into())
    }
}

/// The refusal of whatever a suspended scope may not do; told to members only.
pub(super) fn suspended(scope: Scope) -> Refusal {
    match scope {
        Scope::Account(_) => Refusal::new("ACCOUNT_SUSPENDED", "", "The account is suspended."),
        Scope::Tenant(_) => Refusal::new("TENANT_SUSPENDED", "", "The tenant is suspended."),
    }
}

/// True for a token that is bound to another tenant.
pub(super) fn is_bound_elsewhere(access: &VerifiedAccess, scope: Scope) -> bool {
    access.subject().entered.is_some_and(|(tenant, _)| Scope::Tenant(tenant) != scope)
}

/// Refuses a grant whose credential is no longer good: the identity space does not ask by itself (C-213).
pub(crate) async fn assert_fresh<A: Action>(grant: &Grant<A>) -> Result<()> {
    Ok(grant.begin_read().await?.commit().await?)
}
