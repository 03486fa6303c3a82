//! Rows of `audit_events`; these are a tenant's own.

use carillon_entities::ids::AuditEventId;
use carillon_entities::rows::service::audit_events;
use carillon_entities::wall::{OnConflict, TenantTx};
use sea_orm::ActiveValue::Set;

use crate::error::Result;
use crate::paging::{Page, Paged};
use crate::tenancy::AuditEvent;

/// Appends an entry, unless it is there already.
pub(in crate::tenancy) async fn event_insert(tx: &mut TenantTx, event: AuditEvent) -> Result<()> {
    let row = audit_events::ActiveModel {
        id: Set(event.id),
        actor_kind: Set(event.actor_kind),
        actor_id: Set(event.actor_id),
        action: Set(event.action),
        object_id: Set(event.object),
        detail: Set(event.detail),
        at: Set(event.at),
        ..Default::default()
    };
    tx.insert_many(vec![row], OnConflict::Keep).await?;
    Ok(())
}

/// A page of the log in order of arrival.
pub(in crate::tenancy) async fn events_page(tx: &mut TenantTx, page: &Page<AuditEventId>) -> Result<Paged<AuditEvent>> {
    let rows = page.keyset(tx.select::<audit_events::Entity>(), audit_events::Column::Id).all().await?;
    Ok(page.finish(rows).map(event))
}

/// Entries; unknown ids are left out.
pub(in crate::tenancy) async fn events_find(tx: &mut TenantTx, ids: &[AuditEventId]) -> Result<Vec<AuditEvent>> {
    let select = tx.select::<audit_events::Entity>();
    let rows = select.is_in(audit_events::Column::Id, ids.iter().copied()).all().await?;
    Ok(rows.into_iter().map(event).collect())
}

fn event(row: audit_events::Model) -> AuditEvent {
    AuditEvent {
        id: row.id,
        actor_kind: row.actor_kind,
        actor_id: row.actor_id,
        action: row.action,
        object: row.object_id,
        detail: row.detail,
        at: row.at,
    }
}
