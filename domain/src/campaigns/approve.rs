//! Approval: a tenant's first large campaign waits until somebody who may has looked at it (C-202), and so do others where
//! the tenant says so.

use carillon_entities::ids::{CampaignId, CredentialId, UserId};
use carillon_entities::wall::TenantTx;
use uuid::Uuid;

use super::draft::{lock, touch};
use super::store::campaigns::{campaign_update, has_large_one, rules_find, rules_set};
use super::store::runs::{run_lock, run_update};
use super::{Act, Campaign, CampaignRules, CampaignState, LARGE};
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{ApproveCampaigns, Grant, ReadCampaigns, key_makers};

/// Approves a campaign that was started; it may be done before anybody knows whether it is needed.
///
/// # Errors
/// `FOUR_EYES` for whoever made or started it, themselves or by a key of theirs, unless the tenant's rules say otherwise; `CAMPAIGN_STATE` for a draft and for one
/// that is over.
pub async fn approve_campaign(
    grant: &Grant<ApproveCampaigns>,
    tx: &mut TenantTx,
    ports: &Ports,
    id: CampaignId,
) -> Result<Campaign> {
    let run = run_lock(tx, id).await?;
    let mut campaign = lock(tx, id).await?;
    if campaign.approved_at.is_some() && !campaign.state.is_over() {
        return Ok(campaign);
    }
    let waited = campaign.state == CampaignState::AwaitingApproval;
    campaign.state = campaign.state.after(Act::Approve)?;
    let approver = grant.actor().id();
    // Without rules of its own a tenant has the stricter one.
    let has_two = rules_find(tx).await?.is_none_or(|rules| rules.four_eyes);
    if has_two && is_own(grant, ports, &campaign).await? {
        let message = "Whoever made or started a campaign does not approve it.";
        return Err(Refusal::new("FOUR_EYES", "id", message).into());
    }
    campaign.approved_by = approver;
    campaign.approved_at = Some(ports.now());
    touch(&mut campaign, ports);
    campaign_update(tx, &campaign).await?;
    if let Some(mut run) = run.filter(|_| waited) {
        run.due_at = Some(ports.now());
        run_update(tx, &run).await?;
    }
    Ok(campaign)
}

/// Whether whoever approves a campaign made or started it, themselves or by a key of theirs.
async fn is_own(grant: &Grant<ApproveCampaigns>, ports: &Ports, campaign: &Campaign) -> Result<bool> {
    let Some(approver) = grant.actor().id() else { return Ok(false) };
    let behind: Vec<Uuid> = [campaign.created_by, campaign.started_by].into_iter().flatten().collect();
    if behind.contains(&approver) {
        return Ok(true);
    }
    let keys: Vec<CredentialId> = behind.into_iter().map(CredentialId).collect();
    Ok(key_makers(ports, grant.tenant(), &keys).await?.contains(&UserId(approver)))
}

/// Says which campaigns wait for an approval from now on.
pub async fn set_campaign_rules(
    _: &Grant<ApproveCampaigns>,
    tx: &mut TenantTx,
    ports: &Ports,
    rules: CampaignRules,
) -> Result<CampaignRules> {
    if rules.approve_above.is_some_and(|people| people < 0) {
        return Err(Refusal::new("INVALID_LIMIT", "approveAbove", "A limit is 0 or more.").into());
    }
    rules_set(tx, rules, ports.now()).await?;
    Ok(rules)
}

/// What the tenant said of approvals; none where it said nothing.
pub async fn campaign_rules(_: &Grant<ReadCampaigns>, tx: &mut TenantTx) -> Result<Option<CampaignRules>> {
    rules_find(tx).await
}

/// Whether a campaign whose audience is known must be approved before it goes out.
pub(super) async fn needs_approval(tx: &mut TenantTx, campaign: &Campaign, recipients: i64) -> Result<bool> {
    if campaign.approved_at.is_some() {
        return Ok(false);
    }
    match rules_find(tx).await? {
        Some(rules) => Ok(rules.approve_above.is_some_and(|most| recipients > most)),
        None => Ok(recipients > LARGE && !has_large_one(tx, campaign.id, LARGE).await?),
    }
}
