//! Holding, letting go and ending campaigns. The campaign is written and nobody in it, so that both cost the same for a
//! million people; the gate asks how it stands, and the engine takes back what is queued.

use carillon_entities::ids::CampaignId;
use carillon_entities::wall::TenantTx;

use super::draft::{lock, touch};
use super::store::campaigns::campaign_update;
use super::store::runs::{run_lock, run_update};
use super::{Act, Campaign, CampaignRun, CampaignState, Phase};
use crate::error::Result;
use crate::messaging::wake_of_campaign;
use crate::ports::Ports;
use crate::tenancy::{Grant, PublishCampaigns};
use crate::time::Timestamp;

/// Holds a campaign: what is queued of it waits at the gate, and nothing more is released.
pub async fn pause_campaign(
    _: &Grant<PublishCampaigns>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: CampaignId,
) -> Result<Campaign> {
    let mut campaign = lock(tx, id).await?;
    if campaign.state == CampaignState::Paused {
        return Ok(campaign);
    }
    campaign.state = campaign.state.after(Act::Pause)?;
    touch(&mut campaign, ports);
    campaign_update(tx, &campaign).await?;
    Ok(campaign)
}

/// Lets a held campaign go on where it was.
pub async fn resume_campaign(
    _: &Grant<PublishCampaigns>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: CampaignId,
) -> Result<Campaign> {
    let run = run_lock(tx, id).await?;
    let mut campaign = lock(tx, id).await?;
    let phase = phase_of(&campaign, run.as_ref());
    let next = campaign.state.after(Act::Resume(phase))?;
    if next == campaign.state {
        return Ok(campaign);
    }
    campaign.state = next;
    touch(&mut campaign, ports);
    campaign_update(tx, &campaign).await?;
    if let Some(mut run) = run {
        run.due_at = Some(due_again(&campaign, phase, ports.now()));
        run_update(tx, &run).await?;
    }
    wake_of_campaign(tx, ports, id).await?;
    Ok(campaign)
}

/// Ends a campaign for good: nothing of it leaves any more, and what is queued is taken back.
pub async fn cancel_campaign(
    _: &Grant<PublishCampaigns>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: CampaignId,
) -> Result<Campaign> {
    let run = run_lock(tx, id).await?;
    let mut campaign = lock(tx, id).await?;
    if campaign.state == CampaignState::Cancelled {
        return Ok(campaign);
    }
    campaign.state = campaign.state.after(Act::Cancel)?;
    campaign.ended_at = Some(ports.now());
    touch(&mut campaign, ports);
    campaign_update(tx, &campaign).await?;
    if let Some(mut run) = run {
        run.due_at = Some(ports.now());
        run_update(tx, &run).await?;
    }
    Ok(campaign)
}

/// How far it had come: its own rows say so.
fn phase_of(campaign: &Campaign, run: Option<&CampaignRun>) -> Phase {
    match (campaign.frozen_at, run.and_then(|run| run.as_of)) {
        (Some(_), _) => Phase::Running,
        (None, Some(_)) => Phase::Freezing,
        (None, None) => Phase::Scheduled,
    }
}

fn due_again(campaign: &Campaign, phase: Phase, now: Timestamp) -> Timestamp {
    if phase == Phase::Scheduled {
        campaign.schedule.begins_at(campaign.started_at.unwrap_or(now)).max(now)
    } else {
        now
    }
}
