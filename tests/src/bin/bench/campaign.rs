//! `campaign`: a broadcast from its start to the last accept, the freeze, the ledger and the decisions and all, by the engine of
//! one process, against the bare loop of `send`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carillon_domain::campaigns::{
    Audience, CampaignDraft, CampaignRules, CampaignVariant, Schedule, create_campaign, set_campaign_rules,
    start_campaign,
};
use carillon_domain::files::Files;
use carillon_domain::ids::CampaignId;
use carillon_domain::messaging::{Lane, template_versions};
use carillon_domain::segments::Condition;
use carillon_jobs::channels::email::{PoolSettings, connections};
use carillon_jobs::engine::{Engine, Workers};
use carillon_tests::stage::{Cast, Stage};
use sqlx::PgConnection;

use super::figure::{Figure, Size};
use super::send::{Bare, Sink, WORKERS, queue_and_signals};
use super::set::Set;

const RECIPIENTS: u32 = 200_000;
const STATEMENTS_PER_MAIL: f64 = 0.2;
/// A run that takes longer has lost something.
const LONGEST: Duration = Duration::from_mins(20);

/// Measures it.
pub async fn run(size: Size) -> Result<Figure> {
    let mails = size.of(RECIPIENTS);
    let mut figure = Figure::new("campaign", "mails/s", 0.55);
    let sink = Sink::start(std::env::var_os("SMTP_SINK"), size).await?;
    let pool = PoolSettings::default();
    let connections = connections(pool.max_connections, Lane::Bulk);
    figure.note(&format!("to {}, {WORKERS} workers, {connections} connections", sink.name()));
    let mut set = Set::build("campaign").await?;
    let cast = set.stage.cast("campaign", usize::try_from(mails)?).await?;
    let bare =
        Bare::new(&set.stage, sink.url().parse()?, PoolSettings { max_connections: connections, ..pool.clone() })?;
    let bare = std::sync::Arc::new(bare);
    let mut statements: f64 = 0.0;
    for run in 1..=size.runs() {
        set.settle().await?;
        let before = set.stage.ports.wall.statements();
        let campaign = start(&set.stage, &cast, &format!("Run {run}")).await?;
        let ours = ours(&mut set, campaign, (&sink.url(), pool.clone()), mails).await?;
        let all = set.stage.ports.wall.statements() - before;
        figure.note(&format!("{all} statements"));
        statements = statements.max(f64::from(u32::try_from(all)?) / f64::from(mails));
        set.settle().await?;
        let reference = bare.send(mails).await?;
        figure.add(mails, ours, reference);
    }
    figure.limit("statements per mail", statements, STATEMENTS_PER_MAIL);
    set.strike().await?;
    Ok(figure)
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

/// Lets an engine freeze and send it; returns the seconds it took.
async fn ours(set: &mut Set, campaign: CampaignId, (relay, pool): (&str, PoolSettings), mails: u32) -> Result<f64> {
    let (backend, signals) = queue_and_signals(&set.stage)?;
    let handlers = set.handlers(&Files::open("memory:")?, pool, relay, signals)?;
    let began = Instant::now();
    let engine = Engine::start(
        handlers,
        &backend,
        Workers { messages: WORKERS, imports: 1, workflows: 1, webhooks: 1, campaigns: 1 },
    );
    let waited = tokio::time::timeout(LONGEST, wait_until_sent(&mut set.owner, campaign)).await;
    let seconds = began.elapsed().as_secs_f64();
    engine.stop(Duration::from_secs(10)).await;
    waited.context("mails are still waiting")??;
    let delivered: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM messages WHERE campaign_id = $1 AND state = 'sent'")
        .bind(campaign.0)
        .fetch_one(&mut set.owner)
        .await?;
    ensure!(delivered == i64::from(mails), "{delivered} of {mails} mails were sent");
    Ok(seconds)
}

/// Looks along the partial indexes, so that looking costs next to nothing.
async fn wait_until_sent(owner: &mut PgConnection, campaign: CampaignId) -> Result<()> {
    loop {
        let is_over: bool = sqlx::query_scalar(
            "SELECT c.frozen_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM campaign_recipients r \
                WHERE r.tenant_id = c.tenant_id AND r.campaign_id = c.id AND r.state = 'waiting') \
             AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.tenant_id = c.tenant_id AND m.campaign_id = c.id \
                AND m.state IN ('queued', 'claimed')) FROM campaigns c WHERE c.id = $1",
        )
        .bind(campaign.0)
        .fetch_one(&mut *owner)
        .await?;
        if is_over {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
