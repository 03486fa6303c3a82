//! Writing what is to be told, in the transaction of the fact that it tells.
//!
//! One statement asks who listens to what; where nobody does, that is all. Else there are two more, for the events and for
//! their deliveries, however many (L5).

use carillon_entities::ids::{WebhookDeliveryId, WebhookEndpointId, WebhookEventId};
use carillon_entities::wall::TenantTx;
use serde_json::Value as Json;

use super::{EndpointState, Happening, WebhookEventType, store};
use crate::error::Result;
use crate::ports::Ports;

/// An event to be.
#[derive(Debug)]
pub(super) struct NewEvent {
    pub id: WebhookEventId,
    pub event_type: WebhookEventType,
    pub data: Json,
}

/// A delivery to be, due at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewDelivery {
    pub id: WebhookDeliveryId,
    pub endpoint: WebhookEndpointId,
    pub event: WebhookEventId,
    pub event_type: WebhookEventType,
}

/// Tells what happened to whoever listens. What only disabled endpoints listen to is kept as well, for them to be told by a
/// replay.
pub(crate) async fn tell(tx: &mut TenantTx, ports: &Ports, happenings: Vec<Happening>) -> Result<()> {
    if happenings.is_empty() {
        return Ok(());
    }
    let listeners = store::outbox::listeners(tx).await?;
    let (mut events, mut deliveries) = (Vec::new(), Vec::new());
    for happening in happenings {
        let event_type = happening.event_type();
        let mut heard = listeners.iter().filter(|listener| listener.event_type == event_type).peekable();
        if heard.peek().is_none() {
            continue;
        }
        let event = NewEvent { id: ports.new_id(), event_type, data: happening.data()? };
        let enabled = heard.filter(|listener| listener.state == EndpointState::Enabled);
        deliveries.extend(enabled.map(|listener| NewDelivery {
            id: ports.new_id(),
            endpoint: listener.endpoint,
            event: event.id,
            event_type,
        }));
        events.push(event);
    }
    if events.is_empty() {
        return Ok(());
    }
    store::outbox::events_insert(tx, events, ports.now()).await?;
    store::deliveries::deliveries_insert(tx, &deliveries, ports.now()).await
}
