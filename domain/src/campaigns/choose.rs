//! Choosing the variant that the rest gets. A person does: what a few hundred opens differ by is as often chance, and a
//! coin toss is no winner (A3.9). The variants' proportions and the intervals they may lie in are there to choose by.

use carillon_entities::ids::CampaignId;
use carillon_entities::wall::TenantTx;

use super::draft::{lock, touch};
use super::store::campaigns::campaign_update;
use super::store::runs::{run_lock, run_update};
use super::{Act, Campaign, CampaignState};
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, PublishCampaigns};

/// Has the rest of a campaign's audience get a variant; it is chosen once.
///
/// # Errors
/// `NO_SAMPLE` for a campaign in which nobody waits for it, `NOT_FOUND` for a variant that it does not have,
/// `VARIANT_CHOSEN` after another was chosen.
pub async fn choose_variant(
    _: &Grant<PublishCampaigns>,
    tx: &mut TenantTx,
    ports: &Ports,
    (id, label): (CampaignId, &str),
) -> Result<Campaign> {
    let run = run_lock(tx, id).await?;
    let mut campaign = lock(tx, id).await?;
    if campaign.chosen_variant.as_deref() == Some(label) {
        return Ok(campaign);
    }
    campaign.state = campaign.state.after(Act::Choose)?;
    if campaign.sample_bp.is_none() {
        return Err(Refusal::new("NO_SAMPLE", "id", "Nobody of this campaign waits for a choice.").into());
    }
    if campaign.chosen_variant.is_some() {
        return Err(Refusal::new("VARIANT_CHOSEN", "label", "Another variant was chosen before.").into());
    }
    if !campaign.variants.iter().any(|variant| variant.label == label) {
        return Err(Refusal::not_found("label").into());
    }
    campaign.chosen_variant = Some(label.to_owned());
    touch(&mut campaign, ports);
    campaign_update(tx, &campaign).await?;
    if let Some(mut run) = run.filter(|_| campaign.state == CampaignState::Running) {
        run.due_at = Some(ports.now());
        run_update(tx, &run).await?;
    }
    Ok(campaign)
}
