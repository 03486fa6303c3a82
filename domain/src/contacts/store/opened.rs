//! What events hold, sealed.

use carillon_entities::ids::{ContactEventId, ContactId};
use carillon_entities::statements;
use carillon_entities::wall::{TenantTx, WallError};
use sea_orm::FromQueryResult;

use super::read;

statements! {
    /// The sealed properties of events by id.
    EVENTS_SEALED() [id: Uuid] =
        "SELECT e.id, e.contact_id, e.sealed FROM ({batch}) AS b JOIN contact_events e ON e.tenant_id = $1 AND e.id = b.id";
}

/// An event as it is stored.
#[derive(Debug, FromQueryResult)]
pub(in crate::contacts) struct SealedEvent {
    pub id: ContactEventId,
    pub contact_id: ContactId,
    pub sealed: Option<Vec<u8>>,
}

pub(in crate::contacts) async fn sealed_properties(
    tx: &mut TenantTx,
    events: &[ContactEventId],
) -> Result<Vec<SealedEvent>, WallError> {
    read(tx, &EVENTS_SEALED, events.iter().map(|id| vec![id.0.into()]).collect()).await
}
