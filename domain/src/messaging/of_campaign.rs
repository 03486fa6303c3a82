//! What a campaign asks of the messages that come from it.

use carillon_entities::ids::CampaignId;
use carillon_entities::wall::TenantTx;
use serde_json::json;

use super::tell::tell_ends;
use super::{Ending, store};
use crate::error::Result;
use crate::ports::Ports;
use crate::time::Timestamp;

/// How many messages of a campaign are due, and how many wait to leave in all, each counted to its `most`.
pub(crate) async fn queued_of_campaign(
    tx: &mut TenantTx,
    campaign: CampaignId,
    now: Timestamp,
    most: (i64, i64),
) -> Result<(i64, i64)> {
    store::messages_of_campaign_queued(tx, campaign, now, most).await
}

/// Whether a message of a campaign waits to leave or is on its way.
pub(crate) async fn has_open_of_campaign(tx: &mut TenantTx, campaign: CampaignId) -> Result<bool> {
    store::messages_of_campaign_open(tx, campaign).await
}

/// Cancels up to `most` queued messages of a campaign that was cancelled; what is on its way meets the gate. Returns how many.
pub(crate) async fn cancel_of_campaign(
    tx: &mut TenantTx,
    ports: &Ports,
    campaign: CampaignId,
    most: i64,
) -> Result<usize> {
    let now = ports.now();
    let cancelled = store::messages_cancel_of_campaign(tx, campaign, now, most).await?;
    let events = cancelled.iter().map(|id| (*id, "cancelled", json!({ "reason": "campaign_over" })));
    store::message_events_append(tx, ports, events, now).await?;
    let ended = cancelled.iter().map(|id| (*id, Ending::Cancelled, Some("campaign_over".to_owned())));
    tell_ends(tx, ports, ended.collect()).await?;
    Ok(cancelled.len())
}

/// Has what the gate held of a campaign looked at again now.
pub(crate) async fn wake_of_campaign(tx: &mut TenantTx, ports: &Ports, campaign: CampaignId) -> Result<()> {
    store::messages_of_campaign_wake(tx, campaign, ports.now()).await
}
