//! Entering a tenant: a token bound to it, with the strongest role that the tenant and the accounts above it give.

use carillon_entities::ids::TenantId;

use super::standing::{assert_fresh, stand_on, suspended};
use super::{
    AccessSubject, Doorkeeper, Grant, PresentedKey, ReadTenant, Role, Scope, Tenant, TenantContext, VerifiedAccess,
    enter_with_key, store,
};
use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;
use crate::time::Timestamp;
use chrono::TimeDelta;

/// When a key was used is known to the hour; exactly would cost a write per request.
const LAST_USED_GRAIN: TimeDelta = TimeDelta::hours(1);

/// What somebody gets who entered a tenant.
#[derive(Clone, PartialEq, Eq)]
pub struct TenantSession {
    /// For the `Authorization` header, in this tenant.
    pub access_token: String,
    /// Until when it is believed.
    pub access_token_expires_at: Timestamp,
    /// As what.
    pub role: Role,
    /// Where.
    pub tenant: Tenant,
}

impl std::fmt::Debug for TenantSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TenantSession({} as {})", self.tenant.id, self.role)
    }
}

/// Gives a signed-in user a token for a tenant they belong to.
pub async fn enter_tenant(
    ports: &Ports,
    desk: &Doorkeeper,
    access: &VerifiedAccess,
    tenant: TenantId,
) -> Result<TenantSession> {
    let scope = Scope::Tenant(tenant);
    let standing = store::read!(ports, |tx| stand_on(tx, access, scope, "tenantId").await)?;
    if standing.place.is_suspended() {
        return Err(suspended(scope).into());
    }
    let entered = standing.place.tenant.ok_or_else(|| Refusal::not_found("tenantId"))?;
    let subject = AccessSubject {
        user: standing.user.id,
        auth_version: standing.user.auth_version,
        entered: Some((tenant, standing.role)),
    };
    let (access_token, access_token_expires_at) = desk.tokens.issue(&subject, ports.now())?;
    Ok(TenantSession { access_token, access_token_expires_at, role: standing.role, tenant: entered })
}

/// The tenant a grant is for.
pub async fn tenant(grant: &Grant<ReadTenant>, ports: &Ports) -> Result<Tenant> {
    assert_fresh(grant).await?;
    let found = store::read!(ports, |tx| store::accounts::tenant_find(tx, grant.tenant()).await)?;
    found.ok_or_else(|| Refusal::not_found("").into())
}

/// An API key's way into its tenant (C-220).
///
/// # Errors
/// [`Error::Unauthenticated`] for a text that is no key of ours, was revoked or has ended.
pub async fn authenticate_key(ports: &Ports, text: &str) -> Result<TenantContext> {
    let presented = PresentedKey::parse(text).ok_or(Error::Unauthenticated)?;
    let found = store::read!(ports, |tx| store::credentials::key_stored(tx, presented.id).await)?;
    let (stored, last_used_at) = found.ok_or(Error::Unauthenticated)?;
    let now = ports.now();
    let key = presented.verify(stored, now).ok_or(Error::Unauthenticated)?;
    if last_used_at.is_none_or(|at| at + LAST_USED_GRAIN <= now) {
        store::write!(ports, |tx| store::credentials::key_touch(tx, presented.id, now).await)?;
    }
    Ok(enter_with_key(&ports.wall, &key))
}
