//! Campaigns and the rules of their approval.

use std::collections::HashMap;

use carillon_entities::ids::CampaignId;
use carillon_entities::rows::campaigns::{campaign_rules, campaigns};
use carillon_entities::wall::{Args, TenantTx};
use carillon_entities::{seeded_bugs, statements};
use sea_orm::{ActiveValue::Set, FromQueryResult, Value};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::campaigns::{Campaign, CampaignRules, CampaignState};
use crate::consent::WayFact;
use crate::error::{Error, Result};
use crate::paging::{Page, Paged};
use crate::time::Timestamp;

statements! {
    /// How campaigns stand, kept so until the gate has decided.
    CAMPAIGNS_AT_GATE() [id: Uuid] =
        "SELECT id, state FROM campaigns WHERE tenant_id = $1 AND id IN (SELECT b.id FROM ({batch}) AS b) \
         ORDER BY id {for_share}";
    /// Keeps a campaign as it is until the engine's batch is committed; the gate need not wait for it.
    CAMPAIGN_SHARE(Uuid) = "SELECT id FROM campaigns WHERE tenant_id = $1 AND id = $2 {for_share}";
    /// Campaigns that may yet ask who is on a list.
    CAMPAIGNS_ASKING(BigInt) =
        "SELECT audience FROM campaigns WHERE tenant_id = $1 AND (state IN ('scheduled', 'freezing') \
         OR (state = 'paused' AND frozen_at IS NULL)) LIMIT $2";
    /// How many other campaigns to more people than so many were approved.
    CAMPAIGNS_LARGE(Uuid, BigInt) =
        "SELECT COUNT(*) AS count FROM campaigns WHERE tenant_id = $1 AND id <> $2 AND recipients > $3 \
         AND approved_at IS NOT NULL";
    /// Says which campaigns wait for an approval.
    CAMPAIGN_RULES_SET(BigInt, Bool, Time) =
        "INSERT INTO campaign_rules (tenant_id, approve_above, four_eyes, updated_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tenant_id) DO UPDATE SET approve_above = excluded.approve_above, four_eyes = excluded.four_eyes, \
         updated_at = excluded.updated_at";
}

/// So many campaigns of a tenant are asked for a list that is to go.
const ASKING_MAX: i64 = 10_000;

pub(in crate::campaigns) async fn campaign_insert(tx: &mut TenantTx, campaign: &Campaign) -> Result<()> {
    let row = campaigns::ActiveModel {
        id: Set(campaign.id),
        name: Set(campaign.name.clone()),
        state: Set(campaign.state.as_str().to_owned()),
        version: Set(campaign.version),
        audience: Set(json(&campaign.audience)?),
        sender_id: Set(campaign.sender),
        topic_id: Set(campaign.topic),
        variants: Set(json(&campaign.variants)?),
        sample_bp: Set(int(campaign.sample_bp)?),
        schedule: Set(json(&campaign.schedule)?),
        per_hour: Set(int(campaign.per_hour)?),
        contents: Set(None),
        chosen_variant: Set(None),
        recipients: Set(None),
        created_by: Set(campaign.created_by),
        started_by: Set(None),
        approved_by: Set(None),
        created_at: Set(campaign.created_at),
        updated_at: Set(campaign.updated_at),
        started_at: Set(None),
        approved_at: Set(None),
        frozen_at: Set(None),
        ended_at: Set(None),
        ..Default::default()
    };
    Ok(tx.insert(row).await?)
}

/// Writes what can change of a campaign that is locked.
pub(in crate::campaigns) async fn campaign_update(tx: &mut TenantTx, campaign: &Campaign) -> Result<()> {
    use campaigns::Column;
    let contents = (!campaign.contents.is_empty()).then(|| json(&campaign.contents)).transpose()?;
    let update = tx
        .update::<campaigns::Entity>()
        .eq(Column::Id, campaign.id)
        .set(Column::Name, campaign.name.as_str())
        .set(Column::State, campaign.state.as_str())
        .set(Column::Version, campaign.version)
        .set(Column::Audience, json(&campaign.audience)?)
        .set(Column::SenderId, campaign.sender.0)
        .set(Column::TopicId, campaign.topic.0)
        .set(Column::Variants, json(&campaign.variants)?)
        .set(Column::SampleBp, int(campaign.sample_bp)?)
        .set(Column::Schedule, json(&campaign.schedule)?)
        .set(Column::PerHour, int(campaign.per_hour)?)
        .set(Column::Contents, contents)
        .set(Column::ChosenVariant, campaign.chosen_variant.clone())
        .set(Column::Recipients, campaign.recipients)
        .set(Column::StartedBy, campaign.started_by)
        .set(Column::ApprovedBy, campaign.approved_by)
        .set(Column::UpdatedAt, campaign.updated_at)
        .set(Column::StartedAt, campaign.started_at)
        .set(Column::ApprovedAt, campaign.approved_at)
        .set(Column::FrozenAt, campaign.frozen_at)
        .set(Column::EndedAt, campaign.ended_at);
    update.execute().await?;
    Ok(())
}

/// Locks a campaign.
pub(in crate::campaigns) async fn campaign_lock(tx: &mut TenantTx, id: CampaignId) -> Result<Option<Campaign>> {
    let row = tx.select::<campaigns::Entity>().eq(campaigns::Column::Id, id).for_update().one().await?;
    row.map(campaign).transpose()
}

/// A campaign that stays as it is until the transaction ends.
pub(in crate::campaigns) async fn campaign_share(tx: &mut TenantTx, id: CampaignId) -> Result<Option<Campaign>> {
    tx.sql(&CAMPAIGN_SHARE, Args::of([id.into()]))?.execute().await?;
    let row = tx.select::<campaigns::Entity>().eq(campaigns::Column::Id, id).one().await?;
    row.map(campaign).transpose()
}

pub(in crate::campaigns) async fn campaigns_find(
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = CampaignId>,
) -> Result<Vec<Campaign>> {
    let select = tx.select::<campaigns::Entity>().is_in(campaigns::Column::Id, ids).limit(1_000);
    select.all().await?.into_iter().map(campaign).collect()
}

/// A page of campaigns, oldest first.
pub(in crate::campaigns) async fn campaigns_page(
    tx: &mut TenantTx,
    page: &Page<CampaignId>,
) -> Result<Paged<Campaign>> {
    let rows = page.keyset(tx.select::<campaigns::Entity>(), campaigns::Column::Id).all().await?;
    Ok(page.finish(rows.into_iter().map(campaign).collect::<Result<_>>()?))
}

/// The audiences of campaigns that may yet ask who is on a list.
pub(in crate::campaigns) async fn audiences_asking(tx: &mut TenantTx) -> Result<Vec<crate::campaigns::Audience>> {
    #[derive(FromQueryResult)]
    struct Row {
        audience: Json,
    }
    let rows: Vec<Row> = tx.sql(&CAMPAIGNS_ASKING, Args::of([ASKING_MAX.into()]))?.all().await?;
    rows.into_iter().map(|row| read(row.audience)).collect()
}

/// Whether another campaign to more people than so many was approved.
pub(in crate::campaigns) async fn has_large_one(tx: &mut TenantTx, but: CampaignId, large: i64) -> Result<bool> {
    #[derive(FromQueryResult)]
    struct Row {
        count: i64,
    }
    let row: Option<Row> = tx.sql(&CAMPAIGNS_LARGE, Args::of([but.into(), large.into()]))?.one().await?;
    Ok(row.is_some_and(|row| row.count > 0))
}

pub(in crate::campaigns) async fn rules_find(tx: &mut TenantTx) -> Result<Option<CampaignRules>> {
    let row = tx.select::<campaign_rules::Entity>().one().await?;
    Ok(row.map(|row| CampaignRules { approve_above: row.approve_above, four_eyes: row.four_eyes }))
}

pub(in crate::campaigns) async fn rules_set(tx: &mut TenantTx, rules: CampaignRules, now: Timestamp) -> Result<()> {
    let args: [Value; 3] = [rules.approve_above.into(), rules.four_eyes.into(), now.into()];
    tx.sql(&CAMPAIGN_RULES_SET, Args::of(args))?.execute().await?;
    Ok(())
}

/// How campaigns stand, kept so until the transaction ends: whoever pauses or cancels one waits for the decision, or is seen
/// by it.
pub(crate) async fn campaigns_at_gate(tx: &mut TenantTx, ids: Vec<CampaignId>) -> Result<HashMap<CampaignId, WayFact>> {
    #[derive(FromQueryResult)]
    struct Row {
        id: CampaignId,
        state: String,
    }
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let batch = ids.into_iter().map(|id| vec![Value::from(id)]);
    let rows: Vec<Row> = tx.sql(&CAMPAIGNS_AT_GATE, Args::batch(batch))?.all().await?;
    let fact = |row: Row| {
        let fact = match row.state.parse::<CampaignState>().map_err(Error::fault)? {
            _ if seeded_bugs::on("gate_leaves_campaign_unread") => WayFact::Open,
            CampaignState::Cancelled => WayFact::Over,
            CampaignState::Running | CampaignState::Completed => WayFact::Open,
            _ => WayFact::Held,
        };
        Ok((row.id, fact))
    };
    rows.into_iter().map(fact).collect()
}

fn json(value: &impl serde::Serialize) -> Result<Json> {
    serde_json::to_value(value).map_err(Error::fault)
}

fn read<T: DeserializeOwned>(value: Json) -> Result<T> {
    serde_json::from_value(value).map_err(Error::fault)
}

fn int(number: Option<u32>) -> Result<Option<i32>> {
    number.map(i32::try_from).transpose().map_err(Error::fault)
}

fn unsigned(number: Option<i32>) -> Result<Option<u32>> {
    number.map(u32::try_from).transpose().map_err(Error::fault)
}

fn campaign(row: campaigns::Model) -> Result<Campaign> {
    Ok(Campaign {
        id: row.id,
        name: row.name,
        state: row.state.parse().map_err(Error::fault)?,
        version: row.version,
        audience: read(row.audience)?,
        sender: row.sender_id,
        topic: row.topic_id,
        variants: read(row.variants)?,
        sample_bp: unsigned(row.sample_bp)?,
        schedule: read(row.schedule)?,
        per_hour: unsigned(row.per_hour)?,
        contents: row.contents.map(read).transpose()?.unwrap_or_default(),
        chosen_variant: row.chosen_variant,
        recipients: row.recipients,
        created_by: row.created_by,
        started_by: row.started_by,
        approved_by: row.approved_by,
        created_at: row.created_at,
        updated_at: row.updated_at,
        started_at: row.started_at,
        approved_at: row.approved_at,
        frozen_at: row.frozen_at,
        ended_at: row.ended_at,
    })
}
