//! Where the engine is with campaigns: the rows that are its queue (L4).

use carillon_entities::ids::{CampaignId, ContactId};
use carillon_entities::rows::campaigns::campaign_runs;
use carillon_entities::statements;
use carillon_entities::wall::{Args, TenantTx};
use sea_orm::{ActiveValue::Set, FromQueryResult};

use crate::campaigns::CampaignRun;
use crate::error::Result;
use crate::time::Timestamp;

statements! {
    /// The run that is due since longest, locked until the end of the transaction that goes on with it: the lock is the claim.
    CAMPAIGN_RUN_TAKE(Time) =
        "SELECT campaign_id, due_at, as_of, reached_id, next_slot_at FROM campaign_runs \
         WHERE tenant_id = $1 AND due_at <= $2 ORDER BY due_at LIMIT 1 {skip_locked}";
}

#[derive(FromQueryResult)]
struct RunRow {
    campaign_id: CampaignId,
    due_at: Option<Timestamp>,
    as_of: Option<Timestamp>,
    reached_id: Option<ContactId>,
    next_slot_at: Option<Timestamp>,
}

impl From<RunRow> for CampaignRun {
    fn from(row: RunRow) -> Self {
        Self {
            campaign: row.campaign_id,
            due_at: row.due_at,
            as_of: row.as_of,
            reached: row.reached_id,
            next_slot_at: row.next_slot_at,
        }
    }
}

/// The run that is due since longest, and that nobody else has.
pub(in crate::campaigns) async fn run_take(tx: &mut TenantTx, now: Timestamp) -> Result<Option<CampaignRun>> {
    let row: Option<RunRow> = tx.sql(&CAMPAIGN_RUN_TAKE, Args::of([now.into()]))?.one().await?;
    Ok(row.map(CampaignRun::from))
}

/// Locks the run of a campaign, before the campaign; a draft has none.
pub(in crate::campaigns) async fn run_lock(tx: &mut TenantTx, id: CampaignId) -> Result<Option<CampaignRun>> {
    let row = tx.select::<campaign_runs::Entity>().eq(campaign_runs::Column::CampaignId, id).for_update().one();
    Ok(row.await?.map(|row| CampaignRun {
        campaign: row.campaign_id,
        due_at: row.due_at,
        as_of: row.as_of,
        reached: row.reached_id,
        next_slot_at: row.next_slot_at,
    }))
}

pub(in crate::campaigns) async fn run_insert(tx: &mut TenantTx, id: CampaignId, due_at: Timestamp) -> Result<()> {
    let row = campaign_runs::ActiveModel {
        campaign_id: Set(id),
        due_at: Set(Some(due_at)),
        as_of: Set(None),
        reached_id: Set(None),
        next_slot_at: Set(None),
        ..Default::default()
    };
    Ok(tx.insert(row).await?)
}

/// Writes where the engine is with a run that is locked.
pub(in crate::campaigns) async fn run_update(tx: &mut TenantTx, run: &CampaignRun) -> Result<()> {
    use campaign_runs::Column;
    let update = tx
        .update::<campaign_runs::Entity>()
        .eq(Column::CampaignId, run.campaign)
        .set(Column::DueAt, run.due_at)
        .set(Column::AsOf, run.as_of)
        .set(Column::ReachedId, run.reached.map(|id| id.0))
        .set(Column::NextSlotAt, run.next_slot_at);
    update.execute().await?;
    Ok(())
}
