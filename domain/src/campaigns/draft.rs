//! Writing campaigns.

use carillon_entities::ids::{CampaignId, SenderId, TopicId};
use carillon_entities::wall::TenantTx;

use super::check::{Named, all_there, findings};
use super::lists::{name_of, unless_taken};
use super::store::campaigns::{campaign_insert, campaign_lock, campaign_update};
use super::{Act, Audience, Campaign, CampaignState, CampaignVariant, Contents, Schedule};
use crate::contacts::Patch;
use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, WriteCampaigns};

/// A campaign to draft.
#[derive(Debug, Clone)]
pub struct CampaignDraft {
    /// Its name.
    pub name: String,
    /// To whom.
    pub audience: Audience,
    /// Who sends.
    pub sender: SenderId,
    /// About what.
    pub topic: TopicId,
    /// What is sent.
    pub variants: Vec<CampaignVariant>,
    /// The share that the variants are tried on.
    pub sample_bp: Option<u32>,
    /// When.
    pub schedule: Schedule,
    /// How many in an hour at most.
    pub per_hour: Option<u32>,
}

/// What is to be different about a draft.
#[derive(Debug, Clone)]
pub struct CampaignPatch {
    /// Of which campaign.
    pub id: CampaignId,
    /// The version the caller saw.
    pub version: i64,
    /// Another name.
    pub name: Option<String>,
    /// Another audience.
    pub audience: Option<Audience>,
    /// Another sender.
    pub sender: Option<SenderId>,
    /// Another topic.
    pub topic: Option<TopicId>,
    /// Other variants.
    pub variants: Option<Vec<CampaignVariant>>,
    /// Another share, or none.
    pub sample_bp: Patch<u32>,
    /// Another time.
    pub schedule: Option<Schedule>,
    /// Another limit, or none.
    pub per_hour: Patch<u32>,
}

/// Makes a campaign; nothing of it leaves before it is started.
pub async fn create_campaign(
    grant: &Grant<WriteCampaigns>,
    tx: &mut TenantTx,
    ports: &Ports,
    draft: CampaignDraft,
) -> Result<Campaign> {
    let named = Named {
        audience: Some(&draft.audience),
        sender: Some(draft.sender),
        topic: Some(draft.topic),
        variants: Some(&draft.variants),
    };
    all_there(tx, &named).await?;
    let now = ports.now();
    let campaign = Campaign {
        id: ports.new_id(),
        name: name_of(&draft.name)?,
        state: CampaignState::Draft,
        version: 1,
        audience: draft.audience,
        sender: draft.sender,
        topic: draft.topic,
        variants: draft.variants,
        sample_bp: draft.sample_bp,
        schedule: draft.schedule,
        per_hour: draft.per_hour,
        contents: Contents::new(),
        chosen_variant: None,
        recipients: None,
        created_by: grant.actor().id(),
        started_by: None,
        approved_by: None,
        created_at: now,
        updated_at: now,
        started_at: None,
        approved_at: None,
        frozen_at: None,
        ended_at: None,
    };
    sound(&campaign, ports)?;
    unless_taken(campaign_insert(tx, &campaign).await)?;
    Ok(campaign)
}

/// Changes a draft.
pub async fn update_campaign(
    _: &Grant<WriteCampaigns>,
    tx: &mut TenantTx,
    ports: &Ports,
    patch: CampaignPatch,
) -> Result<Campaign> {
    let named = Named {
        audience: patch.audience.as_ref(),
        sender: patch.sender,
        topic: patch.topic,
        variants: patch.variants.as_deref(),
    };
    all_there(tx, &named).await?;
    let name = patch.name.as_deref().map(name_of).transpose()?;
    let mut campaign = lock_at(tx, patch.id, patch.version).await?;
    campaign.state = campaign.state.after(Act::Write)?;
    campaign.name = name.unwrap_or(campaign.name);
    campaign.audience = patch.audience.unwrap_or(campaign.audience);
    campaign.sender = patch.sender.unwrap_or(campaign.sender);
    campaign.topic = patch.topic.unwrap_or(campaign.topic);
    campaign.variants = patch.variants.unwrap_or(campaign.variants);
    campaign.sample_bp = after(&patch.sample_bp, campaign.sample_bp);
    campaign.schedule = patch.schedule.unwrap_or(campaign.schedule);
    campaign.per_hour = after(&patch.per_hour, campaign.per_hour);
    sound(&campaign, ports)?;
    touch(&mut campaign, ports);
    unless_taken(campaign_update(tx, &campaign).await)?;
    Ok(campaign)
}

fn after(wish: &Patch<u32>, now: Option<u32>) -> Option<u32> {
    match wish {
        Patch::Keep => now,
        Patch::Clear => None,
        Patch::Set(number) => Some(*number),
    }
}

pub(super) fn sound(campaign: &Campaign, ports: &Ports) -> Result<()> {
    let found = findings(campaign, ports.now());
    if found.is_empty() { Ok(()) } else { Err(Error::Refused(found)) }
}

/// Locks a campaign at the version that the caller saw.
pub(super) async fn lock_at(tx: &mut TenantTx, id: CampaignId, seen: i64) -> Result<Campaign> {
    let campaign = lock(tx, id).await?;
    if campaign.version == seen {
        return Ok(campaign);
    }
    let message = format!("Somebody changed the campaign; its version is {}.", campaign.version);
    Err(Refusal::new("CONFLICT", "version", message).into())
}

/// Locks a campaign.
pub(super) async fn lock(tx: &mut TenantTx, id: CampaignId) -> Result<Campaign> {
    Ok(campaign_lock(tx, id).await?.ok_or_else(|| Refusal::not_found("id"))?)
}

pub(super) fn touch(campaign: &mut Campaign, ports: &Ports) {
    campaign.version += 1;
    campaign.updated_at = ports.now();
}
