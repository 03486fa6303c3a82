//! The ways into a tenant: the one file that opens the wall's door (L1).
//!
//! Every function takes something that only verification can make (a link token that decrypted, an access token whose
//! signature held, a stored API key), or is for Carillon's own work on rows that name their tenant (C-209).

use carillon_entities::ids::TenantId;
use carillon_entities::wall::{Freshness, TenantDoor, Wall};

use super::{Actor, Grant, RecordConsent, SystemContext};
use crate::keys::VerifiedLink;

/// Carillon's own work in the tenant that a claimed row or a ticket names.
pub fn enter_for_work(wall: &Wall, tenant: TenantId) -> SystemContext {
    SystemContext::new(open(wall, tenant, Freshness::Unchecked))
}

/// The person who follows a link in a mail: they may record what they want, for their own address only.
pub fn enter_by_link(wall: &Wall, link: &VerifiedLink) -> Grant<RecordConsent> {
    Grant::new(open(wall, link.tenant, Freshness::Unchecked), Actor::Recipient)
}

#[expect(clippy::disallowed_methods, reason = "the one place the ban leaves open (L1)")]
fn open(wall: &Wall, tenant: TenantId, freshness: Freshness) -> TenantDoor {
    wall.assume_tenant(tenant, freshness)
}
