//! The audit log: who administered what, and when (append-only, L7).
//!
//! A tenant's entries lie in the tenant; what concerns accounts and users lies in the system tenant. Entries hold ids
//! and codes, no personal data. What lives in the identity space is changed in a transaction of its own, so its entry
//! is committed directly after it; a process that dies between the two leaves the change without its entry, until the
//! call is repeated under its idempotency key.

use carillon_entities::ids::{AuditEventId, TenantId};
use carillon_entities::wall::TenantTx;
use serde_json::Value as Json;
use uuid::Uuid;

use super::{Actor, AdministerTenant, Grant, KeepTenant, SYSTEM_TENANT, Scope, enter_for_work, store};
use crate::error::Result;
use crate::paging::{Page, Paged};
use crate::ports::Ports;
use crate::time::Timestamp;

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    /// Its id.
    pub id: AuditEventId,
    /// What kind of actor it was.
    pub actor_kind: String,
    /// Which one, where there is one.
    pub actor_id: Option<Uuid>,
    /// What was done, such as `member.remove`.
    pub action: String,
    /// To what.
    pub object: Option<Uuid>,
    /// Codes and ids; never personal data.
    pub detail: Json,
    /// When.
    pub at: Timestamp,
}

/// What was done, for [`record`].
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    /// What, such as `member.remove`.
    pub action: &'static str,
    /// To what.
    pub object: Option<Uuid>,
    /// Codes and ids; never personal data.
    pub detail: Json,
    /// The id of its entry, where it may be recorded again.
    pub entry: Option<AuditEventId>,
}

impl Deed {
    /// A deed without detail.
    pub fn new(action: &'static str, object: impl Into<Option<Uuid>>) -> Self {
        Self { action, object: object.into(), detail: Json::Object(serde_json::Map::new()), entry: None }
    }

    /// The same deed with detail.
    #[must_use]
    pub fn with(mut self, detail: Json) -> Self {
        self.detail = detail;
        self
    }

    /// The same deed, recorded once however often it is told.
    #[must_use]
    pub fn once(mut self, entry: AuditEventId) -> Self {
        self.entry = Some(entry);
        self
    }
}

/// Appends an entry in the transaction of the deed.
pub(crate) async fn record(tx: &mut TenantTx, ports: &Ports, actor: Actor, deed: Deed) -> Result<()> {
    let event = AuditEvent {
        id: deed.entry.unwrap_or_else(|| ports.new_id()),
        actor_kind: actor.kind().as_str().to_owned(),
        actor_id: actor.id(),
        action: deed.action.to_owned(),
        object: deed.object,
        detail: deed.detail,
        at: ports.now(),
    };
    store::audit::event_insert(tx, event).await
}

/// Appends an entry about what was done in the identity space: in the tenant it concerns, or in the system tenant.
pub(super) async fn record_apart(ports: &Ports, scope: Option<Scope>, actor: Actor, deed: Deed) -> Result<()> {
    let tenant = match scope {
        Some(Scope::Tenant(tenant)) => tenant,
        Some(Scope::Account(_)) | None => SYSTEM_TENANT,
    };
    let mut tx = begin(ports, tenant).await?;
    record(&mut tx, ports, actor, deed).await?;
    Ok(tx.commit().await?)
}

async fn begin(ports: &Ports, tenant: TenantId) -> Result<TenantTx> {
    enter_for_work(&ports.wall, tenant).grant::<KeepTenant>().begin().await
}

/// Entries of the tenant's log; unknown ids are left out.
pub async fn find_audit_events(
    _grant: &Grant<AdministerTenant>,
    tx: &mut TenantTx,
    ids: &[AuditEventId],
) -> Result<Vec<AuditEvent>> {
    store::audit::events_find(tx, ids).await
}

/// The tenant's log, the newest entry first.
pub async fn audit_events(
    _grant: &Grant<AdministerTenant>,
    tx: &mut TenantTx,
    page: &Page<AuditEventId>,
) -> Result<Paged<AuditEvent>> {
    // Pages are made in order of arrival; this list is the other way round.
    Ok(store::audit::events_page(tx, &page.turned()).await?.turned())
}
