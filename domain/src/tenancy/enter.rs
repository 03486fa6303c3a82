//! The ways into a tenant: the one file that opens the wall's door (L1).
//!
//! Every function takes something that only verification can make (a link token that decrypted, an access token whose
//! signature held, a stored API key), or is for Carillon's own work on rows that name their tenant (C-209).

use carillon_entities::ids::TenantId;
use carillon_entities::wall::{Freshness, TenantDoor, Wall};

use super::viewer::Reached;
use super::{
    Actor, Grant, ImportContacts, OperatorContext, ReceiveReports, RecordConsent, RecordHits, RunWebhooks, Scopes,
    SystemContext, TenantContext, VerifiedAccess, VerifiedKey, VerifySenders,
};
use crate::campaigns::CampaignGrants;
use crate::files::SignedFile;
use crate::keys::{VerifiedBounce, VerifiedClick, VerifiedLink};
use crate::workflows::EngineGrants;

/// A signed-in user, in the tenant their token names; none if it names none.
pub fn enter_as_user(wall: &Wall, access: &VerifiedAccess) -> Option<TenantContext> {
    let subject = access.subject();
    let (tenant, role) = subject.entered?;
    let door = open(wall, tenant, Freshness::User(subject.user, subject.auth_version));
    Some(TenantContext::new(door, Actor::User(subject.user), role, Scopes::All))
}

/// A signed-in user, in a tenant that their memberships were just found to reach.
pub(super) fn enter_as_member(wall: &Wall, reached: &Reached) -> TenantContext {
    let (user, auth_version, tenant, role) = reached.parts();
    TenantContext::new(open(wall, tenant, Freshness::User(user, auth_version)), Actor::User(user), role, Scopes::All)
}

/// An API key, in its tenant.
pub fn enter_with_key(wall: &Wall, key: &VerifiedKey) -> TenantContext {
    let door = open(wall, key.tenant, Freshness::Key(key.id, key.document_set));
    TenantContext::new(door, Actor::ApiKey(key.id), key.role, key.scopes.clone()).held_to(key.document_set)
}

/// Carillon's own work in the tenant that a claimed row or a ticket names.
pub fn enter_for_work(wall: &Wall, tenant: TenantId) -> SystemContext {
    SystemContext::new(open(wall, tenant, Freshness::Unchecked))
}

/// The operator, who holds the logins and keys that this process was started with; for `carillon admin` only.
pub fn operate() -> OperatorContext {
    OperatorContext::new()
}

/// The operator, at the senders of a tenant.
pub fn enter_to_verify(operator: &OperatorContext, wall: &Wall, tenant: TenantId) -> Grant<VerifySenders> {
    operator.grant_in(open(wall, tenant, Freshness::Unchecked))
}

/// Carillon's own work on the imports of a tenant: none while it is suspended.
pub fn enter_to_import(wall: &Wall, tenant: TenantId) -> Grant<ImportContacts> {
    Grant::new(open(wall, tenant, Freshness::Tenant), Actor::System)
}

/// Carillon's own work on the workflows of a tenant: none while it is suspended.
pub fn enter_to_advance(wall: &Wall, tenant: TenantId) -> EngineGrants {
    let door = open(wall, tenant, Freshness::Tenant);
    EngineGrants { run: Grant::new(door.clone(), Actor::System), send: Grant::new(door, Actor::System) }
}

/// Carillon's own work on the webhooks of a tenant: none while it is suspended.
pub fn enter_to_tell(wall: &Wall, tenant: TenantId) -> Grant<RunWebhooks> {
    Grant::new(open(wall, tenant, Freshness::Tenant), Actor::System)
}

/// Carillon's own work on the campaigns of a tenant: none while it is suspended.
pub fn enter_to_campaign(wall: &Wall, tenant: TenantId) -> CampaignGrants {
    let door = open(wall, tenant, Freshness::Tenant);
    CampaignGrants { run: Grant::new(door.clone(), Actor::System), send: Grant::new(door, Actor::System) }
}

/// The person who follows a link in a mail: they may record what they want, for their own address only.
pub fn enter_by_link(wall: &Wall, link: &VerifiedLink) -> Grant<RecordConsent> {
    Grant::new(open(wall, link.tenant, Freshness::Link), Actor::Recipient)
}

/// Whatever follows a tracked link or asks for a pixel: it may leave a trace, while the tenant is not suspended. Not on the
/// connections of [`enter_by_link`]: no flood of clicks keeps anybody from unsubscribing (C-11).
pub fn enter_by_click(wall: &Wall, click: &VerifiedClick) -> Grant<RecordHits> {
    Grant::new(open(wall, click.tenant, Freshness::Tenant), Actor::Recipient)
}

/// Whoever sends a mail to a signed return path, or sends a mail of ours back with its signed link: a report is taken, also
/// while the tenant is suspended, for whom not to write to is no matter of that.
pub fn enter_by_bounce(wall: &Wall, path: &VerifiedBounce) -> Grant<ReceiveReports> {
    Grant::new(open(wall, path.tenant, Freshness::Unchecked), Actor::System)
}

/// The same by the link that came back in a complaint (C-59).
pub fn enter_by_returned_link(wall: &Wall, link: &VerifiedLink) -> Grant<ReceiveReports> {
    Grant::new(open(wall, link.tenant, Freshness::Unchecked), Actor::System)
}

/// Whoever holds a signed file address: it was given to somebody who may import, for one file, until it expires
/// or the tenant is suspended.
pub fn enter_by_file(wall: &Wall, file: &SignedFile) -> Grant<ImportContacts> {
    Grant::new(open(wall, file.tenant(), Freshness::Tenant), Actor::System)
}

#[expect(clippy::disallowed_methods, reason = "the one place the ban leaves open (L1)")]
fn open(wall: &Wall, tenant: TenantId, freshness: Freshness) -> TenantDoor {
    wall.assume_tenant(tenant, freshness)
}
