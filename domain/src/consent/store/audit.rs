//! Writes the audit log's rows of this aggregate.

use carillon_entities::ids::AuditEventId;
use carillon_entities::rows::service::audit_events;
use carillon_entities::wall::{TenantTx, WallError};
use sea_orm::ActiveValue::{NotSet, Set};
use uuid::Uuid;

use crate::ports::Ports;
use crate::tenancy::Actor;

/// Notes who did what to which object.
pub async fn audit_insert(
    tx: &mut TenantTx,
    ports: &Ports,
    actor: Actor,
    action: &str,
    object: Uuid,
) -> Result<(), WallError> {
    tx.insert(audit_events::ActiveModel {
        tenant_id: NotSet,
        id: Set(ports.new_id::<AuditEventId>()),
        actor_kind: Set(actor.kind().as_str().to_owned()),
        actor_id: Set(actor.id()),
        action: Set(action.to_owned()),
        object_id: Set(Some(object)),
        detail: Set(serde_json::json!({})),
        at: Set(ports.now()),
    })
    .await
}
