//! What reports look up and change: the message they are about, and what its history has of others.

use carillon_entities::ids::{BrandId, MessageId};
use carillon_entities::rows::messaging::{message_events, messages};
use carillon_entities::wall::TenantTx;
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::keys::{AddressHash, AddressHmac};
use crate::messaging::MessageClass;
use crate::messaging::state::{Ending, MessageState, MessageStatus};
use crate::time::Timestamp;

/// What is written down of reports.
const KINDS: [&str; 6] = ["bounced", "delayed", "delivered", "complained", "not_spam", "auto_reply"];

/// A message that something is reported of.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct ReportedMessage {
    pub id: MessageId,
    pub state: MessageState,
    pub class: MessageClass,
    pub brand: BrandId,
    pub address: AddressHmac,
    /// The number of its newest attempt.
    pub attempts: i32,
}

pub(in crate::messaging) async fn message_reported(
    tx: &mut TenantTx,
    id: MessageId,
) -> Result<Option<ReportedMessage>> {
    let row = tx.select::<messages::Entity>().eq(messages::Column::Id, id).one().await?;
    row.as_ref().map(reported).transpose()
}

/// The same, locked until the transaction ends.
pub(in crate::messaging) async fn message_reported_locked(
    tx: &mut TenantTx,
    id: MessageId,
) -> Result<Option<ReportedMessage>> {
    let row = tx.select::<messages::Entity>().eq(messages::Column::Id, id).for_update().one().await?;
    row.as_ref().map(reported).transpose()
}

fn reported(row: &messages::Model) -> Result<ReportedMessage> {
    let status: MessageStatus = row.state.parse().map_err(Error::fault)?;
    let state = match Ending::of(status) {
        Some(ending) => MessageState::Settled { ending, at: row.settled_at.unwrap_or(row.created_at) },
        None if status == MessageStatus::Claimed => {
            MessageState::Claimed { lease_until: row.lease_until.unwrap_or(row.due_at), fence: row.fence }
        }
        None => MessageState::Queued { due_at: row.due_at },
    };
    let hash = AddressHash::from_slice(&row.address_hmac);
    Ok(ReportedMessage {
        id: row.id,
        state,
        class: row.class.parse().map_err(Error::fault)?,
        brand: row.brand_id,
        address: AddressHmac {
            key: row.hmac_key_id.parse().map_err(Error::fault)?,
            hash: hash.ok_or_else(|| Error::fault("an address hash of the wrong length"))?,
        },
        attempts: row.attempts,
    })
}

/// Ends a message as a report has it; it is locked.
pub(in crate::messaging) async fn message_end_reported(
    tx: &mut TenantTx,
    message: &ReportedMessage,
    to: MessageStatus,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    use messages::Column;
    tx.update::<messages::Entity>()
        .eq(Column::Id, message.id)
        .eq(Column::State, message.state.status().as_str())
        .set(Column::State, to.as_str())
        .set(Column::Reason, reason.map(str::to_owned))
        .set(Column::SettledAt, Some(now))
        .execute()
        .await?;
    Ok(())
}

/// What a message's history has of reports, oldest first.
pub(in crate::messaging) async fn report_events(tx: &mut TenantTx, id: MessageId) -> Result<Vec<(String, Json)>> {
    use message_events::Column;
    let select = tx.select::<message_events::Entity>().eq(Column::MessageId, id).is_in(Column::Kind, KINDS);
    let rows = select.order_by(Column::Id).limit(100).all().await?;
    Ok(rows.into_iter().map(|row| (row.kind, row.detail)).collect())
}
