//! `send`: marketing mail from queued rows to an SMTP sink, by the engine of one process, against the bare loop.
//!
//! Queueing is not timed, but its statements count, as do those of the dispatchers and sweeps that run meanwhile: whatever the
//! process sends the server, BEGIN (with the tenant that is set in the same message) and COMMIT as one each. A call of a
//! function is one, as it is one round trip and one entry of `pg_stat_statements`; what is inside it is not counted again
//! (`Wall::statements`).

use std::time::Duration;

use anyhow::{Result, anyhow};
use carillon_domain::messaging::{Intent, MessageClass, Recipient, send_messages};
use carillon_domain::tenancy::SendMessages;
use carillon_tests::stage::{Cast, Stage};

use super::figure::{Figure, Size};
use super::mail::Sides;

const MAILS: u32 = 50_000;
const STATEMENTS_PER_MAIL: f64 = 0.3;
/// A run that takes longer has lost something.
const LONGEST: Duration = Duration::from_mins(10);

/// Whether nothing is left to send. Looks along the partial indexes, so that looking costs next to nothing.
const IS_OVER: &str = "SELECT NOT EXISTS (SELECT 1 FROM messages WHERE tenant_id = $1 AND state = 'queued') \
    AND NOT EXISTS (SELECT 1 FROM messages WHERE tenant_id = $1 AND state = 'claimed')";
const SENT: &str = "SELECT COUNT(*) FROM messages WHERE tenant_id = $1 AND state = 'sent'";

/// Measures it.
pub async fn run(size: Size) -> Result<Figure> {
    let mails = size.of(MAILS);
    let mut figure = Figure::new("send", "mails/s", 0.4);
    let mut sides = Box::pin(Sides::build("send", mails, size, &mut figure)).await?;
    let (wall, tenant) = (sides.set.stage.ports.wall.clone(), sides.cast.tenant.0);
    for run in 1..=u32::try_from(size.runs())? {
        let before = wall.statements();
        queue(&sides.set.stage, &sides.cast, run).await?;
        let queueing = wall.statements() - before;
        sides.set.settle().await?;
        let ours = sides.ours((IS_OVER, tenant), LONGEST).await?;
        let all = wall.statements() - before;
        // Those of the runs before as well.
        sides.ensure_sent((SENT, tenant), mails * run).await?;
        figure.note(&format!("{all} statements, {queueing} of them to queue"));
        sides.add(&mut figure, ours, all).await?;
    }
    Box::pin(sides.end(figure, STATEMENTS_PER_MAIL)).await
}

/// Queues one mail to everybody.
async fn queue(stage: &Stage, cast: &Cast, run: u32) -> Result<()> {
    let grant = stage.enter(cast.tenant)?.grant::<SendMessages>()?;
    for (batch, people) in cast.people.chunks(500).enumerate() {
        let intent = |(place, (contact, _)): (usize, &(_, String))| Intent {
            key: format!("{run}-{batch}-{place}"),
            class: MessageClass::Marketing,
            topic: Some(cast.topic),
            sender: cast.sender,
            template_version: cast.version,
            to: Recipient::Contact(*contact),
            variables: serde_json::Map::new(),
            send_at: None,
            expires_at: None,
            is_test: false,
            origin: None,
        };
        let intents: Vec<Intent> = people.iter().enumerate().map(intent).collect();
        let mut tx = grant.begin().await?;
        for accepted in send_messages(&grant, &mut tx, &stage.ports, &intents).await? {
            accepted.map_err(|refusal| anyhow!("refused: {}", refusal.code))?;
        }
        tx.commit().await?;
    }
    Ok(())
}
