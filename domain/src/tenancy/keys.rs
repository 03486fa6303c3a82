//! API keys of a tenant (C-220): shown once, kept as a hash, limited to scopes and a role, expiring, revocable.
//!
//! Under an idempotency key the secret is kept sealed (C-233) with the answer, as long as that: whoever lost the answer
//! has the same key by the same call.

use carillon_entities::ids::{CredentialId, DocumentSetId, TenantId, UserId};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::audit::{Deed, record_apart};
use super::once::Once;
use super::standing::{assert_fresh, place_of};
use super::{Actor, AdministerTenant, Grant, Name, NewApiKey, Permission, Role, Scope, store};
use crate::error::{Error, Refusal, Result};
use crate::idempotency::{Call, Run};
use crate::paging::{Page, Paged};
use crate::persisted::assert_document_set;
use crate::ports::Ports;
use crate::time::Timestamp;

/// Keys of one tenant that are not revoked.
pub const KEYS_MAX: i64 = 100;
/// The end of a key that was made without one.
pub const KEY_LIFE: TimeDelta = TimeDelta::days(365);

/// A key as its tenant sees it: without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id.
    pub id: CredentialId,
    /// What it is for.
    pub name: String,
    /// Its readable part.
    pub prefix: String,
    /// The role it acts as.
    pub role: Role,
    /// What it may do of what the role may.
    pub scopes: Vec<Permission>,
    /// The set whose documents it may run, and no others; any document if there is none.
    #[serde(default)]
    pub document_set: Option<DocumentSetId>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the hour.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a key is made of.
#[derive(Debug, Clone)]
pub struct CreateApiKey {
    /// What it is for.
    pub name: Name,
    /// The role it acts as.
    pub role: Role,
    /// What it may do of what the role may.
    pub scopes: Vec<Permission>,
    /// The set whose documents it may run, and no others.
    pub document_set: Option<DocumentSetId>,
    /// When it ends; after a year unless said otherwise.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key and returns its text, which is shown to this call only.
pub async fn create_api_key(
    grant: &Grant<AdministerTenant>,
    ports: &Ports,
    command: CreateApiKey,
    call: Option<&Call>,
) -> Result<(ApiKey, String)> {
    let by = fresh_user(grant).await?;
    let now = ports.now();
    check_scopes(&command)?;
    if let Some(set) = command.document_set {
        assert_document_set(grant, set, "documentSetId").await?;
    }
    if command.expires_at.is_some_and(|end| end <= now) {
        return Err(Refusal::new("ALREADY_OVER", "expiresAt", "The key would have ended already.").into());
    }
    let id = ports.new_id::<CredentialId>();
    let new = NewApiKey::generate(id, ports.entropy.as_ref());
    let key = ApiKey {
        id,
        name: command.name.as_str().to_owned(),
        prefix: new.prefix.clone(),
        role: command.role,
        scopes: command.scopes,
        document_set: command.document_set,
        expires_at: Some(command.expires_at.unwrap_or(now + KEY_LIFE)),
        last_used_at: None,
        revoked_at: None,
        created_at: now,
    };
    let done = store::write_once!(ports, Once::within(by, grant.tenant(), call), |tx| {
        let place = place_of(tx, Scope::Tenant(grant.tenant())).await?.ok_or_else(|| Refusal::not_found(""))?;
        let roles = store::memberships::roles_on(tx, by, &place.scope_ids()).await?;
        if !Role::effective(roles).is_some_and(|role| role.may_give(key.role)) {
            return Err(Refusal::new("ROLE_ABOVE_YOURS", "role", "The role is above your own.").into());
        }
        if store::credentials::keys_count(tx, grant.tenant()).await? >= KEYS_MAX {
            return Err(Refusal::new("LIMIT_REACHED", "", "The tenant has all the keys it may have.").into());
        }
        store::credentials::key_insert(tx, grant.tenant(), &key, new.hash, Some(by)).await?;
        Ok((key.clone(), new.text.clone()))
    })?;
    let (key, text): (ApiKey, String) = done.value;
    let deed = Deed::new("api_key.create", key.id.0).with(json!({ "role": key.role, "scopes": key.scopes }));
    record_apart(ports, Some(Scope::Tenant(grant.tenant())), grant.actor(), deed.once(done.entry)).await?;
    Ok((key, text))
}

/// Every scope must be one that keys can have and the role has.
fn check_scopes(command: &CreateApiKey) -> Result<()> {
    if command.scopes.is_empty() {
        return Err(Refusal::new("REQUIRED", "scopes", "A key without scopes could do nothing.").into());
    }
    let refuse = |(index, scope): (usize, &Permission)| {
        let fits = scope.allows_keys() && scope.allows(command.role);
        let message = match (fits, command.document_set.is_some() && widens(*scope)) {
            (true, false) => return None,
            (true, true) => HELD.to_owned(),
            (false, _) => format!("A key with the role {} cannot have {scope}.", command.role),
        };
        Some(Refusal::new("INVALID_SCOPE", format!("scopes.{index}"), message))
    };
    let refusals: Vec<Refusal> = command.scopes.iter().enumerate().filter_map(refuse).collect();
    if refusals.is_empty() { Ok(()) } else { Err(Error::Refused(refusals)) }
}

/// Why a key with [`widens`] is not held to a set.
const HELD: &str = "A key that is held to a document set cannot change what the set has.";

/// True for a scope by which a key could let itself run more.
fn widens(scope: Permission) -> bool {
    scope == Permission::PublishDocuments
}

/// Holds a key to a document set, or to none: from its next request on, and its subscriptions end.
pub async fn limit_api_key(
    grant: &Grant<AdministerTenant>,
    ports: &Ports,
    (id, document_set): (CredentialId, Option<DocumentSetId>),
    call: Option<&Call>,
) -> Result<ApiKey> {
    let by = fresh_user(grant).await?;
    if let Some(set) = document_set {
        assert_document_set(grant, set, "to.documentSetId").await?;
    }
    let done = store::write_once!(ports, Once::within(by, grant.tenant(), call), |tx| {
        let key = store::credentials::key_find(tx, grant.tenant(), id).await?;
        let key = key.ok_or_else(|| Refusal::not_found("id"))?;
        if document_set.is_some() && key.scopes.iter().copied().any(widens) {
            return Err(Refusal::new("INVALID_SCOPE", "id", HELD).into());
        }
        store::credentials::key_limit(tx, id, document_set).await?;
        let changed = key.document_set != document_set;
        Ok((ApiKey { document_set, ..key }, changed))
    })?;
    let (key, changed): (ApiKey, bool) = done.value;
    if changed {
        let deed = Deed::new("api_key.limit", id.0).with(json!({ "documentSet": document_set })).once(done.entry);
        record_apart(ports, Some(Scope::Tenant(grant.tenant())), grant.actor(), deed).await?;
    }
    Ok(key)
}

/// The user behind the grant, whose token is still good.
async fn fresh_user(grant: &Grant<AdministerTenant>) -> Result<UserId> {
    assert_fresh(grant).await?;
    match grant.actor() {
        Actor::User(user) => Ok(user),
        _ => Err(Error::Forbidden),
    }
}

/// Keys of the tenant, revoked ones too; unknown ids are left out.
pub async fn find_api_keys(
    grant: &Grant<AdministerTenant>,
    ports: &Ports,
    ids: &[CredentialId],
) -> Result<Vec<ApiKey>> {
    fresh_user(grant).await?;
    store::read!(ports, |tx| store::credentials::keys_find(tx, grant.tenant(), ids).await)
}

/// The users who made those of a tenant's keys, revoked ones too, that are among the ids.
pub(crate) async fn key_makers(ports: &Ports, tenant: TenantId, ids: &[CredentialId]) -> Result<Vec<UserId>> {
    store::read!(ports, |tx| store::credentials::keys_makers(tx, tenant, ids).await)
}

/// The tenant's keys, revoked ones too, in order of arrival.
pub async fn api_keys(
    grant: &Grant<AdministerTenant>,
    ports: &Ports,
    page: &Page<CredentialId>,
) -> Result<Paged<ApiKey>> {
    fresh_user(grant).await?;
    store::read!(ports, |tx| store::credentials::keys_page(tx, grant.tenant(), page).await)
}

/// Ends a key with the next request; a revoked one stays as it is.
pub async fn revoke_api_key(
    grant: &Grant<AdministerTenant>,
    ports: &Ports,
    id: CredentialId,
    run: Run<'_>,
) -> Result<ApiKey> {
    let by = fresh_user(grant).await?;
    let now = ports.now();
    let done = store::write_once!(ports, Once::within(by, grant.tenant(), None).run(run), |tx| {
        let key = store::credentials::key_find(tx, grant.tenant(), id).await?;
        let key = key.ok_or_else(|| Refusal::not_found("id"))?;
        store::credentials::key_revoke(tx, id, now).await?;
        let was_live = key.revoked_at.is_none();
        Ok((ApiKey { revoked_at: key.revoked_at.or(Some(now)), ..key }, was_live))
    })?;
    let (key, was_live): (ApiKey, bool) = done.value;
    if was_live && run != Run::Dry {
        let deed = Deed::new("api_key.revoke", id.0).once(done.entry);
        record_apart(ports, Some(Scope::Tenant(grant.tenant())), grant.actor(), deed).await?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(role: Role, scopes: &[Permission]) -> Vec<String> {
        let name = Name::parse("Shop").unwrap();
        let command = CreateApiKey { name, role, scopes: scopes.to_vec(), document_set: None, expires_at: None };
        match check_scopes(&command) {
            Ok(()) => Vec::new(),
            Err(Error::Refused(refusals)) => refusals.into_iter().map(|refusal| refusal.field).collect(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn c220_a_key_has_only_scopes_that_its_role_has_and_keys_may_have() {
        assert_eq!(refused(Role::Marketer, &[Permission::SendMessages]), Vec::<String>::new());
        assert_eq!(refused(Role::Viewer, &[Permission::ReadContacts, Permission::SendMessages]), ["scopes.1"]);
        assert_eq!(refused(Role::Owner, &[Permission::AdministerTenant]), ["scopes.0"]);
        assert_eq!(refused(Role::Owner, &[Permission::CreateTenant]), ["scopes.0"]);
        assert_eq!(refused(Role::Owner, &[]), ["scopes"]);
    }
}
