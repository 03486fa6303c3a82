//! Starting a campaign: from here on what is sent is fixed, and the engine has it.

use carillon_entities::ids::CampaignId;
use carillon_entities::wall::TenantTx;
use chrono::TimeDelta;

use super::audience::count;
use super::check::{Named, all_there, pin};
use super::draft::{lock_at, sound, touch};
use super::store::campaigns::campaign_update;
use super::store::runs::run_insert;
use super::{Act, Campaign};
use crate::error::{Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, PublishCampaigns};

/// How far ahead a campaign may be scheduled.
const AHEAD_MAX: TimeDelta = TimeDelta::days(366);

/// A campaign that was started.
#[derive(Debug, Clone)]
pub struct Started {
    /// The campaign.
    pub campaign: Campaign,
    /// How many it would go to at this moment; none where too many would have to be looked at one by one, for their topics.
    pub audience: Option<i64>,
}

/// Starts a draft that is at the version seen: its time is awaited, and then its audience is written down.
///
/// # Errors
/// Whatever stands against sending it, `NOT_FOUND` for a list that is there no more, `AUDIENCE_EMPTY` where neither a condition nor a list is given, and
/// `CAMPAIGN_STATE` where it is no draft.
pub async fn start_campaign(
    grant: &Grant<PublishCampaigns>,
    tx: &mut TenantTx,
    ports: &Ports,
    (id, seen): (CampaignId, i64),
) -> Result<Started> {
    let mut campaign = lock_at(tx, id, seen).await?;
    campaign.state = campaign.state.after(Act::Start)?;
    sound(&campaign, ports)?;
    // A list may have gone since it was drafted: without one that is excluded its people would get it. From here on none goes.
    all_there(tx, &Named { audience: Some(&campaign.audience), ..Named::default() }).await?;
    if campaign.audience.condition.is_none() && campaign.audience.lists.is_empty() {
        let message = "An audience has a condition, a list or both.";
        return Err(Refusal::new("AUDIENCE_EMPTY", "id", message).into());
    }
    let now = ports.now();
    let begins_at = campaign.schedule.begins_at(now);
    if begins_at > now + AHEAD_MAX {
        return Err(Refusal::new("TOO_FAR_AHEAD", "id", "A campaign begins within a year.").into());
    }
    campaign.contents = pin(tx, &campaign).await?;
    let audience = count(tx, ports, &campaign.audience, now).await?;
    campaign.started_by = grant.actor().id();
    campaign.started_at = Some(now);
    touch(&mut campaign, ports);
    campaign_update(tx, &campaign).await?;
    run_insert(tx, id, begins_at).await?;
    Ok(Started { campaign, audience })
}
