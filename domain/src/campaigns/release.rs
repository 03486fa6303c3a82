//! Releasing a campaign: whose turn it is gets an ordinary message, under the key of campaign and contact, so it is one (L8).
//!
//! A batch is half a thousand people in a handful of statements. Never much more than is leaving is due, so that holding or
//! cancelling a campaign has little to wait for, and what is due later stays here, where nobody looks at it before.

use std::collections::BTreeMap;

use carillon_entities::ids::TemplateVersionId;
use carillon_entities::wall::TenantTx;
use chrono::TimeDelta;

use super::check::defaults;
use super::engine::LATER;
use super::schedule::{Slots, at_once};
use super::store::campaigns::campaign_update;
use super::store::recipients::{
    DueRecipient, NextRecipients, Released, recipients_due, recipients_next, recipients_release,
};
use super::store::runs::run_update;
use super::{Act, Campaign, CampaignGrants, CampaignRun, Visit};
use crate::error::Result;
use crate::messaging::{
    CAMPAIGN_KEYS, Intent, MessageClass, Origin, Recipient, choose_locale, has_open_of_campaign, messages_left_today,
    queued_of_campaign, send_messages,
};
use crate::ports::Ports;
use crate::time::Timestamp;
use crate::workflows::renewed;

/// So many messages of a campaign may be due before more are released.
const DUE_MAX: i64 = 10_000;
/// And so many may wait in all: those too that a slow provider put off, who keep nobody else waiting, or that the gate holds.
const WAITING_MAX: i64 = 100_000;
/// While so many are due, it is looked again after this.
const SOON: TimeDelta = TimeDelta::seconds(1);

/// Releases the next batch, or says when there is one.
pub(super) async fn release(
    tx: &mut TenantTx,
    (grants, ports): (&CampaignGrants, &Ports),
    campaign: Campaign,
    mut run: CampaignRun,
    now: Timestamp,
) -> Result<Visit> {
    let room = messages_left_today(tx, now).await?;
    let (due, waiting) = queued_of_campaign(tx, campaign.id, now, (DUE_MAX, WAITING_MAX)).await?;
    let not_before = if room == 0 {
        Some(renewed(now))
    } else if waiting >= WAITING_MAX {
        Some(now + LATER)
    } else if due >= DUE_MAX {
        Some(now + SOON)
    } else {
        run.next_slot_at.filter(|slot| *slot > now)
    };
    if not_before.is_some() {
        run.due_at = not_before;
        run_update(tx, &run).await?;
        return Ok(Visit::of(1));
    }
    let size = at_once(campaign.per_hour).min(room);
    let people = whose_turn(tx, &campaign, size, now).await?;
    if people.is_empty() {
        rest(tx, campaign, run, now).await?;
        return Ok(Visit::of(1));
    }
    let slots = Slots::new(campaign.per_hour, run.next_slot_at, now);
    let (released, taken) = send(tx, (grants, ports), &campaign, &people, slots).await?;
    recipients_release(tx, campaign.id, &released).await?;
    let next = campaign.per_hour.map(|_| slots.at(taken));
    (run.next_slot_at, run.due_at) = (next.or(run.next_slot_at), Some(next.unwrap_or(now)));
    run_update(tx, &run).await?;
    Ok(Visit { done: people.len(), has_mail: taken > 0 })
}

/// Whose turn it is: first those who have a variant, and the rest once one is chosen.
async fn whose_turn(tx: &mut TenantTx, campaign: &Campaign, size: usize, now: Timestamp) -> Result<Vec<DueRecipient>> {
    let limit = i64::try_from(size).unwrap_or(i64::MAX);
    let people = recipients_due(tx, campaign.id, now, (false, limit)).await?;
    if people.is_empty() && campaign.chosen_variant.is_some() {
        return recipients_due(tx, campaign.id, now, (true, limit)).await;
    }
    Ok(people)
}

/// Nobody's turn has come: somebody's will, somebody has to choose, or all is over once the last message is.
async fn rest(tx: &mut TenantTx, mut campaign: Campaign, mut run: CampaignRun, now: Timestamp) -> Result<()> {
    let NextRecipients { waiting, resting } = recipients_next(tx, campaign.id).await?;
    let is_chosen = campaign.chosen_variant.is_some();
    let next = waiting.into_iter().chain(resting.filter(|_| is_chosen)).min();
    run.due_at = if next.is_some() {
        next
    } else if resting.is_some() {
        None
    } else if has_open_of_campaign(tx, campaign.id).await? {
        Some(now + LATER)
    } else {
        campaign.state = campaign.state.after(Act::Complete)?;
        (campaign.ended_at, campaign.updated_at) = (Some(now), now);
        campaign_update(tx, &campaign).await?;
        None
    };
    run_update(tx, &run).await
}

/// Asks for the messages of a batch; those that cannot be asked for say why. Tells how many slots are behind it: up to the last
/// that somebody has, for two at one would be more in an hour than may be.
async fn send(
    tx: &mut TenantTx,
    (grants, ports): (&CampaignGrants, &Ports),
    campaign: &Campaign,
    people: &[DueRecipient],
    slots: Slots,
) -> Result<(Vec<Released>, usize)> {
    let default_locale = defaults(tx).await?.default_locale;
    let (mut intents, mut places) = (Vec::with_capacity(people.len()), Vec::with_capacity(people.len()));
    let mut released = Vec::with_capacity(people.len());
    for (place, one) in people.iter().enumerate() {
        let variant = one.variant.clone().or_else(|| campaign.chosen_variant.clone()).unwrap_or_default();
        let content = campaign.contents.get(&variant);
        let version = content.and_then(|content| version_of(content, one.locale.as_deref(), &default_locale));
        if let Some(version) = version {
            // What is not throttled is due at once, and says no time: nothing then depends on when it was released.
            let send_at = campaign.per_hour.map(|_| slots.at(intents.len()));
            intents.push(intent(campaign, one, (&variant, version), send_at));
            places.push(place);
        }
        released.push(Released { contact: one.contact_id, variant, result: Err("NO_CONTENT") });
    }
    let verdicts = send_messages(&grants.send, tx, ports, &intents).await?;
    let taken = verdicts.iter().rposition(Result::is_ok).map_or(0, |last| last + 1);
    for (verdict, place) in verdicts.into_iter().zip(places) {
        released[place].result = verdict.map(|accepted| accepted.message).map_err(|refusal| refusal.code);
    }
    Ok((released, taken))
}

fn version_of(
    content: &BTreeMap<String, TemplateVersionId>,
    wanted: Option<&str>,
    default: &str,
) -> Option<TemplateVersionId> {
    let locales: Vec<&str> = content.keys().map(String::as_str).collect();
    content.values().nth(choose_locale(wanted, default, &locales)?).copied()
}

fn intent(
    campaign: &Campaign,
    one: &DueRecipient,
    (variant, template_version): (&str, TemplateVersionId),
    send_at: Option<Timestamp>,
) -> Intent {
    Intent {
        key: format!("{CAMPAIGN_KEYS}{}:{}", campaign.id, one.contact_id),
        class: MessageClass::Marketing,
        topic: Some(campaign.topic),
        sender: campaign.sender,
        template_version,
        to: Recipient::Contact(one.contact_id),
        variables: serde_json::Map::new(),
        send_at,
        expires_at: None,
        is_test: false,
        origin: Some(Origin::Campaign { campaign: campaign.id, variant: Some(variant.to_owned()) }),
    }
}
