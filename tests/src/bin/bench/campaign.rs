//! `campaign`: a broadcast from its start to the last accept, the freeze, the ledger and the decisions and all, by the engine of
//! one process, against the bare loop.

use std::time::Duration;

use anyhow::{Context as _, Result};
use carillon_domain::campaigns::{
    Audience, CampaignDraft, CampaignRules, CampaignVariant, Schedule, create_campaign, set_campaign_rules,
    start_campaign,
};
use carillon_domain::ids::CampaignId;
use carillon_domain::messaging::template_versions;
use carillon_domain::segments::Condition;
use carillon_tests::stage::{Cast, Stage};

use super::figure::{Figure, Size};
use super::mail::Sides;

const RECIPIENTS: u32 = 200_000;
const STATEMENTS_PER_MAIL: f64 = 0.2;
/// A run that takes longer has lost something.
const LONGEST: Duration = Duration::from_mins(20);

/// Whether everybody was written to. Looks along the partial indexes, so that looking costs next to nothing.
const IS_OVER: &str = "SELECT c.frozen_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM campaign_recipients r \
        WHERE r.tenant_id = c.tenant_id AND r.campaign_id = c.id AND r.state = 'waiting') \
    AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.tenant_id = c.tenant_id AND m.campaign_id = c.id \
        AND m.state IN ('queued', 'claimed')) FROM campaigns c WHERE c.id = $1";
const SENT: &str = "SELECT COUNT(*) FROM messages WHERE campaign_id = $1 AND state = 'sent'";

/// Measures it.
pub async fn run(size: Size) -> Result<Figure> {
    let mails = size.of(RECIPIENTS);
    let mut figure = Figure::new("campaign", "mails/s", 0.55);
    let mut sides = Box::pin(Sides::build("campaign", mails, size, &mut figure)).await?;
    let wall = sides.set.stage.ports.wall.clone();
    for run in 1..=size.runs() {
        sides.set.settle().await?;
        let before = wall.statements();
        let campaign = start(&sides.set.stage, &sides.cast, &format!("Run {run}")).await?;
        let ours = sides.ours((IS_OVER, campaign.0), LONGEST).await?;
        let all = wall.statements() - before;
        sides.ensure_sent((SENT, campaign.0), mails).await?;
        figure.note(&format!("{all} statements"));
        sides.add(&mut figure, ours, all).await?;
    }
    Box::pin(sides.end(figure, STATEMENTS_PER_MAIL)).await
}

/// A campaign to everybody that was started.
async fn start(stage: &Stage, cast: &Cast, name: &str) -> Result<CampaignId> {
    let context = stage.enter(cast.tenant)?;
    let (write, publish, approve) = (context.grant()?, context.grant()?, context.grant()?);
    let read = context.grant()?;
    let mut tx = write.begin().await?;
    // There is one person, and nobody else who could approve it.
    let rules = CampaignRules { approve_above: None, four_eyes: false };
    set_campaign_rules(&approve, &mut tx, &stage.ports, rules).await?;
    let version = template_versions(&read, &mut tx, [cast.version]).await?.pop().context("the cast's version")?;
    let draft = CampaignDraft {
        name: name.to_owned(),
        audience: Audience { condition: Some(Condition::And { of: Vec::new() }), ..Audience::default() },
        sender: cast.sender,
        topic: cast.topic,
        variants: vec![CampaignVariant { label: "one".to_owned(), template: version.template, weight_bp: 10_000 }],
        sample_bp: None,
        schedule: Schedule::Now,
        per_hour: None,
    };
    let made = create_campaign(&write, &mut tx, &stage.ports, draft).await?;
    start_campaign(&publish, &mut tx, &stage.ports, (made.id, made.version)).await?;
    tx.commit().await?;
    Ok(made.id)
}
