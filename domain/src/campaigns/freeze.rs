//! Writing an audience down: a batch at a time, each with how far it came, so that a crash repeats and misses nobody.

use std::collections::HashMap;

use carillon_entities::seeded_bugs;
use carillon_entities::wall::TenantTx;
use jiff::tz::TimeZone;

use super::approve::needs_approval;
use super::audience::step;
use super::check::defaults;
use super::sample::{Place, Sampler};
use super::store::audience::Candidate;
use super::store::campaigns::campaign_update;
use super::store::recipients::{NewRecipient, recipients_count, recipients_insert};
use super::store::runs::run_update;
use super::{Act, Campaign, CampaignGrants, CampaignRun};
use crate::consent::Recipient;
use crate::contacts::EmailAddress;
use crate::error::Result;
use crate::ports::Ports;
use crate::time::Timestamp;
use crate::workflows::local_time::zone;

/// Its time has come: what holds from now on is who is there at this instant.
pub(super) async fn begin(
    tx: &mut TenantTx,
    mut campaign: Campaign,
    mut run: CampaignRun,
    now: Timestamp,
) -> Result<()> {
    campaign.state = campaign.state.after(Act::Begin)?;
    campaign_update(tx, &campaign).await?;
    (run.as_of, run.due_at, run.reached) = (Some(now), Some(now), None);
    run_update(tx, &run).await
}

/// Writes the next batch down and commits it, and behind the last says how many there are; returns how many were looked at,
/// at least one.
pub(super) async fn freeze(
    mut tx: TenantTx,
    (grants, ports): (&CampaignGrants, &Ports),
    mut campaign: Campaign,
    mut run: CampaignRun,
    now: Timestamp,
) -> Result<usize> {
    let as_of = run.as_of.unwrap_or(now);
    let step = step(&mut tx, ports, &campaign.audience, as_of, run.reached).await?;
    let (count, reached) = (step.found.len(), step.reached);
    let people = places(&mut tx, ports, &campaign, step.found, as_of).await?;
    (run.reached, run.due_at) = (reached.or(run.reached), Some(now));
    if seeded_bugs::on("freeze_reaches_before_it_writes") {
        run_update(&mut tx, &run).await?;
        tx.commit().await?;
        tx = grants.run.begin().await?;
    }
    recipients_insert(&mut tx, campaign.id, people).await?;
    if reached.is_none() {
        let recipients = recipients_count(&mut tx, campaign.id).await?;
        let waits = needs_approval(&mut tx, &campaign, recipients).await?;
        campaign.state = campaign.state.after(Act::Freeze(waits))?;
        (campaign.recipients, campaign.frozen_at, campaign.updated_at) = (Some(recipients), Some(now), now);
        campaign_update(&mut tx, &campaign).await?;
        run.due_at = (!waits).then_some(now);
    }
    run_update(&mut tx, &run).await?;
    tx.commit().await?;
    Ok(count.max(1))
}

/// What each gets, and when it is their turn: by zones and hashes, for all of a batch at once.
async fn places(
    tx: &mut TenantTx,
    ports: &Ports,
    campaign: &Campaign,
    found: Vec<Candidate>,
    as_of: Timestamp,
) -> Result<Vec<NewRecipient>> {
    let default_zone = defaults(tx).await?.default_zone;
    let mut times: HashMap<Option<String>, Timestamp> = HashMap::new();
    let mut release_at = |name: Option<String>| {
        *times.entry(name).or_insert_with_key(|name| {
            let own = name.as_deref().and_then(zone);
            let zone = own.or_else(|| zone(&default_zone)).unwrap_or(TimeZone::UTC);
            campaign.schedule.release_at(&zone, as_of)
        })
    };
    let sampler = Sampler::new(campaign.id, &campaign.variants, campaign.sample_bp);
    let hasher = ports.keys.address_hasher(tx.tenant());
    let person = |one: Candidate| {
        let email = one.email.as_deref().filter(|_| sampler.asks_address());
        let email = email.and_then(|email| EmailAddress::parse(email).ok());
        let address = email.map(|email| Recipient::hashed(&hasher, &email).active().hash);
        let variant = match sampler.place(address) {
            Place::Variant(label) => Some(label),
            Place::Rest => None,
        };
        NewRecipient { contact: one.id, variant, release_at: release_at(one.zone) }
    };
    Ok(found.into_iter().map(person).collect())
}
