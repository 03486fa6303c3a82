//! Taking back what has not been handed over.

use carillon_entities::ids::MessageId;
use carillon_entities::wall::TenantTx;

use super::store;
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
    store::messages_cancel(tx, ids, ports.now()).await
}
