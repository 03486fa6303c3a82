//! What a signed-in user sees of themselves.

use carillon_entities::ids::{AccountId, TenantId, UserId};
use uuid::Uuid;

use super::enter::enter_as_member;
use super::standing::{suspended, user_of};
use super::{Account, Membership, Permission, Role, Scope, Tenant, TenantContext, User, VerifiedAccess, store};
use crate::error::{Error, Refusal, Result};
use crate::paging::{Ahead, Page, Paged};
use crate::ports::Ports;

/// The user behind a token.
pub async fn viewer(ports: &Ports, access: &VerifiedAccess) -> Result<User> {
    store::read!(ports, |tx| user_of(tx, access).await)
}

/// The accounts the viewer reaches, directly or from above, in order of arrival; none with a token bound to a tenant.
pub async fn viewer_accounts(ports: &Ports, access: &VerifiedAccess) -> Result<Vec<(Account, Role)>> {
    store::read!(ports, |tx| {
        let user = user_of(tx, access).await?;
        if access.subject().entered.is_some() {
            return Ok(Vec::new());
        }
        Ok(strongest(store::accounts::accounts_reached(tx, user.id).await?))
    })
}

/// One line per account, with the strongest role; `reached` is in order of the accounts.
pub(super) fn strongest(reached: Vec<(Account, Role)>) -> Vec<(Account, Role)> {
    let mut accounts: Vec<(Account, Role)> = Vec::new();
    for (account, role) in reached {
        match accounts.last_mut() {
            Some((last, strongest)) if last.id == account.id => *strongest = role.max(*strongest),
            _ => accounts.push((account, role)),
        }
    }
    accounts
}

/// The tenants the viewer reaches, in order of arrival; with a token bound to a tenant that one. Pages go forward only.
pub async fn viewer_tenants(
    ports: &Ports,
    access: &VerifiedAccess,
    page: &Page<TenantId>,
) -> Result<Paged<(Tenant, Role)>> {
    store::read!(ports, |tx| {
        let user = user_of(tx, access).await?;
        let after = page.cursor.map_or(Uuid::nil(), |cursor| cursor.0);
        let rows = match access.subject().entered {
            Some((bound, _)) => {
                let tenant = store::accounts::tenant_find(tx, bound).await?;
                tenant.into_iter().filter(|tenant| tenant.id.0 > after).collect()
            }
            None => store::accounts::tenants_reached(tx, user.id, after, u64::from(page.size) + 1).await?,
        };
        let tenants = Page { forward: true, ..*page }.finish(rows);
        let ids: Vec<TenantId> = tenants.items.iter().map(|tenant| tenant.id).collect();
        let direct = store::memberships::memberships_on_tenants(tx, user.id, &ids).await?;
        let accounts = strongest(store::accounts::accounts_reached(tx, user.id).await?);
        Ok(tenants.map(|tenant| with_role(tenant, &direct, &accounts)))
    })
}

/// A tenant that is reached, with the role there; so there is one, and the weakest would be shown otherwise.
fn with_role(tenant: Tenant, direct: &[Membership], accounts: &[(Account, Role)]) -> Reachable {
    let role = role_in(&tenant, direct, accounts).unwrap_or(Role::Viewer);
    (tenant, role)
}

/// The strongest role that memberships on a tenant and on the accounts above it give.
fn role_in(tenant: &Tenant, direct: &[Membership], accounts: &[(Account, Role)]) -> Option<Role> {
    let direct = direct.iter().filter(|membership| membership.scope == Scope::Tenant(tenant.id));
    let above = accounts.iter().filter(|(account, _)| account.id == tenant.account);
    Role::effective(direct.map(|membership| membership.role).chain(above.map(|(_, role)| *role)))
}

/// A tenant, and the viewer's role there.
pub type Reachable = (Tenant, Role);

/// The first tenants below each account, at any depth, in order of arrival, with the viewer's role in each. An account
/// that the viewer does not reach is refused by itself.
pub async fn account_tenants(
    ports: &Ports,
    access: &VerifiedAccess,
    accounts: &[AccountId],
    page: Ahead<TenantId>,
) -> Result<Vec<(AccountId, Result<Paged<Reachable>>)>> {
    store::read!(ports, |tx| {
        let user = user_of(tx, access).await?;
        if access.subject().entered.is_some() {
            return Err(Error::Forbidden);
        }
        let reached = strongest(store::accounts::accounts_reached(tx, user.id).await?);
        let below = store::accounts::tenants_below(tx, user.id, &page).await?;
        let ids: Vec<TenantId> = below.iter().map(|(_, tenant)| tenant.id).collect();
        let direct = store::memberships::memberships_on_tenants(tx, user.id, &ids).await?;
        let below = below.into_iter().map(|(top, tenant)| (top, with_role(tenant, &direct, &reached)));
        let mut pages = page.finish(below);
        let told = |id: &AccountId| {
            let found = reached.iter().find(|(account, _)| account.id == *id);
            let page: Result<_> = match found {
                None => Err(Refusal::not_found("").into()),
                Some((_, role)) if !Permission::ReadAccount.allows(*role) => Err(Error::Forbidden),
                Some(_) => Ok(pages.remove(id).unwrap_or_else(|| page.empty())),
            };
            (*id, page)
        };
        Ok(accounts.iter().map(told).collect())
    })
}

/// A tenant that a user's memberships reach, for `enter.rs`; only [`reach_tenants`] makes one.
#[derive(Debug)]
pub(super) struct Reached {
    user: UserId,
    auth_version: i64,
    tenant: TenantId,
    role: Role,
}

impl Reached {
    /// Who, at which version, reaches which tenant as what.
    pub fn parts(&self) -> (UserId, i64, TenantId, Role) {
        (self.user, self.auth_version, self.tenant, self.role)
    }
}

/// The viewer inside tenants, as if they had entered each: one that they do not reach, or that stands still, is refused
/// by itself. A token bound to a tenant reaches no other.
pub async fn reach_tenants(
    ports: &Ports,
    access: &VerifiedAccess,
    ids: &[TenantId],
) -> Result<Vec<(TenantId, Result<TenantContext>)>> {
    store::read!(ports, |tx| {
        let user = user_of(tx, access).await?;
        if access.subject().entered.is_some() {
            return Err(Error::Forbidden);
        }
        let tenants = store::accounts::tenants_find(tx, ids).await?;
        let direct = store::memberships::memberships_on_tenants(tx, user.id, ids).await?;
        let accounts = strongest(store::accounts::accounts_reached(tx, user.id).await?);
        let enter = |id: &TenantId| {
            let tenant = tenants.iter().find(|tenant| tenant.id == *id);
            let reached = tenant.and_then(|tenant| Some((tenant, role_in(tenant, &direct, &accounts)?)));
            let inside: Result<TenantContext> = match reached {
                None => Err(Refusal::not_found("").into()),
                Some((tenant, _)) if tenant.is_suspended => Err(suspended(Scope::Tenant(tenant.id)).into()),
                Some((tenant, role)) => {
                    let (user, auth_version) = (user.id, user.auth_version);
                    Ok(enter_as_member(&ports.wall, &Reached { user, auth_version, tenant: tenant.id, role }))
                }
            };
            (*id, inside)
        };
        Ok(ids.iter().map(enter).collect())
    })
}
