//! Taking back what has not been handed over.

use carillon_entities::ids::MessageId;
use carillon_entities::wall::TenantTx;
use serde_json::json;

use super::tell::tell_ends;
use super::{Ending, store};
use crate::error::Result;
use crate::ports::Ports;
use crate::tenancy::{Grant, SendMessages};

/// Cancels queued messages; those that are on their way or over stay as they are. Returns how many were cancelled.
pub async fn cancel_messages(
    _: &Grant<SendMessages>,
    tx: &mut TenantTx,
    ports: &Ports,
    ids: &[MessageId],
) -> Result<u64> {
    let now = ports.now();
    let cancelled = store::messages_cancel(tx, ids, now).await?;
    let events = cancelled.iter().map(|id| (*id, "cancelled", json!({})));
    store::message_events_append(tx, ports, events, now).await?;
    tell_ends(tx, ports, cancelled.iter().map(|id| (*id, Ending::Cancelled, None)).collect()).await?;
    Ok(u64::try_from(cancelled.len()).unwrap_or(u64::MAX))
}
