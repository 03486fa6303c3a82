//! Messages by the campaign they come from.

use carillon_entities::ids::{CampaignId, MessageId};
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use sea_orm::{FromQueryResult, Value};

use crate::error::Result;
use crate::time::Timestamp;

statements! {
    /// How many messages of a campaign are due, and how many wait to leave in all, each counted to a limit.
    CAMPAIGN_MESSAGES_QUEUED(Uuid, Time, BigInt, BigInt) =
        "SELECT (SELECT COUNT(*) FROM (SELECT 1 AS one FROM messages WHERE tenant_id = $1 AND campaign_id = $2 \
            AND state = 'queued' AND due_at <= $3 LIMIT $4) AS due_ones) AS due, \
         (SELECT COUNT(*) FROM (SELECT 1 AS one FROM messages WHERE tenant_id = $1 AND campaign_id = $2 \
            AND state = 'queued' LIMIT $5) AS waiting_ones) AS waiting";
    /// Messages of a campaign that wait to leave or are on their way.
    CAMPAIGN_MESSAGES_OPEN(Uuid) =
        "SELECT COUNT(*) AS count FROM (SELECT 1 AS one FROM messages WHERE tenant_id = $1 AND campaign_id = $2 \
         AND state IN ('queued', 'claimed') LIMIT 1) AS counted";
    /// Cancels what is queued of a campaign, so many at a time.
    CAMPAIGN_MESSAGES_CANCEL(Uuid, Time, BigInt) =
        "WITH leaving AS (SELECT id FROM messages WHERE tenant_id = $1 AND campaign_id = $2 AND state = 'queued' \
         ORDER BY id LIMIT $4 {skip_locked}) \
         UPDATE messages SET state = 'cancelled', reason = 'campaign_over', settled_at = $3, fence = fence + 1 \
         WHERE tenant_id = $1 AND id IN (SELECT leaving.id FROM leaving) RETURNING id";
    /// Has what is held of a campaign looked at by an instant.
    CAMPAIGN_MESSAGES_WAKE(Uuid, Time) =
        "UPDATE messages SET due_at = $3 WHERE tenant_id = $1 AND campaign_id = $2 AND state = 'queued' \
         AND reason = 'campaign_held' AND due_at > $3";
}

#[derive(FromQueryResult)]
struct CountRow {
    count: i64,
}

pub(in crate::messaging) async fn messages_of_campaign_queued(
    tx: &mut TenantTx,
    campaign: CampaignId,
    now: Timestamp,
    (most_due, most_waiting): (i64, i64),
) -> Result<(i64, i64)> {
    #[derive(FromQueryResult)]
    struct Row {
        due: i64,
        waiting: i64,
    }
    let args: [Value; 4] = [campaign.into(), now.into(), most_due.into(), most_waiting.into()];
    let row: Option<Row> = tx.sql(&CAMPAIGN_MESSAGES_QUEUED, Args::of(args))?.one().await?;
    Ok(row.map_or((0, 0), |row| (row.due, row.waiting)))
}

pub(in crate::messaging) async fn messages_of_campaign_open(tx: &mut TenantTx, campaign: CampaignId) -> Result<bool> {
    let row: Option<CountRow> = tx.sql(&CAMPAIGN_MESSAGES_OPEN, Args::of([campaign.into()]))?.one().await?;
    Ok(row.is_some_and(|row| row.count > 0))
}

pub(in crate::messaging) async fn messages_cancel_of_campaign(
    tx: &mut TenantTx,
    campaign: CampaignId,
    now: Timestamp,
    most: i64,
) -> Result<Vec<MessageId>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: MessageId,
    }
    let args: [Value; 3] = [campaign.into(), now.into(), most.into()];
    let rows: Vec<Row> = tx.sql(&CAMPAIGN_MESSAGES_CANCEL, Args::of(args))?.all().await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

pub(in crate::messaging) async fn messages_of_campaign_wake(
    tx: &mut TenantTx,
    campaign: CampaignId,
    now: Timestamp,
) -> Result<()> {
    tx.sql(&CAMPAIGN_MESSAGES_WAKE, Args::of([campaign.into(), now.into()]))?.execute().await?;
    Ok(())
}
