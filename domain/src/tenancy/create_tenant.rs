//! A tenant under an account.
//!
//! What every tenant has (a default brand, the topic for all marketing) is put in before the tenant's row makes it real,
//! so whoever can enter a tenant finds it whole, wherever a process died. The creation key makes a repeated call find
//! the tenant it made (C-186).

use carillon_entities::ids::{AccountId, TenantId};
use carillon_entities::wall::IdentityTx;

use super::audit::{Deed, record_apart};
use super::bootstrap::seed;
use super::create_account::hold_tree;
use super::{AccountGrant, Actor, CreateTenant, Name, Scope, Tenant, store};
use crate::contacts::{Country, Locale, Zone};
use crate::error::{Refusal, Result};
use crate::ports::Ports;

/// What a tenant is made of.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Its name, which is also its first brand's.
    pub name: Name,
    /// Zone of contacts that have none.
    pub zone: Zone,
    /// Locale of contacts that have none.
    pub locale: Locale,
    /// Country of contacts that have none.
    pub country: Country,
    /// Makes a repeated call find what the first made.
    pub creation_key: Option<String>,
}

/// Makes a tenant under the account the grant is for.
pub async fn create_tenant(grant: &AccountGrant<CreateTenant>, ports: &Ports, command: &NewTenant) -> Result<Tenant> {
    let account = grant.account();
    // Asked before seeding, so that a refused call leaves nothing behind; asked again when it counts.
    let found = store::write!(ports, |tx| find_or_allow(tx, account, command).await)?;
    if let Found::Made(tenant) = found {
        return same(tenant, command);
    }
    let id = ports.new_id::<TenantId>();
    let Found::Allowed { max_messages_per_day } = found else { return Err(Refusal::not_found("accountId").into()) };
    let tenant = Tenant {
        id,
        account,
        name: command.name.as_str().to_owned(),
        default_zone: command.zone.as_str().to_owned(),
        default_locale: command.locale.as_str().to_owned(),
        default_country: command.country.as_str().to_owned(),
        max_messages_per_day,
        is_suspended: false,
        created_at: ports.now(),
    };
    seed(ports, &tenant).await?;
    let made = store::write!(ports, |tx| match find_or_allow(tx, account, command).await? {
        Found::Made(tenant) => Ok(tenant),
        Found::Allowed { .. } => {
            store::accounts::tenant_insert(tx, &tenant, command.creation_key.as_deref(), false).await?;
            Ok(tenant.clone())
        }
    })?;
    if made.id != id {
        return same(made, command);
    }
    let deed = Deed::new("tenant.create", id.0);
    record_apart(ports, Some(Scope::Tenant(id)), Actor::User(grant.user()), deed).await?;
    Ok(made)
}

enum Found {
    Made(Tenant),
    Allowed { max_messages_per_day: i64 },
}

async fn find_or_allow(tx: &mut IdentityTx, account: AccountId, command: &NewTenant) -> Result<Found> {
    let held = hold_tree(tx, account).await?;
    if let Some(key) = &command.creation_key
        && let Some(tenant) = store::accounts::tenant_by_creation_key(tx, account, key).await?
    {
        return Ok(Found::Made(tenant));
    }
    let uses = store::accounts::account_use(tx, account).await?;
    if uses.iter().any(|used| used.tenants >= used.max_tenants) {
        return Err(Refusal::new("LIMIT_REACHED", "accountId", "The account has all the tenants it may have.").into());
    }
    Ok(Found::Allowed { max_messages_per_day: held.max_messages_per_day })
}

/// The tenant of a repeated call, unless the call was another.
fn same(tenant: Tenant, command: &NewTenant) -> Result<Tenant> {
    let is_same = tenant.name == command.name.as_str()
        && tenant.default_zone == command.zone.as_str()
        && tenant.default_locale == command.locale.as_str()
        && tenant.default_country == command.country.as_str();
    if is_same {
        return Ok(tenant);
    }
    Err(Refusal::new("IDEMPOTENCY_MISMATCH", "idempotencyKey", "The key was used with another input.").into())
}
