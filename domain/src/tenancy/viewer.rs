//! What a signed-in user sees of themselves.

use carillon_entities::ids::TenantId;
use uuid::Uuid;

use super::standing::user_of;
use super::{Account, Role, Scope, Tenant, User, VerifiedAccess, store};
use crate::error::Result;
use crate::paging::{Page, Paged};
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
        Ok(tenants.map(|tenant| {
            let direct = direct.iter().filter(|membership| membership.scope == Scope::Tenant(tenant.id));
            let above = accounts.iter().filter(|(account, _)| account.id == tenant.account);
            let roles = direct.map(|membership| membership.role).chain(above.map(|(_, role)| *role));
            // Reached, so there is a role; the weakest would be shown otherwise.
            let role = Role::effective(roles).unwrap_or(Role::Viewer);
            (tenant, role)
        }))
    })
}
