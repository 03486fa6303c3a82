//! The engine: goes on with whatever campaign is due, one batch in one transaction. The run's lock is the claim, so a worker
//! that dies leaves everything as it was.

use carillon_entities::ids::CampaignId;
use carillon_entities::wall::TenantTx;
use chrono::TimeDelta;

use super::freeze::{begin, freeze};
use super::release::release;
use super::store::campaigns::campaign_share;
use super::store::runs::{run_lock, run_take, run_update};
use super::{Campaign, CampaignRun, CampaignState};
use crate::error::{Error, Result};
use crate::messaging::{cancel_of_campaign, has_open_of_campaign};
use crate::ports::Ports;
use crate::reruns::Reruns;
use crate::tenancy::{Grant, RunCampaigns, SendMessages};
use crate::time::Timestamp;

/// What is on its way, or is held by somebody else just now, is looked at again after this.
pub(super) const LATER: TimeDelta = TimeDelta::minutes(1);
/// One that cannot go on is looked at again after this.
const PUT_OFF: TimeDelta = TimeDelta::seconds(10);
/// Messages that are cancelled at once.
const CANCELLED_AT_ONCE: i64 = 500;

/// What the engine may do in a tenant.
#[derive(Debug, Clone)]
pub struct CampaignGrants {
    /// Freeze and release.
    pub run: Grant<RunCampaigns>,
    /// Ask for mails.
    pub send: Grant<SendMessages>,
}

/// What came of a look at a campaign that was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Visit {
    /// How many people it was about; 0 where nothing was due.
    pub done: usize,
    /// Whether there is mail now.
    pub has_mail: bool,
}

impl Visit {
    pub(super) fn of(done: usize) -> Self {
        Self { done, has_mail: false }
    }
}

/// Goes on with the campaign of the tenant that is due since longest. One that cannot go on is put off, so that it keeps the
/// tenant's others waiting no longer than its own look (C-176).
///
/// # Errors
/// A refusal only where the tenant is suspended, and then nothing was looked at; what refuses a campaign is a fault.
pub async fn run_due(grants: &CampaignGrants, ports: &Ports) -> Result<Visit> {
    if !ports.clock.is_trustworthy() {
        return Ok(Visit::default());
    }
    let mut reruns = Reruns::default();
    loop {
        let mut taken = None;
        let error = match visit(grants, ports, &mut taken).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        // Somebody else took of the day's mails between the look at them and the count: the next look sees fewer.
        let is_raced = is_quota(&error);
        if (is_raced && reruns.take()) || reruns.after(&error) {
            continue;
        }
        let Some(campaign) = taken else { return Err(error) };
        let is_put_off = put_off(grants, ports, campaign).await.is_ok();
        return if is_raced && is_put_off { Ok(Visit::of(1)) } else { Err(fault_of(campaign, error)) };
    }
}

fn is_quota(error: &Error) -> bool {
    matches!(error, Error::Refused(why) if why.iter().any(|refusal| refusal.code == "QUOTA_EXCEEDED"))
}

/// Nobody asked for this look who could be told a refusal.
fn fault_of(campaign: CampaignId, error: Error) -> Error {
    match error {
        Error::Refused(why) => {
            let codes: Vec<&str> = why.iter().map(|refusal| refusal.code).collect();
            Error::fault(format!("campaign {campaign} cannot go on: {}", codes.join(", ")))
        }
        error => error,
    }
}

/// Has a campaign that could not go on looked at again later.
async fn put_off(grants: &CampaignGrants, ports: &Ports, campaign: CampaignId) -> Result<()> {
    let now = ports.now();
    let mut tx = grants.run.begin().await?;
    // Where its commit was not heard of, it may have gone on after all.
    if let Some(mut run) = run_lock(&mut tx, campaign).await?.filter(|run| run.due_at.is_some_and(|due| due <= now)) {
        run.due_at = Some(now + PUT_OFF);
        run_update(&mut tx, &run).await?;
    }
    Ok(tx.commit().await?)
}

async fn visit(grants: &CampaignGrants, ports: &Ports, taken: &mut Option<CampaignId>) -> Result<Visit> {
    let now = ports.now();
    let mut tx = grants.run.begin().await?;
    let Some(mut run) = run_take(&mut tx, now).await? else {
        tx.rollback().await?;
        return Ok(Visit::default());
    };
    *taken = Some(run.campaign);
    let campaign = campaign_share(&mut tx, run.campaign).await?;
    let campaign = campaign.ok_or_else(|| Error::fault("a run without its campaign"))?;
    let visit = match campaign.state {
        CampaignState::Scheduled => {
            begin(&mut tx, campaign, run, now).await?;
            Visit::of(1)
        }
        CampaignState::Freezing => {
            return Ok(Visit::of(freeze(tx, (grants, ports), campaign, run, now).await?));
        }
        CampaignState::Running => release(&mut tx, (grants, ports), campaign, run, now).await?,
        CampaignState::Cancelled => take_back(&mut tx, ports, (campaign, run), now).await?,
        // Whoever lets it go on has it looked at again.
        CampaignState::Draft | CampaignState::AwaitingApproval | CampaignState::Paused | CampaignState::Completed => {
            run.due_at = None;
            run_update(&mut tx, &run).await?;
            Visit::of(1)
        }
    };
    tx.commit().await?;
    Ok(visit)
}

/// Takes back what is queued of a cancelled campaign, a batch at a time; nothing of it leaves meanwhile, for the gate asks.
async fn take_back(
    tx: &mut TenantTx,
    ports: &Ports,
    (campaign, mut run): (Campaign, CampaignRun),
    now: Timestamp,
) -> Result<Visit> {
    let cancelled = cancel_of_campaign(tx, ports, campaign.id, CANCELLED_AT_ONCE).await?;
    run.due_at = if cancelled > 0 {
        Some(now)
    } else if has_open_of_campaign(tx, campaign.id).await? {
        // What is on its way may yet come back to the queue.
        Some(now + LATER)
    } else {
        None
    };
    run_update(tx, &run).await?;
    Ok(Visit::of(cancelled.max(1)))
}
