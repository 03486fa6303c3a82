//! What a campaign names must be there; and what stands against starting it.

use std::collections::{BTreeMap, BTreeSet};

use carillon_entities::ids::{ListId, SenderId, TemplateId, TopicId};
use carillon_entities::wall::TenantTx;

use super::store::lists::lists_share;
use super::{Audience, Campaign, CampaignVariant, Contents, Schedule};
use crate::consent::store::topics::topics_of;
use crate::error::{Error, Refusal, Result};
use crate::messaging::{MessageClass, usable_senders, usable_templates};
use crate::segments::{Condition, compile};
use crate::time::Timestamp;
use crate::workflows::local_time::TimeOfDay;
use crate::workflows::{BASIS_POINTS, TenantDefaults};

/// The most variants.
const VARIANTS_MAX: usize = 8;
/// The most lists of an audience.
const LISTS_MAX: usize = 50;
/// Octets of a variant's label.
const LABEL_MAX: usize = 64;
/// The most in an hour.
pub(super) const PER_HOUR_MAX: u32 = 10_000_000;

/// What a draft names; each part only where it is given.
#[derive(Debug, Default)]
pub(super) struct Named<'a> {
    pub audience: Option<&'a Audience>,
    pub sender: Option<SenderId>,
    pub topic: Option<TopicId>,
    pub variants: Option<&'a [CampaignVariant]>,
}

/// Refuses what is not there, whatever else is wrong with the draft.
pub(super) async fn all_there(tx: &mut TenantTx, named: &Named<'_>) -> Result<()> {
    let mut missing = Vec::new();
    if let Some(sender) = named.sender
        && usable_senders(tx, &[sender]).await?.is_empty()
    {
        missing.push(Refusal::not_found("senderId"));
    }
    let asked = named.audience.and_then(|audience| audience.condition.as_ref()).map(Condition::needs);
    let asked: BTreeSet<TopicId> = asked.map(|needs| needs.topics).unwrap_or_default();
    let topics: Vec<TopicId> = asked.iter().copied().chain(named.topic).collect();
    if !topics.is_empty() {
        let there: BTreeSet<TopicId> = topics_of(tx, &topics).await?.into_iter().map(|topic| topic.id).collect();
        if named.topic.is_some_and(|topic| !there.contains(&topic)) {
            missing.push(Refusal::not_found("topicId"));
        }
        if !asked.is_subset(&there) {
            missing.push(Refusal::not_found("audience.condition"));
        }
    }
    if let Some(audience) = named.audience {
        missing.extend(missing_lists(tx, audience).await?);
    }
    if let Some(variants) = named.variants {
        let wanted: Vec<TemplateId> = variants.iter().map(|variant| variant.template).collect();
        let there = usable_templates(tx, &wanted).await?;
        let lost = wanted.iter().enumerate().filter(|(_, id)| !there.contains_key(id));
        missing.extend(lost.map(|(place, _)| Refusal::not_found(format!("variants.{place}.templateId"))));
    }
    if missing.is_empty() { Ok(()) } else { Err(Error::Refused(missing)) }
}

async fn missing_lists(tx: &mut TenantTx, audience: &Audience) -> Result<Vec<Refusal>> {
    let all: BTreeSet<ListId> = audience.all_lists().collect();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let there = lists_share(tx, all).await?;
    let sides = [("audience.listIds", &audience.lists), ("audience.excludedListIds", &audience.excluded)];
    let lost = sides.into_iter().filter(|(_, lists)| lists.iter().any(|id| !there.contains(id)));
    Ok(lost.map(|(field, _)| Refusal::not_found(field)).collect())
}

/// What is wrong with a draft by itself.
pub(super) fn findings(campaign: &Campaign, now: Timestamp) -> Vec<Refusal> {
    let mut found = Vec::new();
    let audience = &campaign.audience;
    if audience.lists.len() > LISTS_MAX || audience.excluded.len() > LISTS_MAX {
        let message = format!("An audience has at most {LISTS_MAX} lists on either side.");
        found.push(Refusal::new("BATCH_SIZE", "audience", message));
    }
    if let Some(Err(refusals)) = audience.condition.as_ref().map(|condition| compile(condition, now)) {
        let under = |refusal: Refusal| {
            let field = ["audience.condition", refusal.field.as_str()].join(".");
            refusal.at(field.trim_end_matches('.'))
        };
        found.extend(refusals.into_iter().map(under));
    }
    found.extend(of_variants(&campaign.variants, campaign.sample_bp));
    if campaign.per_hour.is_some_and(|rate| !(1..=PER_HOUR_MAX).contains(&rate)) {
        let message = format!("There are 1 to {PER_HOUR_MAX} in an hour.");
        found.push(Refusal::new("RATE_OUT_OF_RANGE", "perHour", message));
    }
    if let Schedule::LocalTime { time, .. } = &campaign.schedule
        && TimeOfDay::parse(time).is_none()
    {
        found.push(Refusal::new("INVALID_TIME", "schedule.localTime.time", "A time of day is such as 09:30."));
    }
    found
}

fn of_variants(variants: &[CampaignVariant], sample_bp: Option<u32>) -> Vec<Refusal> {
    let mut found = Vec::new();
    if variants.is_empty() || variants.len() > VARIANTS_MAX {
        let message = format!("A campaign has 1 to {VARIANTS_MAX} variants.");
        found.push(Refusal::new("VARIANTS", "variants", message));
    }
    let is_name = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        !label.is_empty() && label.len() <= LABEL_MAX && label.bytes().all(plain)
    };
    let labels: BTreeSet<&str> = variants.iter().map(|variant| variant.label.as_str()).collect();
    if labels.len() < variants.len() || !labels.iter().all(|label| is_name(label)) {
        let message = "Labels are letters, digits, _ and -, each once.";
        found.push(Refusal::new("VARIANT_LABELS", "variants", message));
    }
    let sum: u64 = variants.iter().map(|variant| u64::from(variant.weight_bp)).sum();
    if !variants.is_empty() && sum != u64::from(BASIS_POINTS) {
        let message = format!("The weights add up to {BASIS_POINTS} basis points.");
        found.push(Refusal::new("WEIGHTS", "variants", message));
    }
    if sample_bp.is_some_and(|share| variants.len() < 2 || !(1..BASIS_POINTS).contains(&share)) {
        let message = format!("A sample of several variants is 1 to {} basis points.", BASIS_POINTS - 1);
        found.push(Refusal::new("SAMPLE_OUT_OF_RANGE", "sampleBp", message));
    }
    found
}

/// Whether a campaign can go out, and the versions that it would send.
pub(super) async fn pin(tx: &mut TenantTx, campaign: &Campaign) -> Result<Contents> {
    let mut found = Vec::new();
    let brand = usable_senders(tx, &[campaign.sender]).await?.get(&campaign.sender).copied();
    match topics_of(tx, &[campaign.topic]).await?.pop() {
        Some(topic) if topic.is_all_marketing() => {
            found.push(Refusal::new("TOPIC_RESERVED", "topicId", "All marketing is no topic to write about."));
        }
        Some(topic) if Some(topic.brand) != brand => {
            found.push(Refusal::new("BRAND_MISMATCH", "topicId", "Topic and sender are of different brands."));
        }
        _ => {}
    }
    let wanted: Vec<TemplateId> = campaign.variants.iter().map(|variant| variant.template).collect();
    let templates = usable_templates(tx, &wanted).await?;
    let mut contents = Contents::new();
    for (place, variant) in campaign.variants.iter().enumerate() {
        let Some(template) = templates.get(&variant.template) else { continue };
        let refuse = |code, message| Refusal::new(code, format!("variants.{place}.templateId"), message);
        if template.class != MessageClass::Marketing {
            found.push(refuse("CLASS_MISMATCH", "The template is not one of marketing."));
        }
        if template.content.is_empty() {
            found.push(refuse("TEMPLATE_UNPUBLISHED", "The template has no published version."));
        }
        if template.content.values().any(|(_, event)| event.is_some()) {
            found.push(refuse("TEMPLATE_EVENT", "The template uses an event, and a campaign has none."));
        }
        let by_locale: BTreeMap<_, _> =
            template.content.iter().map(|(locale, (version, _))| (locale.clone(), *version)).collect();
        contents.insert(variant.label.clone(), by_locale);
    }
    if found.is_empty() { Ok(contents) } else { Err(Error::Refused(found)) }
}

/// What holds for people of whom it is not known.
pub(super) async fn defaults(tx: &mut TenantTx) -> Result<TenantDefaults> {
    crate::workflows::tenant_defaults(tx).await?.ok_or_else(|| Error::fault("the tenant has no row"))
}
